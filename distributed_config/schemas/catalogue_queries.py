"""The parameters of routes that list services, and search in them."""

from marshmallow import Schema, fields, validate

from distributed_config.schemas.fields import StrictInteger, environment, repeatable
from distributed_config.schemas.queries import PageQuery


class ServicesQuery(PageQuery):
    environment = environment()
    search = fields.String(
        load_default="", metadata={"description": "A part of the name, in any case."}
    )
    prefix = fields.String(load_default="", metadata={"description": "How the name begins."})
    tag = repeatable(fields.String(), "A tag that the service has; several must all be there.")
    sort = fields.String(
        load_default=None,
        validate=validate.OneOf(("name", "changed"), error="It is one of: {choices}."),
        metadata={
            "description": "By name, or by the last change, newest first. Pages by change are as "
            "of the revision of the first."
        },
    )
    include = repeatable(
        fields.String(
            validate=validate.OneOf(("last_change", "total"), error="It is one of: {choices}.")
        ),
        "Also the last change of each service; also how many there are on all pages.",
    )


class SearchQuery(Schema):
    q = fields.String(
        required=True,
        validate=validate.And(
            validate.Length(1, 200, error="It has 1 to 200 characters."),
            validate.Predicate("isprintable", error="It has printable characters only."),
        ),
        metadata={
            "description": "The text to find, in any case of ASCII letters.",
            "example": "db2",
        },
    )
    environment = environment()
    limit = StrictInteger(
        least=1,
        most=100,
        load_default=20,
        metadata={"description": "The most hits of each kind."},
    )
