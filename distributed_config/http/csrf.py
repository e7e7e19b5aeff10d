"""Protection against requests that another site's page makes a browser send.

On the loopback, where nobody has to authenticate, this is what protects the server.
"""

import ipaddress
from urllib.parse import urlsplit

from flask import Flask, request

from distributed_config.errors import CrossSite, ForeignHost, HostMissing
from distributed_config.settings import Settings

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def init_csrf(app: Flask, settings: Settings) -> None:
    """Refuse cross-site requests before anything of them is parsed.

    A page whose name resolves to this machine (DNS rebinding) shows in the Host header; one that
    sends requests across sites shows in Origin and Sec-Fetch-Site.
    """
    hosts = (
        _LOOPBACK_NAMES | {_host_name(settings.bind)} | {host.lower() for host in settings.hosts}
    )
    public = _origin(settings.public_url) if settings.public_url else None
    if public is not None:
        hosts |= {_host_name(public.partition("://")[2])}
    # Where a token is needed, a rebound name gains nothing: the browser does not send the token.
    any_host = "*" in settings.hosts or (not settings.is_open and not settings.hosts)

    @app.before_request
    def _check_origin() -> None:
        if "Host" not in request.headers and request.environ["SERVER_PROTOCOL"] == "HTTP/1.1":
            raise HostMissing()
        name = _host_name(request.host)
        # Off the loopback any address will do: a name can be rebound to us, an address cannot.
        known = name in hosts or (not settings.on_loopback and _is_address(name))
        if not known and not any_host:
            raise ForeignHost(name[:100])
        origin = request.headers.get("Origin")
        # A proxy that terminates TLS may not tell us, and may send a Host of its own.
        scheme = "https" if settings.secure_cookies else request.scheme
        known_origins = {f"{scheme}://{request.host.lower()}", public}
        if origin is not None and origin.lower() not in known_origins:
            raise CrossSite()
        # Following a link from elsewhere is fine: the other page does not see the response.
        is_navigation = (
            request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        )
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site not in {"none", "same-origin"} and not is_navigation:
            raise CrossSite()


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _origin(url: str) -> str:
    """Return the origin of ``url`` as browsers write it: without its scheme's default port."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    default = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return f"{parts.scheme}://{host.removesuffix(default)}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
