"""The schema in the body of a request about a definition, with all that is wrong with it."""

from dataclasses import replace
from typing import Any

from distributed_config.errors import InvalidDocument, Problem
from distributed_config.http import auth
from distributed_config.http import request as http_request
from distributed_config.json_schema import load_schema
from distributed_config.schemas import loader
from distributed_config.services import definitions
from distributed_config.wire import Document


def body_schema(name: str, body: dict[str, Any]) -> Document | None:
    """Return the schema in a body; None if it has none.

    Raises InvalidDocument, with all that is wrong with the body and pointers into it.
    """
    problems: list[Problem] = list(body[loader.FAULTS])
    schema = None
    if "schema" in body:
        try:
            schema = load_body_schema(body["schema"])
        except InvalidDocument as error:
            problems += error.problems
    if not problems:
        return schema  # the indexes are checked against it in the transaction that stores both
    problems += _further_problems(name, body, schema)
    raise InvalidDocument.from_problems(problems)


def _further_problems(name: str, body: dict[str, Any], schema: Document | None) -> list[Problem]:
    """Return the problems of the indexes of a body that is refused anyway.

    They are checked against the new schema or, where it has none, the one that is stored: so a
    client learns everything at once.
    """
    paths = body.get("indexes", [])
    if schema is None and "schema" in body:
        return definitions.path_problems(body["schema"], paths)
    if schema is not None:
        marks = definitions.mark_problems(schema)
        return [*marks, *definitions.path_problems(schema.value, paths, schema.text)]
    stored = definitions.lookup(auth.reader(), name)
    if stored is None or any(problem.pointer == "/schema" for problem in body[loader.FAULTS]):
        return definitions.path_problems({}, paths)
    return definitions.path_problems(stored.document.value, paths, stored.schema)


def load_body_schema(value: Any) -> Document:
    """Return ``value`` as a schema. Raises InvalidDocument, with pointers into the body."""
    try:
        return load_schema(value, http_request.schema_limits())
    except InvalidDocument as error:
        raise InvalidDocument.from_problems(
            [replace(problem, pointer=f"/schema{problem.pointer}") for problem in error.problems]
        ) from None
