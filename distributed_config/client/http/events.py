"""Following the journal of a server: server-sent events, taken up again where they ended."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from distributed_config.client.http.transport import Request, Transport
from distributed_config.errors import Invalid, Unavailable, Unreachable
from distributed_config.wire import Position, parse_position

# What a stream can hold that is not what a server of ours sends.
_GARBLED = (ValueError, KeyError, TypeError, RecursionError)
# The server says something every ten seconds.
_SILENCE = 25.0
# That a stream ends is nothing; that it cannot be taken up again at once is.
_WORTH_TELLING = 2

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Revision:
    """One revision: ``changes`` as the server's API has them, all that were asked for.

    ``reset``: what lay before cannot be continued; read anew what you need. It has no changes.
    ``position`` is where to go on from, in another process or after a break.
    """

    number: int
    changes: tuple[dict[str, Any], ...] = ()
    reset: bool = False
    position: str = ""


def follow(transport: Transport, query: Mapping[str, Any]) -> Iterator[Revision]:
    """Every revision, once and in order, for ever; or until the transport is closed.

    Raises what the server says against the question itself.
    """
    asked = dict(query)
    failures = 0
    while True:
        request = Request(
            "GET",
            "/api/v1/changes",
            asked,
            {"Accept": "text/event-stream"},
            timeout=_SILENCE,
        )
        try:
            for event, position, data in _events(transport.lines(request)):
                epoch = data["epoch"] if event in {"hello", "reset"} else asked.get("epoch")
                changes = tuple(data["changes"]) if event == "changes" else ()
                asked |= {"after": str(position), "epoch": epoch}
                # A greeting alone is no success: many would ask again and again at once.
                failures = failures if event == "hello" else 0
                if changes or event == "reset":
                    yield Revision(position.revision, changes, event == "reset", str(position))
        except Invalid:
            raise
        except (Unreachable, Unavailable, *_GARBLED) as error:
            failures += 1
            if failures == _WORTH_TELLING:
                _logger.warning("the changes stay away: %s It is tried again.", error)
            told = error.retry_after if isinstance(error, Unavailable) else 0
            if transport.pause(told + transport.backoff.seconds(failures)):
                return


def _events(lines: Iterator[bytes]) -> Iterator[tuple[str, Position, Any]]:
    """Name, id and data of each event; one without data is "" and moves the id only."""
    name, data, position = "", b"", None
    for line in lines:
        if not line:
            if position is not None:
                yield name if data else "", position, json.loads(data or b"null")
            name, data = "", b""
            continue
        key, _, value = line.partition(b": ")
        if key == b"event":
            name = value.decode()
        elif key == b"data":
            data += value
        elif key == b"id":
            position = parse_position(value.decode())
