"""Changes to a document: merge patches (RFC 7396) and JSON Patches (RFC 6902)."""

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


class _CopiesTooMuch(ValueError):
    pass


_FAILURES = (
    jsonpatch.JsonPatchException,
    JsonPointerException,
    RecursionError,
    TypeError,
    ValueError,
)


def patched(value: Any, operations: list[Any], limits: DocumentLimits) -> Any:
    """``value`` after ``operations``. What they copy is limited: each could double it."""
    if len(operations) > limits.keys:
        message = f"A patch has at most {limits.keys} operations."
        raise InvalidDocument.of([Problem("", message, "json-patch")])
    budget = limits.size
    for i, operation in enumerate(operations):
        try:
            budget -= _copied(value, operation, budget)
            value = jsonpatch.apply_patch(value, [operation], in_place=True)
        except _FAILURES as error:
            # The operations behind this one rest on it, so there is one problem to tell.
            problem = Problem(f"/{i}", _sentence(error), "json-patch")
            raise InvalidDocument.of([problem]) from None
    return value


def _sentence(error: Exception) -> str:
    """Why an operation does not apply; the library's own words would show what is stored."""
    if isinstance(error, jsonpatch.JsonPatchTestFailed):
        return "The test does not hold."
    if isinstance(error, jsonpatch.InvalidJsonPatch):
        return "It is not an operation of RFC 6902: op, path, and value or from are needed."
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
