"""Limits of definitions: which paths may be indexed, and which marks a schema may have."""

from collections.abc import Iterator, Sequence
from typing import Any

from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.json_schema import marks_all, marks_path, may_mark, properties_at
from distributed_config.services.definitions.read import Definition
from distributed_config.wire import Document
from distributed_config.wire.paths import ambiguous

MOST_INDEXES = 32


def check_paths(schema: Document, paths: Sequence[str]) -> None:
    """Raise Invalid unless ``paths`` are different properties of ``schema``, none of them secret.

    The empty schema, which allows any document, may have any paths.
    """
    problems = path_problems(schema.value, paths, schema.text)
    if problems:
        raise Invalid.from_problems(problems)


def check_limits(schema: Document, paths: Sequence[str]) -> None:
    """Raise Invalid or InvalidDocument with everything that is wrong with a schema and its indexes.

    InvalidDocument if the schema marks the whole document as one secret, else what ``check_paths``
    raises.
    """
    marks = mark_problems(schema)
    if marks:
        raise InvalidDocument.from_problems(
            [*marks, *path_problems(schema.value, paths, schema.text)]
        )
    check_paths(schema, paths)


def mark_problems(schema: Document) -> list[Problem]:
    """Return the problem that a schema marks the whole document as one secret, if it does."""
    if not may_mark(schema.text) or not marks_all(schema.text):
        return []
    message = "A document cannot be secret as a whole: mark what is in it."
    return [Problem("/schema/x-secret", message, "secret")]


def path_problems(schema: dict[str, Any], paths: Sequence[str], text: str = "") -> list[Problem]:
    """Return the problems of ``paths`` as the indexes of ``schema``.

    ``text`` is the schema's; "" for one that cannot be stored, whose marks are not looked at.
    """
    problems = []
    for position, path in enumerate(paths):
        pointer = f"/indexes/{position}"
        if path in paths[:position]:
            problems.append(Problem(pointer, f"{path!r} is listed twice.", "repeated"))
        else:
            problems += _problems_of_path(schema, path, text, pointer)
    if len(paths) > MOST_INDEXES:
        message = f"A definition has at most {MOST_INDEXES} indexes."
        problems.append(Problem("/indexes", message, "limit"))
    return problems


def _problems_of_path(
    schema: dict[str, Any], path: str, text: str, pointer: str
) -> Iterator[Problem]:
    try:
        properties = properties_at(schema, path)
    except Invalid as error:
        yield Problem(pointer, error.problems[0].message, error.problems[0].rule)
        return
    if len(properties) > 1:
        yield Problem(pointer, ambiguous(path, properties).problems[0].message, "ambiguous")
    elif schema and not properties:
        message = f"{path!r} is not a property in the schema; write it as in 'db.host'."
        yield Problem(pointer, message, "index")
    elif may_mark(text) and any(marks_path(text, keys) for keys in properties):
        # A search that finds services by a secret would confirm guesses at it.
        message = f"{path!r} is marked as secret, and nothing is found by a secret."
        yield Problem(pointer, message, "secret")


def indexed_path(definition: Definition, path: str) -> str:
    """Return the index of a definition that ``path`` is another way to write, or ``path`` itself.

    Raises Invalid for a path that cannot be parsed.
    """
    if path in definition.indexes:
        return path
    schema = definition.document.value
    properties = properties_at(schema, path)
    same = [index for index in definition.indexes if properties_at(schema, index) == properties]
    return same[0] if properties and len(same) == 1 else path
