"""Reading a configuration: a mapping whose document another thread may replace at any time."""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from distributed_config.client.live.state import State, look_up


class View(Mapping[str, Any]):
    """A mapping over the current state. Reading takes no lock, and copies nothing.

    Every method reads ``_state`` once. That is what makes it safe without a lock: an assignment is
    atomic, and a method that read twice could mix two documents.
    """

    service: str
    _state: State

    def __getitem__(self, key: str) -> Any:
        return self._state.value[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.value)

    def __len__(self) -> int:
        return len(self._state.value)

    def __contains__(self, key: object) -> bool:
        return key in self._state.value

    # Mapping's own versions of these three look up each key by itself, across a swap if there is
    # one in between.

    def keys(self) -> KeysView[str]:
        return self._state.value.keys()

    def values(self) -> ValuesView[Any]:
        return self._state.value.values()

    def items(self) -> ItemsView[str, Any]:
        return self._state.value.items()

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value at ``path``, or ``default``: ``cfg.get("db.host", "localhost")``.

        A key that has dots in it is found too. Raises Invalid where a path could be two values.
        """
        state = self._state
        try:
            return state.flat[path]
        # TypeError: a path that cannot be a key, such as a list, is simply not there.
        except (KeyError, TypeError):
            return look_up(state, path, default)

    # A Mapping is equal by its contents and so has no hash; a live one is also itself, and can be
    # kept in a set.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.service!r} version {self.version} from {self.source}>"

    @property
    def value(self) -> Mapping[str, Any]:
        """The whole current configuration; it cannot be changed, and does not change."""
        return self._state.value

    @property
    def state(self) -> State:
        """The current configuration together with its version, entity tag and source."""
        return self._state

    @property
    def version(self) -> int | None:
        """The number of the current version; None for defaults."""
        return self._state.version

    @property
    def source(self) -> str:
        """The origin of the current configuration: ``server``, ``snapshot`` or ``defaults``."""
        return self._state.source
