"""Resolved documents over HTTP: their layers, and servers from before there were layers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import unquote

from distributed_config.client.http.messages import Request, not_a_configuration_server
from distributed_config.errors import Invalid

T = TypeVar("T")

# The beginning of what such a server says about a parameter that it does not know.
_UNKNOWN_PARAMETER = "It is not a parameter here"
# Servers are upgraded while their clients run, and nothing tells a client of that.
_ASK_AGAIN_AFTER = 600.0


@dataclass(frozen=True)
class Layer:
    """A version that went into a resolved document."""

    service: str
    environment: str
    version: int


def parse_layers(text: str) -> tuple[Layer, ...]:
    """Return the layers in a ``Config-Layers``, most general first: ``log@default:2, web@prod:7``.

    Raises Unreachable for a text that no server of ours would send.
    """
    # http.client decodes headers as Latin-1, and names may have letters of any script.
    text = unquote(text.encode("latin-1", "replace").decode(errors="replace"))
    return tuple(_parse_layer(each.strip()) for each in text.split(",")) if text.strip() else ()


def _parse_layer(text: str) -> Layer:
    place, _, version = text.rpartition(":")
    service, _, environment = place.rpartition("@")
    if not (service and environment and version.isascii() and version.isdigit()):
        raise not_a_configuration_server()
    return Layer(service, environment, int(version))


class ResolvedRequests:
    """Sends requests for resolved documents, also to a server that does not know of them.

    Such a server has no layers and no references, so what it stores is what it would resolve. It
    refuses the parameter ``resolved``, and is asked without it then, for some minutes without
    another attempt.
    """

    def __init__(self) -> None:
        self._ask_again_at = 0.0

    def send(self, request: Request, send: Callable[[Request], T]) -> T:
        """Return what ``send`` returns for ``request``, or else for it without ``resolved``."""
        if request.query.get("resolved") is None:
            return send(request)
        if time.monotonic() >= self._ask_again_at:
            try:
                return send(request)
            except Invalid as error:
                if not _is_unknown(error):
                    raise
            self._ask_again_at = time.monotonic() + _ASK_AGAIN_AFTER
        return send(replace(request, query={**request.query, "resolved": None}))


def _is_unknown(error: Invalid) -> bool:
    """Whether the server does not know the parameter ``resolved``, rather than its value."""
    return any(
        problem.parameter == "resolved" and problem.message.startswith(_UNKNOWN_PARAMETER)
        for problem in error.problems
    )
