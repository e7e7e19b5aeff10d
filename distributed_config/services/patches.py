"""JSON Patches of a document (RFC 6902)."""

from collections.abc import Callable
from typing import Any

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException

from distributed_config.errors import InvalidDocument, Problem
from distributed_config.services.layers.merging import weight_of
from distributed_config.wire import DocumentLimits

_NO_OPERATION = "It is not an operation of RFC 6902: op, path, and value or from are needed."
_REQUIRED = {
    "add": {"path", "value"},
    "remove": {"path"},
    "replace": {"path", "value"},
    "move": {"path", "from"},
    "copy": {"path", "from"},
    "test": {"path", "value"},
}
"""The operations, each with the members that it must have besides ``op``."""


class _CopiesTooMuch(ValueError):
    """An operation copies more than a document may hold."""


# The library lets the last three through, where a path leads into a scalar or a value is deep.
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
    """Return the result of ``operations`` on ``value``, which may be changed on the way.

    ``check`` is called before each operation, and may raise to end all of them. Raises
    InvalidDocument with every malformed operation, and with the first that does not apply.
    """
    if len(operations) > limits.keys:
        message = f"A patch has at most {limits.keys} operations."
        raise InvalidDocument.from_problems([Problem("", message, "json-patch")])
    faults = {i: fault for i, one in enumerate(operations) if (fault := _malformed(one))}
    # Each copy could double the document: thirty of them, and no memory is large enough.
    budget = limits.size
    for i, operation in enumerate(operations):
        if i in faults:
            break
        check()
        try:
            budget -= _copied(value, operation, budget)
            value = jsonpatch.apply_patch(value, [operation], in_place=True)
        except _FAILURES as error:
            # Those after it were written for its result, and their errors would mislead.
            faults[i] = _explain(error)
            break
    if faults:
        raise InvalidDocument.from_problems(
            [Problem(f"/{i}", faults[i], "json-patch") for i in sorted(faults)]
        )
    return value


def _malformed(operation: Any) -> str:
    """Return why an operation is malformed, whatever the document is; "" if it is not."""
    members = operation if isinstance(operation, dict) else {}
    name = members.get("op")
    required = _REQUIRED.get(name) if isinstance(name, str) else None
    if required is None or not required <= members.keys():
        return _NO_OPERATION
    pointers = [members[key] for key in ("path", "from") if key in required]
    if not all(isinstance(pointer, str) for pointer in pointers):
        return _NO_OPERATION
    try:
        for pointer in pointers:
            JsonPointer(pointer)
    except JsonPointerException:
        return "Its path, or its from, is not a JSON pointer, as /db/host is."
    return ""


def _explain(error: Exception) -> str:
    """Return why an operation does not apply."""
    # Not the library's own texts: they quote what is stored.
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
    """Return the size of what an operation copies. Raises _CopiesTooMuch above ``most``."""
    if not isinstance(operation, dict) or operation.get("op") != "copy":
        return 0
    weight = weight_of(JsonPointer(operation.get("from", "")).resolve(value), most)
    if weight > most:
        raise _CopiesTooMuch
    return weight
