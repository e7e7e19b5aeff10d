"""The bodies that routes take."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from distributed_config.schemas.fields import TAG, ServiceName, StrictInteger, seconds
from distributed_config.schemas.loader import NestedPartial, PartialSchema
from distributed_config.services.conformance.rules import LAYERS, RESOLVED


class TagsBody(Schema):
    tags = fields.List(fields.String(validate=TAG), required=True, validate=validate.Length(max=50))


POLICY = validate.OneOf(("none", "backward", "forward", "full"), error="It is one of: {choices}.")


# Partial, so that problems of the body and of the JSON Schema in it are reported together.
class DefinitionBody(PartialSchema):
    """A key that is left out stays as it is."""

    schema = fields.Dict(metadata={"description": "A JSON Schema, of draft 7 or 2020-12."})
    policy = fields.String(
        validate=POLICY,
        metadata={"description": "The compatibility that revisions must keep; none by default."},
    )
    indexes = fields.List(
        fields.String(),
        metadata={"description": "Properties to find services by, as in `db.host`."},
    )

    applies_to = fields.String(
        validate=validate.OneOf((RESOLVED, LAYERS), error="It is one of: {choices}."),
        metadata={
            "description": "Which documents have to conform: the `resolved` ones, as programs get "
            "them, or every stored one by itself, all `layers`; resolved by default."
        },
    )


class NewDefinitionBody(DefinitionBody):
    schema = fields.Dict(
        required=True, metadata={"description": "A JSON Schema, of draft 7 or 2020-12."}
    )


class SchemaBody(Schema):
    schema = fields.Dict(
        required=True, metadata={"description": "A JSON Schema, of draft 7 or 2020-12."}
    )


class PointersBody(Schema):
    pointers = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "JSON pointers; `*` is any key or element: `/users/*/key`."},
    )


class EnvironmentChangeBody(Schema):
    """A key that is left out stays as it is."""

    description = fields.String(validate=validate.Length(max=1000))
    inherits = fields.String(
        allow_none=True,
        metadata={
            "description": "The environment whose documents lie below its own; null: none, it "
            "stands alone."
        },
    )
    protected = fields.Boolean(
        metadata={"description": "Whether a write takes `config:publish` as well."}
    )
    position = StrictInteger(metadata={"description": "Its place in the order that people see."})


class EnvironmentBody(EnvironmentChangeBody):
    """It inherits `default`, unless `inherits` says otherwise."""

    name = fields.String(required=True, metadata={"example": "staging"})


class ExtendsBody(Schema):
    extends = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Services whose documents lie below, most general first."},
    )


class PromotionBody(Schema):
    services = fields.List(ServiceName(), required=True, validate=validate.Length(min=1))
    source = fields.String(required=True, data_key="from")
    target = fields.String(required=True, data_key="to")
    pointers = fields.List(
        fields.String(),
        load_default=None,
        metadata={"description": "Copy only the values at these JSON pointers."},
    )


class AttachBody(Schema):
    definition = ServiceName(required=True)


class ChangesetStep(PartialSchema):
    """A change of one service: exactly one of the actions."""

    service = ServiceName(required=True)
    environment = fields.String(
        metadata={"description": "The environment, unless it is that of the request."}
    )
    # Not a schema's to check: wire finds every problem of a document, with a pointer to each.
    document = fields.Raw(metadata={"description": "The whole new document."})
    merge = fields.Dict(metadata={"description": "A merge patch (RFC 7396)."})
    patch = fields.List(fields.Raw(), metadata={"description": "A JSON Patch (RFC 6902)."})
    rollback = StrictInteger(metadata={"description": "A version to copy."})
    enable = StrictInteger(metadata={"description": "A version to turn on."})
    disable = StrictInteger(metadata={"description": "A version to turn off."})
    if_match = fields.String(metadata={"description": "The entity tag of the current version."})

    ACTIONS = ("document", "merge", "patch", "rollback", "enable", "disable")

    # Also if a field is wrong, so that all is reported at once; and on the original, because an
    # action whose value is wrong is not among what was loaded.
    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _one_action(self, _data: dict[str, Any], original: Any, **_rest: Any) -> None:
        if isinstance(original, dict) and sum(action in original for action in self.ACTIONS) != 1:
            raise ValidationError(f"Exactly one is needed of: {', '.join(self.ACTIONS)}.")


class ChangesetBody(PartialSchema):
    changes = fields.List(
        NestedPartial(ChangesetStep), required=True, validate=validate.Length(min=1)
    )


class OrganisationBody(Schema):
    name = fields.String(required=True)


class RightsBody(Schema):
    """A role, limited to services (names, or prefixes that end in `/`) and environments."""

    role = fields.String(required=True)
    services = fields.List(fields.String(), load_default=list)
    environments = fields.List(fields.String(), load_default=list)


# No defaults here: a view has to tell what was left out from what was set.
class RightsChangeBody(Schema):
    """A key that is left out stays as it is."""

    role = fields.String()
    services = fields.List(fields.String())
    environments = fields.List(fields.String())


class UserBody(RightsBody):
    email = fields.String(required=True)
    # Without a password a user can only log in with the identity provider.
    password = fields.String(load_default="")


class UserChangeBody(RightsChangeBody):
    active = fields.Boolean()
    must_change = fields.Boolean()
    password = fields.String()


class MembershipBody(RightsBody):
    email = fields.String(required=True)


class RoleBody(Schema):
    permissions = fields.List(fields.String(), required=True)


class TokenBody(Schema):
    """`personal`: the token acts as its owner; without a role it may do all that they may.

    A token that is created with another token, and not after a log-in, ends with that one at the
    latest, also when that one is revoked.
    """

    name = fields.String(required=True)
    role = fields.String(load_default="")
    services = fields.List(fields.String(), load_default=list)
    environments = fields.List(fields.String(), load_default=list)
    seconds = seconds(load_default=None)
    personal = fields.Boolean(load_default=False)


class TokenChangeBody(RightsChangeBody):
    name = fields.String()
    seconds = seconds()


class RotateBody(Schema):
    overlap = StrictInteger(
        load_default=0, metadata={"description": "Seconds for which the old one stays good."}
    )


class LoginBody(Schema):
    email = fields.String(required=True)
    password = fields.String(required=True)


class DeviceHandleBody(Schema):
    handle = fields.String(required=True)


class SessionBody(Schema):
    organisation = fields.String(required=True)


class PasswordBody(Schema):
    old = fields.String(required=True)
    new = fields.String(required=True)
