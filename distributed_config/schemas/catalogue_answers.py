"""The responses of routes that list services, and search in them."""

from marshmallow import fields, validate

from distributed_config.schemas.answers import ServiceAnswer
from distributed_config.schemas.base import Answer
from distributed_config.schemas.fields import Time
from distributed_config.services.search import KINDS


class LastChangeAnswer(Answer):
    revision = fields.Integer(required=True)
    time = Time(required=True, attribute="changed_at")
    kind = fields.String(required=True)
    version = fields.Integer(required=True, allow_none=True, attribute="number")
    actor = fields.String(required=True)
    note = fields.String(required=True)


class ListedAnswer(ServiceAnswer):
    last_change = fields.Nested(
        LastChangeAnswer,
        metadata={
            "description": "With include=last_change: of the service, or of its versions in this "
            "environment."
        },
    )


class ServicesAnswer(Answer):
    services = fields.List(fields.Nested(ListedAnswer), required=True)
    total = fields.Integer(
        metadata={"description": "How many services there are on all pages, with include=total."}
    )
    next = fields.String(allow_none=True, required=True)


class TagAnswer(Answer):
    tag = fields.String(required=True)
    services = fields.Integer(required=True)


class TagsAnswer(Answer):
    tags = fields.List(fields.Nested(TagAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class HitAnswer(Answer):
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    service = fields.String(required=True)
    environment = fields.String(required=True)
    pointer = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The place in the current document; null outside of it."},
    )
    excerpt = fields.String(
        required=True,
        metadata={"description": "What stands around the text; at most some 300 characters."},
    )


class SearchAnswer(Answer):
    """By kind, and then by service."""

    hits = fields.List(fields.Nested(HitAnswer), required=True)
    truncated = fields.Boolean(
        required=True,
        metadata={"description": "There may be more: of a kind, in a document, or after 1 s."},
    )
