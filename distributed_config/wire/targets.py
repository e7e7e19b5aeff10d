"""What a request line names, where it is not a path (RFC 9112, section 3.2)."""

import re
from collections.abc import MutableMapping
from typing import Any

_ABSOLUTE = re.compile(r"https?://([^/\\@\s]+)(/.*)?", re.IGNORECASE | re.DOTALL)


def split_target(target: str) -> tuple[str, str]:
    """The host and the path of a request target without its query; "" if it names no host."""
    found = None if target.startswith("/") else _ABSOLUTE.fullmatch(target)
    if found is None:
        return "", target
    return found[1], found[2] or "/"


def set_host(environ: MutableMapping[str, Any], host: str) -> None:
    """Puts the host of a target in the place of the one that the header names.

    A header that is missing stays missing where it must not be: that request is refused.
    """
    if host and ("HTTP_HOST" in environ or environ["SERVER_PROTOCOL"] == "HTTP/1.0"):
        environ["HTTP_HOST"] = host
