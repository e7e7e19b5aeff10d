"""The parameters of routes that list services, and search in them."""

from marshmallow import fields, validate

from distributed_config.schemas.fields import environment, repeatable
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
