"""A schema, compiled: what it says of a document."""

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

_MOST_KEPT = 256
# Finding out how much there is to tell of a larger document takes too long itself.
_MOST_TOLD_AT_ONCE = 256 << 10
_MOST_TOLD_OF = 2 << 20  # a fault comes with a copy of the value, which may be the whole document
_TOO_MUCH_WORK = Problem(
    "",
    "It would take too long to check: at each level of it the schema's alternatives and references "
    "multiply, or its patterns are long ones. Make it smaller or flatter, or the schema simpler.",
    "size",
)


class Checker:
    """Checks documents against the schema in ``text``, which ``schema_of`` has passed."""

    def __init__(self, text: str) -> None:
        self.schema: dict[str, Any] = json.loads(text)
        self._validator = jsonschema_rs.validator_for(self.schema, **compiling())
        self._meter = Meter(Outline(self.schema))

    def problems(self, value: Any, size: int) -> list[Problem]:
        """Every rule that ``value`` breaks; none: it conforms. ``size`` is that of its text.

        Where telling every one would take too long, only the first is told.
        """
        try:
            self._meter.require_affordable(value)
        except TooMuchWork:
            return [_TOO_MUCH_WORK]
        if self._validator.is_valid(value):
            return []
        if size > _MOST_TOLD_AT_ONCE or not self._meter.is_tellable(value):
            return self._first(value, size)
        found = self._validator.iter_errors(value)
        return list(dict.fromkeys(each for error in found for each in self._told(error)))

    def _first(self, value: Any, size: int) -> list[Problem]:
        brief = self._brief if size <= _MOST_TOLD_OF else None
        if brief is None:
            return [Problem("", "It does not conform, and is too large to tell where.", "size")]
        try:
            brief.validate(value)
        except jsonschema_rs.ValidationError as error:
            return self._told_briefly(error)
        raise AssertionError("what is not valid breaks a rule")

    @cached_property
    def _brief(self) -> jsonschema_rs.Validator | None:
        """Finds the same faults, and does not tell what is wrong with each alternative."""
        try:
            return jsonschema_rs.validator_for(_without_alternatives(self.schema), **compiling())
        except ValueError:
            return None  # the schema refers to an alternative, which is somewhere else now

    def _told_briefly(self, error: jsonschema_rs.ValidationError) -> list[Problem]:
        if self._at(error.schema_path) is None and error.schema_path[-1:] == ["else"]:
            message = "It fits none of the alternatives, or several where it must fit one."
            return [Problem(pointer_of(error.instance_path), message, "anyOf")]
        return self._told(error)

    def _told(self, error: jsonschema_rs.ValidationError) -> list[Problem]:
        return problems_of(error, self._known(error.schema_path[:-1]))

    def _known(self, path: list[str | int]) -> list[str]:
        """The properties that the schema at ``path`` names."""
        here = self._at(path)
        named = here.get("properties", {}) if isinstance(here, dict) else {}
        return list(named) if isinstance(named, dict) else []

    def _at(self, path: list[str | int]) -> Any:
        """What the schema has at ``path``; None if there is nothing."""
        here: Any = self.schema
        for key in path:
            try:
                here = here[key]
            except (KeyError, IndexError, TypeError):
                return None
        return here


def _without_alternatives(schema: dict[str, Any]) -> dict[str, Any]:
    """The same as ``schema``, with conditions in place of alternatives.

    A fault of alternatives carries all faults of each of them. A condition says only that it does
    not hold.
    """
    made = copy.deepcopy(schema)
    for node in Outline(made).nodes.values():
        alternatives = [key for key in ("anyOf", "oneOf") if key in node.schema]
        conditions = [{"if": {key: node.schema.pop(key)}, "else": False} for key in alternatives]
        if conditions:
            node.schema["allOf"] = [*node.schema.get("allOf", []), *conditions]
    return made


@lru_cache(maxsize=_MOST_KEPT)
def validator_for(text: str) -> Checker:
    """The checker of a stored schema; those used last are kept, by what they say."""
    return Checker(text)
