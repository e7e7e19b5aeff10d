"""Listeners: callbacks for changes at a place of a configuration."""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from distributed_config.errors import Invalid, Problem
from distributed_config.wire import parse_pointer
from distributed_config.wire.paths import MISSING, at

Callback = Callable[[Any, Any], None]

_logger = logging.getLogger(__name__)


# By identity: the same callback may be registered twice, and each registration ends by itself.
@dataclass(eq=False)
class Listener:
    """A callback, and the place that it is about."""

    callback: Callback
    path: tuple[str, ...]


class Listeners:
    """The listeners of one configuration, in the order in which they came."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._listeners: list[Listener] = []

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def add(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def remove(self, listener: Listener) -> None:
        """Remove ``listener``, if it is still there."""
        with suppress(ValueError):
            self._listeners.remove(listener)

    def notify(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Call each listener whose place has changed, with the new value and the old one.

        None stands for a value that is missing. An exception is logged.
        """
        for listener in list(self._listeners):
            change = change_at(listener.path, old, new)
            # One listener may remove another one, which then must not be called any more.
            if change is None or listener not in self._listeners:
                continue
            try:
                listener.callback(*change)
            except BaseException:  # the application's, also sys.exit(); the others are still called
                _logger.exception("a listener to %r failed", self._service)


def make_listener(callback: Callback, pointer: str) -> Listener:
    """Return a listener. Raises Invalid for a callback or a JSON pointer that is none."""
    path = path_of(pointer)
    if not callable(callback):
        message = f"{callback!r} cannot be called; give a function of the new value and the old."
        raise Invalid.from_problems([Problem("", message, "type", "callback")])
    return Listener(callback, path)


def path_of(pointer: str) -> tuple[str, ...]:
    """Return the tokens of a JSON pointer. Raises Invalid if it is none."""
    if pointer and not pointer.startswith("/"):
        message = f"{pointer!r} is not a JSON pointer, as in /db/host."
        raise Invalid.from_problems([Problem("", message, "pointer", "pointer")])
    return parse_pointer(pointer)


def change_at(
    path: tuple[str, ...], old: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[Any, Any] | None:
    """Return the new value at ``path`` and the old one; None if they are the same."""
    before, after = at(old, path), at(new, path)
    if _is_same_json(before, after):
        return None
    return None if after is MISSING else after, None if before is MISSING else before


def _is_same_json(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON.

    Python's ``==`` would miss changes of type: there 1, 1.0 and True are equal.
    """
    if one is MISSING or other is MISSING:
        return one is other
    try:
        # Defaults may hold objects that JSON cannot; their repr tells those apart.
        return json.dumps(one, sort_keys=True, default=repr) == json.dumps(
            other, sort_keys=True, default=repr
        )
    except (TypeError, ValueError, RecursionError):
        return False  # a call too many does less harm than a change that nobody hears of
