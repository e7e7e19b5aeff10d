"""The parameters of routes about the history of one service."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from distributed_config.schemas.fields import (
    StrictBoolean,
    StrictInteger,
    VersionOrEnvironment,
    repeatable,
)
from distributed_config.schemas.queries import PageQuery, ServiceQuery, VersionWriteQuery


class VersionsQuery(ServiceQuery, PageQuery):
    documents = StrictBoolean(load_default=False, metadata={"description": "Documents as well."})
    include = repeatable(
        fields.String(validate=validate.OneOf(("changed",), error="It is one of: {choices}.")),
        "Also how many places each version changed.",
    )


class DiffQuery(ServiceQuery):
    old = VersionOrEnvironment(
        required=True,
        data_key="from",
        metadata={"description": "A version's number, or an environment."},
    )
    new = VersionOrEnvironment(
        required=True, data_key="to", metadata={"description": "Another one of the same kind."}
    )
    resolved = StrictBoolean(
        load_default=True,
        metadata={"description": "Of environments: what programs get, or the stored documents."},
    )

    @validates_schema
    def _both_of_one_kind(self, data: dict[str, Any], **_rest: Any) -> None:
        # A version has a number in its own environment only.
        if isinstance(data.get("old"), int) != isinstance(data.get("new"), int):
            raise ValidationError("Give two versions or two environments.", "to")


class RollbackQuery(VersionWriteQuery):
    to = StrictInteger(
        load_default=None,
        metadata={
            "description": "The version to copy; without it the enabled one before the current."
        },
    )


class MergeQuery(ServiceQuery):
    base = StrictInteger(
        required=True, metadata={"description": "The version that the document was made from."}
    )


class AccessQuery(ServiceQuery, PageQuery):
    pass
