"""Schemas that load what they can, and report every problem with its pointer."""

from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, ValidationError, fields

from distributed_config import wire
from distributed_config.errors import Problem as Fault

FAULTS = "faults"


class PartialSchema(Schema):
    """Loads what it can, and puts the problems of the rest, with pointers, under ``FAULTS``.

    So a view can raise them together with problems that no schema can find.
    """

    def load(self, data: Any, **rest: Any) -> dict[str, Any]:
        try:
            return {**super().load(data, **rest), FAULTS: []}
        except ValidationError as error:
            messages: Any = error.normalized_messages()  # type: ignore[no-untyped-call]  # it has no types
            valid = error.valid_data if isinstance(error.valid_data, dict) else {}
            # Marshmallow keeps what it could load even of a field with an error; that is not safe
            # to use.
            sound = {name: value for name, value in valid.items() if name not in messages}
            return {**sound, FAULTS: wire.in_order(_faults(messages), data)}


class NestedPartial(fields.Nested):
    """A ``PartialSchema`` in another; ``null`` in its place is a problem among its own."""

    def deserialize(self, value: Any, *rest: Any, **named: Any) -> Any:
        if value is None:
            return {FAULTS: [Fault("", "It may not be null.", "schema")]}
        return super().deserialize(value, *rest, **named)


def _faults(messages: Any, pointer: str = "") -> Iterator[Fault]:
    if isinstance(messages, dict):
        for key, below in messages.items():
            inner = f"/{wire.escape_pointer(str(key))}" if key != "_schema" else ""
            yield from _faults(below, pointer + inner)
    else:
        yield from (Fault(pointer, text, "schema") for text in messages)
