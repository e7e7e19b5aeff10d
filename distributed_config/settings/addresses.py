"""Which addresses stay on this machine, and which URLs keep private what is sent to them."""

import ipaddress
import re
from urllib.parse import urlsplit


def is_safe_url(url: str) -> bool:
    """Return whether what is sent to ``url`` stays private: over TLS, or on this machine."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    plain = parts.username is None and not re.search(r"[^\x21-\x7e]|[<>\"\\^`{|}]", url)
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    return bool(host) and port != 0 and plain and secure


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this machine and cannot be another."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
