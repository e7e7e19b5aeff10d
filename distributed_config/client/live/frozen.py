"""Documents that nobody can change: several threads read them, and none may surprise another."""

from typing import Any, NoReturn


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("A configuration cannot be changed here; publish another version of it.")


class FrozenDict(dict[str, Any]):
    """An object of a document: read like any dict, and written to by nobody."""

    __slots__ = ()

    def __new__(cls, *pairs: Any) -> "FrozenDict":
        made = super().__new__(cls)
        dict.update(made, *pairs)
        return made

    def __init__(self, *_: Any) -> None:
        """Nothing: it has what it has from the beginning, and for ever."""

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> Any:
        return (dict, (dict(self),))


class FrozenList(list[Any]):
    """An array of a document."""

    __slots__ = ()

    def __new__(cls, *elements: Any) -> "FrozenList":
        made = super().__new__(cls)
        list.extend(made, *elements)
        return made

    def __init__(self, *_: Any) -> None:
        """Nothing: it has what it has from the beginning, and for ever."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> Any:
        return (list, (list(self),))


def frozen(value: Any) -> Any:
    """``value`` and all that is in it, as copies that cannot be changed."""
    if isinstance(value, dict):
        return FrozenDict((key, frozen(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return FrozenList(frozen(each) for each in value)
    return value


def plain(value: Any) -> Any:
    """``value`` and all that is in it, as copies that are the program's own to change."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value
