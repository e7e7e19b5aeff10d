"""Changes to a document: merge patches (RFC 7396) and JSON Patches (RFC 6902)."""

from collections.abc import Callable
from typing import Any

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException

from distributed_config.errors import InvalidDocument, Problem
from distributed_config.wire import DocumentLimits


def merged(target: Any, patch: Any) -> Any:
    """``target`` after the merge patch ``patch``; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


_NO_OPERATION = "It is not an operation of RFC 6902: op, path, and value or from are needed."
_NEEDED = {
    "add": {"path", "value"},
    "remove": {"path"},
    "replace": {"path", "value"},
    "move": {"path", "from"},
    "copy": {"path", "from"},
    "test": {"path", "value"},
}
"""The operations, each with the members that it must have."""


class _CopiesTooMuch(ValueError):
    pass


_FAILURES = (
    jsonpatch.JsonPatchException,
    JsonPointerException,
    RecursionError,
    TypeError,
    ValueError,
)


def patched(
    value: Any,
    operations: list[Any],
    limits: DocumentLimits,
    check: Callable[[], None] = lambda: None,
) -> Any:
    """``value`` after ``operations``. What they copy is limited: each could double it.

    ``check`` is called before each of them, and may raise whatever ends them all.

    Raises InvalidDocument with every operation that is malformed. Those behind one that does not
    apply rest on it, so of what only the document shows the first is told.
    """
    if len(operations) > limits.keys:
        message = f"A patch has at most {limits.keys} operations."
        raise InvalidDocument.from_problems([Problem("", message, "json-patch")])
    faults = {i: fault for i, each in enumerate(operations) if (fault := _malformed(each))}
    budget = limits.size
    for i, operation in enumerate(operations):
        if i in faults:
            break
        check()
        try:
            budget -= _copied(value, operation, budget)
            value = jsonpatch.apply_patch(value, [operation], in_place=True)
        except _FAILURES as error:
            faults[i] = _sentence(error)
            break
    if faults:
        raise InvalidDocument.from_problems(
            [Problem(f"/{i}", faults[i], "json-patch") for i in sorted(faults)]
        )
    return value


def _malformed(operation: Any) -> str:
    """What is wrong with an operation whatever the document is; empty: nothing."""
    given = operation if isinstance(operation, dict) else {}
    named = given.get("op")
    needed = _NEEDED.get(named) if isinstance(named, str) else None
    if needed is None or not needed <= given.keys():
        return _NO_OPERATION
    pointers = [given[key] for key in ("path", "from") if key in needed]
    if not all(isinstance(each, str) for each in pointers):
        return _NO_OPERATION
    try:
        for pointer in pointers:
            JsonPointer(pointer)
    except JsonPointerException:
        return "Its path, or its from, is not a JSON pointer, as /db/host is."
    return ""


def _sentence(error: Exception) -> str:
    """Why an operation does not apply; the library's own words would show what is stored."""
    if isinstance(error, jsonpatch.JsonPatchTestFailed):
        return "The test does not hold."
    if isinstance(error, jsonpatch.InvalidJsonPatch):
        return _NO_OPERATION
    if isinstance(error, jsonpatch.JsonPatchConflict | JsonPointerException):
        return "Its path, or its from, leads to nothing that is there."
    if isinstance(error, RecursionError):
        return "What it works on is nested far too deep."
    if isinstance(error, _CopiesTooMuch):
        return "It copies more than a document may hold."
    return "It cannot be applied to what its path leads to."


def _copied(value: Any, operation: Any, most: int) -> int:
    """How much of ``value`` an operation copies. Raises _CopiesTooMuch over ``most``."""
    if not isinstance(operation, dict) or operation.get("op") != "copy":
        return 0
    weight = _weight(JsonPointer(operation.get("from", "")).resolve(value), most)
    if weight > most:
        raise _CopiesTooMuch
    return weight


def _weight(value: Any, most: int) -> int:
    """About the size of ``value``; stops counting when it is more than ``most``."""
    weight = 0
    waiting = [value]
    while waiting and weight <= most:
        here = waiting.pop()
        weight += 1 + (len(here) if isinstance(here, str | dict | list) else 0)
        if isinstance(here, dict):
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
    return weight
