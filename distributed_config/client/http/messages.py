"""Requests and responses as values, and the errors that a response stands for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from distributed_config.errors import DistconfError, Problem, Unreachable

# A server that asks for more is not obeyed: the caller's own backoff tries again sooner.
_LONGEST_RETRY_AFTER = 30.0


@dataclass
class Request:
    """A request to a path of the server.

    ``timeout`` is in seconds: for the whole response, or in a stream for each line; None means the
    transport's own. ``most`` is the size in bytes of the largest response that is read; None means
    any size.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout: float | None = None
    most: int | None = None

    @property
    def target(self) -> str:
        """The path and the query; values that are None are left out, lists are repeated."""
        pairs = [
            (name, item)
            for name, value in self.query.items()
            if value is not None
            for item in (value if isinstance(value, list | tuple) else [value])
        ]
        return f"{self.path}?{urlencode(pairs)}" if pairs else self.path


@dataclass(frozen=True)
class Response:
    """A whole response. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body. Raises Unreachable if there is none."""
        try:
            value = json.loads(self.body)
        # A response from elsewhere may nest deeper than Python's parser can follow.
        except (ValueError, RecursionError):
            raise not_a_configuration_server() from None
        if not isinstance(value, dict):
            raise not_a_configuration_server()
        return value

    def header(self, name: str) -> str:
        """Return a header that the server always sends. Raises Unreachable if it is missing."""
        if name not in self.headers:
            raise not_a_configuration_server()
        return self.headers[name]

    def number(self, name: str) -> int:
        """Return a header as a number. Raises Unreachable if it is missing, or is no number."""
        text = self.header(name)
        # isdigit() alone also takes digits such as ², which int() refuses.
        if not (text.isascii() and text.isdigit()):
            raise not_a_configuration_server()
        return int(text)


def not_a_configuration_server() -> Unreachable:
    """Return the error for a response that no server of ours would send.

    Proxies, captive portals and wrong ports answer like this. It is Unreachable, and no error of
    its own, because a program does the same about both: it goes on with what it has.
    """
    return Unreachable("What answered is not a configuration server. Check the address.")


def error_from(response: Response) -> DistconfError:
    """Return the error in a response, as an instance of the class that the server raised.

    A response without a problem document (RFC 9457) is Unreachable: a proxy sent it.
    """
    try:
        body = json.loads(response.body)
        problems = [
            Problem(
                item["pointer"],
                item["message"],
                item["rule"],
                item.get("parameter", ""),
                item.get("line", 0),
                item.get("column", 0),
            )
            for item in body["problems"]
        ]
        error = DistconfError.from_code(body["code"], body["detail"], problems)
    except (ValueError, KeyError, TypeError, RecursionError):
        error = Unreachable(f"Something answered with status {response.status} and no reason.")
    error.retry_after = _retry_after(response)
    return error


def _retry_after(response: Response) -> float:
    """Return the seconds in ``Retry-After``; 0 for a date or anything else that is no number."""
    text = response.headers.get("retry-after", "")
    return min(float(text), _LONGEST_RETRY_AFTER) if text.isascii() and text.isdigit() else 0.0
