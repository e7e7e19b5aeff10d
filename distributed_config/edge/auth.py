"""Who is asking, what a route needs, and where requests may come from.

Every route states the permission that it needs; the application does not start otherwise. In the
open mode there is one actor, the local operator, who may do everything, so what protects it is
where requests may come from.
"""

import ipaddress
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, request

from distributed_config.errors import CannotStart, CrossSite, ForeignHost
from distributed_config.services.actors import LOCAL_OPERATOR, Actor
from distributed_config.settings import Settings

View = TypeVar("View", bound=Callable[..., Any])

ANYBODY = "anybody"
"""The permission of routes that reveal nothing: probes of liveness."""

PERMISSIONS = frozenset(
    {
        ANYBODY,
        "config:read",
        "config:write",
        "definition:read",
        "definition:write",
        "server:read",
    }
)

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def allows(permission: str) -> Callable[[View], View]:
    """States the permission that a view needs."""
    if permission not in PERMISSIONS:
        raise CannotStart(f"{permission!r} is not a permission.")

    def mark(view: View) -> View:
        view.permission = permission  # type: ignore[attr-defined]  # functions take attributes
        return view

    return mark


def actor() -> Actor:
    """Who sent the current request."""
    return LOCAL_OPERATOR


def refuse_unstated_routes(app: Flask) -> None:
    """Raises CannotStart if a route does not state its permission."""
    unstated = sorted(
        f"{rule.rule}"
        for rule in app.url_map.iter_rules()
        if getattr(app.view_functions[rule.endpoint], "permission", None) is None
    )
    if unstated:
        raise CannotStart(f"These routes state no permission: {', '.join(unstated)}.")


def guard(app: Flask, settings: Settings) -> None:
    """Refuses, before anything is parsed, what another site's page makes a browser send.

    A page that resolves its own name to this machine is told by its Host header; one that sends
    requests across sites by what the browser says of them.
    """
    hosts = (
        _LOOPBACK_NAMES | {_host_name(settings.bind)} | {host.lower() for host in settings.hosts}
    )

    @app.before_request
    def _check_origin() -> None:
        name = _host_name(request.host)
        # Off the loopback any address will do: a name can be made to lead here, an address cannot.
        known = name in hosts or (not settings.on_loopback and _is_address(name))
        if not known and "*" not in settings.hosts:
            raise ForeignHost(name[:100])
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.host:
            raise CrossSite()
        # Following a link from elsewhere is fine: the other page does not see the answer.
        follows = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site not in {"none", "same-origin"} and not follows:
            raise CrossSite()


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
