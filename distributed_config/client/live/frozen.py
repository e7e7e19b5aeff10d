"""Documents that nobody can change: threads share them, and none may surprise another.

They are dicts and lists, and not only mappings and sequences, so that ``json.dumps`` and type
checks of the application's take them.
"""

from typing import Any, NoReturn


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("A configuration cannot be changed here; publish another version of it.")


class FrozenDict(dict[str, Any]):
    """An object of a document: it reads like any dict, and cannot be written to."""

    __slots__ = ()

    # Filled in __new__, because __init__ can be called again on a finished object.
    def __new__(cls, *pairs: Any) -> "FrozenDict":
        frozen = super().__new__(cls)
        dict.update(frozen, *pairs)
        return frozen

    def __init__(self, *_: Any) -> None:
        """Do nothing: the content is complete, and dict's own ``__init__`` would add to it."""

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    # A copy, or what comes out of a pickle, is the program's own, and can be changed.
    def __reduce__(self) -> Any:
        return (dict, (dict(self),))


class FrozenList(list[Any]):
    """An array of a document: it reads like any list, and cannot be written to."""

    __slots__ = ()

    def __new__(cls, *elements: Any) -> "FrozenList":
        frozen = super().__new__(cls)
        list.extend(frozen, *elements)
        return frozen

    def __init__(self, *_: Any) -> None:
        """Do nothing: the content is complete, and list's own ``__init__`` would replace it."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> Any:
        return (list, (list(self),))


def freeze(value: Any) -> Any:
    """Return a copy of ``value``, and of everything in it, that cannot be changed."""
    if isinstance(value, dict):
        return FrozenDict((key, freeze(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return FrozenList(freeze(item) for item in value)
    return value


def thaw(value: Any) -> Any:
    """Return a copy of ``value``, and of everything in it, that the program may change."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [thaw(item) for item in value]
    return value
