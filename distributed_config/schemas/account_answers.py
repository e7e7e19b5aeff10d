"""The responses of routes about accounts: organisations, users, roles, tokens and log-ins."""

from marshmallow import fields, validate

from distributed_config.schemas.base import Answer
from distributed_config.schemas.fields import Time


class OrganisationAnswer(Answer):
    id = fields.Integer(required=True)
    name = fields.String(required=True)
    created_at = Time(required=True)


class OrganisationsAnswer(Answer):
    organisations = fields.List(fields.Nested(OrganisationAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class UserAnswer(Answer):
    id = fields.Integer(required=True)
    email = fields.String(required=True)
    active = fields.Boolean(required=True)
    must_change = fields.Boolean(required=True)
    has_password = fields.Boolean(required=True)
    role = fields.String(required=True, attribute="rights.role")
    services = fields.List(fields.String(), required=True, attribute="rights.scope.services")
    environments = fields.List(
        fields.String(), required=True, attribute="rights.scope.environments"
    )
    created_at = Time(required=True)


class UsersAnswer(Answer):
    users = fields.List(fields.Nested(UserAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class MembershipAnswer(Answer):
    user = fields.Integer(required=True, attribute="user_id")
    email = fields.String(required=True)
    organisation = fields.String(required=True)
    role = fields.String(required=True, attribute="rights.role")
    services = fields.List(fields.String(), required=True, attribute="rights.scope.services")
    environments = fields.List(
        fields.String(), required=True, attribute="rights.scope.environments"
    )


class MembershipsAnswer(Answer):
    memberships = fields.List(fields.Nested(MembershipAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class RoleAnswer(Answer):
    name = fields.String(required=True)
    permissions = fields.List(fields.String(), required=True)
    own = fields.Boolean(required=True)


class RolesAnswer(Answer):
    roles = fields.List(fields.Nested(RoleAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class TokenAnswer(Answer):
    """`token` is there once, in the response that created it; null in that of a rehearsal."""

    id = fields.Integer(required=True)
    kind = fields.String(required=True)
    name = fields.String(required=True)
    hint = fields.String(required=True)
    user = fields.String(required=True, allow_none=True)
    role = fields.String(required=True, attribute="rights.role")
    services = fields.List(fields.String(), required=True, attribute="rights.scope.services")
    environments = fields.List(
        fields.String(), required=True, attribute="rights.scope.environments"
    )
    created_at = Time(required=True)
    created_by = fields.String(required=True)
    expires_at = Time(required=True, allow_none=True)
    revoked_at = Time(required=True, allow_none=True)
    used_at = Time(required=True, allow_none=True)
    used_from = fields.String(required=True)
    token = fields.String(allow_none=True)


class TokensAnswer(Answer):
    tokens = fields.List(fields.Nested(TokenAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class DoneAnswer(Answer):
    success = fields.Boolean(required=True)
    changed = fields.Boolean(required=True)


class ActorAnswer(Answer):
    """The actor of the request, and its rights."""

    name = fields.String(required=True)
    organisation = fields.String(required=True)
    permissions = fields.List(fields.String(), required=True)
    scopes = fields.List(fields.Dict(), required=True)
    expires_at = Time(required=True, allow_none=True)
    must_change = fields.Boolean(required=True)


class DeviceLoginAnswer(Answer):
    """A log-in that somebody confirms in a browser (RFC 8628, section 3.2).

    `handle` stands in place of the device code, which only this server and its provider know.
    """

    handle = fields.String(required=True)
    user_code = fields.String(required=True)
    verification_uri = fields.String(required=True)
    verification_uri_complete = fields.String(required=True, allow_none=True)
    expires_in = fields.Integer(required=True)
    interval = fields.Integer(required=True)


class PendingAnswer(Answer):
    """Nobody has confirmed it yet. Ask again in `interval` seconds, as `Retry-After` says too."""

    interval = fields.Integer(required=True)


class BearerAnswer(Answer):
    """As OAuth 2 has it (RFC 6749)."""

    access_token = fields.String(required=True)
    token_type = fields.String(required=True)
    expires_in = fields.Integer(required=True)


class SessionAnswer(Answer):
    id = fields.Integer(required=True)
    organisation = fields.String(
        required=True, metadata={"description": "Where it acts, unless a request names another."}
    )
    created_at = Time(required=True)
    expires_at = Time(required=True, allow_none=True)
    used_at = Time(required=True, allow_none=True)
    used_from = fields.String(required=True)


class ListedSessionAnswer(SessionAnswer):
    present = fields.Boolean(required=True)


class SessionsAnswer(Answer):
    sessions = fields.List(fields.Nested(ListedSessionAnswer), required=True)


class EndedAnswer(DoneAnswer):
    ended = fields.Integer(required=True, metadata={"description": "How many sessions were ended."})


class ScopeAnswer(Answer):
    """The entries that contain the service; an empty list limits nothing."""

    services = fields.List(fields.String(), required=True)
    environments = fields.List(fields.String(), required=True)


class HolderAnswer(Answer):
    kind = fields.String(required=True, validate=validate.OneOf(("user", "machine", "personal")))
    id = fields.Integer(required=True)
    name = fields.String(required=True)
    user = fields.String(required=True, allow_none=True)
    role = fields.String(required=True)
    permissions = fields.List(fields.String(), required=True)
    scopes = fields.List(
        fields.Nested(ScopeAnswer),
        required=True,
        metadata={"description": "What limits it; empty where nothing does."},
    )


class AccessAnswer(Answer):
    service = fields.String(required=True)
    environment = fields.String(required=True)
    access = fields.List(fields.Nested(HolderAnswer), required=True)
    next = fields.String(allow_none=True, required=True)
