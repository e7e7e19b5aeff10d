"""The base of schemas that render responses."""

from collections.abc import Iterable
from functools import cache
from typing import Any, Self

from marshmallow import Schema


class Answer(Schema):
    """A schema whose class renders: ``ServiceAnswer.render(service)``.

    A key appears in the order in which its field is declared. A value comes from the attribute of
    that name, or from the key if the object is a dictionary, unless the field has an
    ``attribute``. What the object does not have is left out.
    """

    @classmethod
    def render(cls, value: object) -> dict[str, Any]:
        """Return ``value`` as JSON has it."""
        rendered: dict[str, Any] = cls._instance().dump(value)
        return rendered

    @classmethod
    def render_all(cls, values: Iterable[object]) -> list[dict[str, Any]]:
        """Return each of ``values`` as JSON has it."""
        rendered: list[dict[str, Any]] = cls._instance().dump(values, many=True)
        return rendered

    @classmethod
    @cache
    def _instance(cls) -> Self:
        # Making a schema copies all of its fields, which takes longer than a dump. Dumping
        # changes nothing in it, so threads can share one.
        return cls()
