"""Compiled schemas, and the problems that they find in documents."""

import copy
import json
from functools import cached_property, lru_cache
from typing import Any

import jsonschema_rs

from distributed_config.errors import Problem
from distributed_config.json_schema.cost import Meter, TooMuchWork
from distributed_config.json_schema.messages import pointer_of, problems_of
from distributed_config.json_schema.outline import Outline
from distributed_config.json_schema.patterns import compiling

_MOST_CACHED = 256
# In a larger document, to find out how many problems there are takes too long itself.
_MOST_REPORTED_IN_FULL = 256 << 10
_MOST_REPORTED = 2 << 20  # a problem comes with a copy of the value, perhaps the whole document
_TOO_MUCH_WORK = Problem(
    "",
    "It would take too long to check: at each level the schema's alternatives and references "
    "multiply, or its patterns are long. Make it smaller or flatter, or the schema simpler.",
    "size",
)


class Checker:
    """A validator of documents for the schema in ``text``, which ``load_schema`` accepted."""

    def __init__(self, text: str) -> None:
        self.schema: dict[str, Any] = json.loads(text)
        self._validator = jsonschema_rs.validator_for(self.schema, **compiling())
        self._meter = Meter(Outline(self.schema))

    def problems(self, value: Any, size: int) -> list[Problem]:
        """Return every rule that ``value`` breaks; an empty list if it conforms.

        ``size`` is the length of its text, in letters or in bytes. Where reporting every problem
        would take too long, only the first one is reported.
        """
        # Walking through the document takes twenty times as long as checking it, and so is left out
        # where it cannot matter.
        counted = not self._meter.affords_any(size)
        if counted and not self._is_affordable(value):
            return [_TOO_MUCH_WORK]
        # Most documents conform, and finding that out is quicker than collecting errors.
        if self._validator.is_valid(value):
            return []
        small = size <= _MOST_REPORTED_IN_FULL and (counted or self._is_affordable(value))
        if not small or not self._meter.is_reportable(value):
            return self._first(value, size)
        errors = self._validator.iter_errors(value)
        return list(dict.fromkeys(problem for error in errors for problem in self._report(error)))

    def _is_affordable(self, value: Any) -> bool:
        try:
            self._meter.require_affordable(value)
        except TooMuchWork:
            return False
        return True

    def _first(self, value: Any, size: int) -> list[Problem]:
        brief = self._brief if size <= _MOST_REPORTED else None
        if brief is None:
            return [Problem("", "It does not conform, and is too large to find out where.", "size")]
        try:
            brief.validate(value)
        except jsonschema_rs.ValidationError as error:
            return self._report_briefly(error)
        raise AssertionError("what is not valid breaks a rule")

    @cached_property
    def _brief(self) -> jsonschema_rs.Validator | None:
        """A validator that finds equal problems, without the reasons of each alternative."""
        try:
            return jsonschema_rs.validator_for(_without_alternatives(self.schema), **compiling())
        except ValueError:
            return None  # the schema refers to an alternative, which is somewhere else now

    def _report_briefly(self, error: jsonschema_rs.ValidationError) -> list[Problem]:
        if self._at(error.schema_path) is None and error.schema_path[-1:] == ["else"]:
            message = "It fits none of the alternatives, or several where it must fit one."
            return [Problem(pointer_of(error.instance_path), message, "anyOf")]
        return self._report(error)

    def _report(self, error: jsonschema_rs.ValidationError) -> list[Problem]:
        return problems_of(error, self._known(error.schema_path[:-1]))

    def _known(self, path: list[str | int]) -> list[str]:
        """Return the properties that the schema at ``path`` names."""
        here = self._at(path)
        named = here.get("properties", {}) if isinstance(here, dict) else {}
        return list(named) if isinstance(named, dict) else []

    def _at(self, path: list[str | int]) -> Any:
        """Return what the schema has at ``path``; None if there is nothing."""
        here: Any = self.schema
        for key in path:
            try:
                here = here[key]
            except (KeyError, IndexError, TypeError):
                return None
        return here


def _without_alternatives(schema: dict[str, Any]) -> dict[str, Any]:
    """Return ``schema`` with conditions in place of alternatives.

    An error of alternatives carries all errors of each of them, which can be very many. A condition
    says only that it does not hold.
    """
    brief = copy.deepcopy(schema)
    for node in Outline(brief).nodes.values():
        alternatives = [key for key in ("anyOf", "oneOf") if key in node.schema]
        conditions = [{"if": {key: node.schema.pop(key)}, "else": False} for key in alternatives]
        if conditions:
            node.schema["allOf"] = [*node.schema.get("allOf", []), *conditions]
    return brief


@lru_cache(maxsize=_MOST_CACHED)
def validator_for(text: str) -> Checker:
    """Return the validator of a stored schema; those used last are cached by their text."""
    return Checker(text)
