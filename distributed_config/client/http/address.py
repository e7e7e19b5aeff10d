"""Addresses of servers: which texts are one, and when two of them mean the same server."""

import http.client
import re
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from distributed_config.errors import Invalid, Problem

_DEFAULT_PORTS = {"http": http.client.HTTP_PORT, "https": http.client.HTTPS_PORT}


def parse_address(url: str) -> SplitResult:
    """Return the parts of ``url``. Raises Invalid if it is not the address of a server."""
    # urlsplit and its ``port`` raise ValueError for brackets and ports that make no sense.
    with suppress(ValueError):
        parts = urlsplit(url)
        is_http = parts.scheme in _DEFAULT_PORTS and parts.hostname and parts.port != 0
        # Blanks and control characters would reach the request line, and could split it.
        if is_http and not re.search(r"[\s\x00-\x1f]", url) and url.isascii():
            return parts
    message = f"{url!r} is not the address of a server, as in http://localhost:5000."
    raise Invalid.from_problems([Problem("", message, "url", "url")])


def normalise_address(url: str) -> str:
    """Return one spelling for all addresses that lead to the same server.

    Case, default ports, slashes at the end, and the parts that are never sent (user, query and
    fragment) make no difference. Raises Invalid as ``parse_address``.
    """
    parts = parse_address(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
