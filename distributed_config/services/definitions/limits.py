"""What a schema may mark as secret, and which paths may be indexed."""

from collections.abc import Iterator, Sequence
from typing import Any

from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.json_schema import marks_all, marks_path, may_mark, properties_at
from distributed_config.services.definitions.read import Definition
from distributed_config.wire import Document
from distributed_config.wire.paths import ambiguous

MOST_INDEXES = 32


def check_paths(schema: Document, paths: Sequence[str]) -> None:
    """Raises Invalid unless ``paths`` are different properties that ``schema`` has.

    A schema that says nothing at all may have any. None may be secret.
    """
    problems = path_problems(schema.value, paths, schema.text)
    if problems:
        raise Invalid.from_problems(problems)


def check_limits(schema: Document, paths: Sequence[str]) -> None:
    """The same, and raises InvalidDocument if ``schema`` marks a whole document as one secret."""
    marks = mark_problems(schema)
    if marks:
        raise InvalidDocument.from_problems(
            [*marks, *path_problems(schema.value, paths, schema.text)]
        )
    check_paths(schema, paths)


def mark_problems(schema: Document) -> list[Problem]:
    """That a schema marks the whole document as one secret, if it does."""
    if not may_mark(schema.text) or not marks_all(schema.text):
        return []
    message = "A document cannot be secret as a whole: mark what is in it."
    return [Problem("/schema/x-secret", message, "secret")]


def path_problems(schema: dict[str, Any], paths: Sequence[str], text: str = "") -> list[Problem]:
    """What is wrong with ``paths`` as the indexes of ``schema``.

    Without its ``text``, as of a schema that cannot be stored, it is not asked what that marks.
    """
    problems = []
    for position, path in enumerate(paths):
        pointer = f"/indexes/{position}"
        if path in paths[:position]:
            problems.append(Problem(pointer, f"{path!r} is listed twice.", "repeated"))
        else:
            problems += _faults_of_path(schema, path, text, pointer)
    if len(paths) > MOST_INDEXES:
        message = f"A definition has at most {MOST_INDEXES} indexes."
        problems.append(Problem("/indexes", message, "limit"))
    return problems


def _faults_of_path(
    schema: dict[str, Any], path: str, text: str, pointer: str
) -> Iterator[Problem]:
    """What is wrong with one of them."""
    try:
        found = properties_at(schema, path)
    except Invalid as error:
        yield Problem(pointer, error.problems[0].message, error.problems[0].rule)
        return
    if len(found) > 1:
        yield Problem(pointer, ambiguous(path, found).problems[0].message, "ambiguous")
    elif schema and not found:
        message = f"{path!r} is not a property in the schema; write it as in 'db.host'."
        yield Problem(pointer, message, "index")
    elif may_mark(text) and any(marks_path(text, keys) for keys in found):
        message = f"{path!r} is marked as secret, and nothing is found by a secret."
        yield Problem(pointer, message, "secret")


def indexed_path(definition: Definition, path: str) -> str:
    """``path`` as the definition lists it, where it is another way to write one of its indexes.

    Raises Invalid for a path that cannot be read.
    """
    if path in definition.indexes:
        return path
    schema = definition.document.value
    wanted = properties_at(schema, path)
    same = [each for each in definition.indexes if properties_at(schema, each) == wanted]
    return same[0] if wanted and len(same) == 1 else path
