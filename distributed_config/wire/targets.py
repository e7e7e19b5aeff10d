"""Request targets in absolute form (RFC 9112, section 3.2.2), which proxies may send."""

import re
from collections.abc import MutableMapping
from typing import Any

_ABSOLUTE = re.compile(r"https?://([^/\\@\s]+)(/.*)?", re.IGNORECASE | re.DOTALL)


def split_target(target: str) -> tuple[str, str]:
    """Return the host ("": none) and the path of a request target without its query."""
    absolute = None if target.startswith("/") else _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return "", target
    return absolute[1], absolute[2] or "/"


def set_host(environ: MutableMapping[str, Any], host: str) -> None:
    """Put the host of a target in place of the Host header, which RFC 9112 says to ignore then.

    A header that is missing stays missing in HTTP/1.1, where that request is to be refused.
    """
    if host and ("HTTP_HOST" in environ or environ["SERVER_PROTOCOL"] == "HTTP/1.0"):
        environ["HTTP_HOST"] = host
