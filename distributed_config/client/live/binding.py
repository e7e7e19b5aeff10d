"""From a document to an application's own types: dataclasses and pydantic models.

Types are read here, and not by a library, because the client has no dependencies.
"""

import dataclasses
import enum
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from distributed_config.errors import Problem, Rejected
from distributed_config.wire import escape_pointer

T = TypeVar("T")


def bind(kind: type[T], value: Any) -> T:
    """Return ``value`` as a ``kind``. Raises Rejected with everything that does not fit.

    A dataclass gets the keys that its fields name; other keys are ignored, so that a newer
    configuration does not stop an older program. Whole numbers are accepted for floats; nothing
    else is converted. A pydantic model validates itself.
    """
    validate = getattr(kind, "model_validate", None)
    if validate is not None:
        try:
            model: T = validate(value)
        except Exception as error:  # of the application's own code: whatever it is, it is a no
            raise Rejected(f"{getattr(kind, '__name__', kind)}: {error}") from None
        return model
    problems: list[Problem] = []
    try:
        result: T = _convert(kind, value, "", problems)
    # A document of the greatest depth, bound by a program that is deep in calls itself.
    except RecursionError:
        raise Rejected("It is nested deeper than this program can follow.") from None
    if problems:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Rejected(f"{first.pointer or 'It'}: {first.message}{more}", problems)
    return result


def _convert(  # noqa: PLR0911  # a line for each kind of type
    kind: Any, value: Any, pointer: str, problems: list[Problem]
) -> Any:
    """Return ``value`` as a ``kind``, and add what does not fit to ``problems``."""
    plain = get_origin(kind) or kind
    plain = {Sequence: list, Mapping: dict}.get(plain, plain)
    if kind is Any:
        return value
    if plain in {Union, types.UnionType}:
        return _one_of(get_args(kind), value, pointer, problems)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _dataclass(kind, value, pointer, problems)
    if plain in {list, tuple} and isinstance(value, list):
        return _sequence(plain, get_args(kind), value, pointer, problems)
    if plain is dict and isinstance(value, dict):
        return _mapping(get_args(kind), value, pointer, problems)
    if not _is_supported(plain):
        message = f"{_describe(kind)} is not a type of JSON. Bind text or a number, and convert it."
        problems.append(Problem(pointer, message, "unsupported"))
        return None
    if _fits(kind, value):
        return _scalar(kind, value)
    problems.append(Problem(pointer, f"It must be {_describe(kind)}.", "type"))
    return None


def _is_supported(plain: Any) -> bool:
    known = {str, int, float, bool, type(None), list, tuple, dict, object, Literal}
    return plain in known or _is_enum(plain) or dataclasses.is_dataclass(plain)


def _mapping(
    args: tuple[Any, ...], value: dict[str, Any], pointer: str, problems: list[Problem]
) -> dict[str, Any]:
    inner = args[1] if args else Any
    return {
        key: _convert(inner, item, f"{pointer}/{escape_pointer(key)}", problems)
        for key, item in value.items()
    }


def _scalar(kind: Any, value: Any) -> Any:
    if _is_enum(kind):
        return kind(value)
    return float(value) if kind is float else value


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _dataclass(kind: Any, value: dict[str, Any], pointer: str, problems: list[Problem]) -> Any:
    # Not field.type, which is text under ``from __future__ import annotations``.
    hints = get_type_hints(kind)
    arguments: dict[str, Any] = {}
    before = len(problems)
    for field in dataclasses.fields(kind):
        here = f"{pointer}/{escape_pointer(field.name)}"
        if not field.init:
            continue
        if field.name in value:
            arguments[field.name] = _convert(hints[field.name], value[field.name], here, problems)
        elif _is_required(field):
            problems.append(Problem(here, "It is missing.", "required"))
    if len(problems) > before:
        return None
    try:
        return kind(**arguments)
    except Exception as error:  # of a check of the class itself, in its __post_init__
        problems.append(Problem(pointer, f"{error}", "value"))
        return None


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _sequence(
    kind: Any, args: tuple[Any, ...], value: list[Any], pointer: str, problems: list[Problem]
) -> Any:
    if kind is tuple and args and args[-1] is not ...:
        if len(args) != len(value):
            problems.append(Problem(pointer, f"It must have {len(args)} elements.", "type"))
            return None
        kinds = list(args)
    else:
        kinds = [args[0] if args else Any] * len(value)
    return kind(
        _convert(inner, item, f"{pointer}/{position}", problems)
        for position, (inner, item) in enumerate(zip(kinds, value, strict=True))
    )


def _one_of(kinds: tuple[Any, ...], value: Any, pointer: str, problems: list[Problem]) -> Any:
    for kind in kinds:
        attempt: list[Problem] = []
        result = _convert(kind, value, pointer, attempt)
        if not attempt:
            return result
    if value is not None and len(kinds) == 2 and type(None) in kinds:
        # Of an optional value, the problems of the value itself say more than "or null".
        [kind] = [option for option in kinds if option is not type(None)]
        return _convert(kind, value, pointer, problems)
    message = f"It must be {' or '.join(_describe(kind) for kind in kinds)}."
    problems.append(Problem(pointer, message, "type"))
    return None


def _fits(kind: Any, value: Any) -> bool:  # noqa: PLR0911  # a line for each kind of type
    if kind is type(None):
        return value is None
    if get_origin(kind) is Literal:
        return _is_among(value, get_args(kind))
    if _is_enum(kind):
        return _is_among(value, tuple(member.value for member in kind))
    if get_origin(kind) is not None or kind in {list, tuple, dict, Sequence, Mapping}:
        return False
    if kind is float:
        # JSON's integers have no limit, and float() of a very large one raises OverflowError.
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        return fits and abs(value) <= sys.float_info.max
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)


def _is_among(value: Any, values: tuple[Any, ...]) -> bool:
    """Whether ``value`` is one of ``values``, of the same type: in Python True equals 1."""
    return any(type(option) is type(value) and option == value for option in values)


def _describe(kind: Any) -> str:
    """Return a type in words, as in ``It must be …``."""
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    names |= {type(None): "null", list: "an array", tuple: "an array", dict: "an object"}
    names |= {Sequence: "an array", Mapping: "an object"}
    known = names.get(get_origin(kind) or kind)
    if known is not None:
        return known
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    if _is_enum(kind):
        return f"one of {', '.join(repr(member.value) for member in kind)}"
    return "an object" if dataclasses.is_dataclass(kind) else getattr(kind, "__name__", str(kind))
