"""A schema, compiled: what it says of a document."""

import json
from functools import lru_cache
from typing import Any

import jsonschema_rs

from distributed_config.errors import Problem
from distributed_config.json_schema.cost import most_work
from distributed_config.json_schema.patterns import compiling
from distributed_config.json_schema.shape import Outline
from distributed_config.json_schema.words import problems_of

# Looks at values, times the size of the document: about a second of one core at the worst.
_MOST_WORK = 100_000_000
_MOST_KEPT = 256
# Telling every fault costs far more than finding that there is one; of the largest documents that
# are wrong all over, only the first is told.
_MOST_TOLD_AT_ONCE = 256 << 10


class Checker:
    """Checks documents against the schema in ``text``, which ``schema_of`` has passed."""

    def __init__(self, text: str) -> None:
        self.schema: dict[str, Any] = json.loads(text)
        self._validator = jsonschema_rs.validator_for(self.schema, **compiling())
        self._looks = most_work(Outline(self.schema))

    def problems(self, value: Any, size: int) -> list[Problem]:
        """Every rule that ``value`` breaks; none: it conforms. ``size`` is that of its text."""
        if self._looks * size > _MOST_WORK:
            message = (
                "It is too large for this schema: at most "
                f"{_MOST_WORK // self._looks} bytes can be checked. Alternatives, and repetitions "
                "in patterns, cost most; maxLength costs nothing."
            )
            return [Problem("", message, "size")]
        if self._validator.is_valid(value):
            return []
        if size > _MOST_TOLD_AT_ONCE:
            return self._first(value)
        found = self._validator.iter_errors(value)
        return list(dict.fromkeys(each for error in found for each in self._told(error)))

    def _first(self, value: Any) -> list[Problem]:
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return self._told(error)
        raise AssertionError("what is not valid breaks a rule")

    def _told(self, error: jsonschema_rs.ValidationError) -> list[Problem]:
        return problems_of(error, self._known(error.schema_path[:-1]))

    def _known(self, path: list[str | int]) -> list[str]:
        """The properties that the schema at ``path`` names."""
        here: Any = self.schema
        for key in path:
            try:
                here = here[key]
            except (KeyError, IndexError, TypeError):
                return []
        named = here.get("properties", {}) if isinstance(here, dict) else {}
        return list(named) if isinstance(named, dict) else []


@lru_cache(maxsize=_MOST_KEPT)
def checker_of(text: str) -> Checker:
    """The checker of a stored schema; those used last are kept, by what they say."""
    return Checker(text)
