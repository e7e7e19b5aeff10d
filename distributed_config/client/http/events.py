"""Following a server's journal over server-sent events, resumed wherever they break off."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from distributed_config.client.http.messages import Request
from distributed_config.client.http.transport import Transport
from distributed_config.errors import Invalid, Unavailable, Unreachable
from distributed_config.wire import Position, parse_position

# The ways in which a stream from something other than our server can fail to parse.
_GARBLED = (ValueError, KeyError, TypeError, RecursionError)
# The server sends at least a comment every ten seconds, so two missed ones mean a dead connection.
_SILENCE = 25.0
# Streams end all the time, as when a server restarts. Only a resumption that fails is a warning.
_FAILURES_BEFORE_WARNING = 2

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Revision:
    """One revision of the journal. ``changes`` are those that match, as the server's API has them.

    ``reset`` means that the journal does not continue from where the caller was; read again what
    you need. Such a revision has no changes. ``position`` is where to resume, in another process
    or after a break.
    """

    number: int
    changes: tuple[dict[str, Any], ...] = ()
    reset: bool = False
    position: str = ""


def follow(transport: Transport, query: Mapping[str, Any]) -> Iterator[Revision]:
    """Yield every revision, once and in order, until the transport is closed.

    Raises Invalid, with the server's reasons, if the query itself is wrong. Every other failure is
    logged and retried.
    """
    parameters = dict(query)
    failures = 0
    while True:
        try:
            for name, position, data in _events(transport.stream_lines(_request(parameters))):
                epoch = data["epoch"] if name in {"hello", "reset"} else parameters.get("epoch")
                changes = tuple(data["changes"]) if name == "changes" else ()
                # The query moves with every event, so that a retry resumes after the last one.
                parameters |= {"after": str(position), "epoch": epoch}
                # A greeting alone is no success: against a server that ends each stream at once,
                # many clients would reconnect without a pause.
                failures = failures if name == "hello" else 0
                if changes or name == "reset":
                    yield Revision(position.revision, changes, name == "reset", str(position))
        except Invalid:
            raise
        except (Unreachable, Unavailable, *_GARBLED) as error:
            failures += 1
            if failures == _FAILURES_BEFORE_WARNING:
                _logger.warning("the changes cannot be followed: %s Retrying.", error)
            wait = error.retry_after if isinstance(error, Unavailable) else 0
            if transport.pause(wait + transport.backoff.seconds(failures)):
                return


def _request(parameters: Mapping[str, Any]) -> Request:
    headers = {"Accept": "text/event-stream"}
    return Request("GET", "/api/v1/changes", parameters, headers, timeout=_SILENCE)


def _events(lines: Iterator[bytes]) -> Iterator[tuple[str, Position, Any]]:
    """Yield the name, id and data of each event.

    An event without data has the name "": it only moves the id, past changes that were filtered
    out on the server.
    """
    name, data, position = "", b"", None
    for line in lines:
        if not line:
            # Before the first id there are only comments, which have no position to resume from.
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
