"""The kinds of changes in the journal and of entries in the audit log.

Their values are stored and shown, and clients filter by them: they never change.
"""

from enum import StrEnum


class ChangeKind(StrEnum):
    """What a change in the journal did, in the order in which the API lists the kinds."""

    SERVICE_CREATED = "service.created"
    SERVICE_DELETED = "service.deleted"
    SERVICE_TAGGED = "service.tagged"
    SERVICE_DISABLED = "service.disabled"
    SERVICE_MARKED = "service.marked"
    VERSION_CREATED = "version.created"
    VERSION_ENABLED = "version.enabled"
    VERSION_DISABLED = "version.disabled"
    VERSION_DELETED = "version.deleted"
    SERVICE_ATTACHED = "service.attached"
    SERVICE_DETACHED = "service.detached"
    SERVICE_EXTENDED = "service.extended"
    DEFINITION_CREATED = "definition.created"
    DEFINITION_REVISED = "definition.revised"
    DEFINITION_FORCED = "definition.forced"
    DEFINITION_CHANGED = "definition.changed"
    DEFINITION_DELETED = "definition.deleted"
    ENVIRONMENT_CREATED = "environment.created"
    ENVIRONMENT_CHANGED = "environment.changed"
    ENVIRONMENT_DELETED = "environment.deleted"
    ORGANISATION_CREATED = "organisation.created"
    ORGANISATION_CHANGED = "organisation.changed"
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    MEMBERSHIP_SET = "membership.set"
    MEMBERSHIP_REMOVED = "membership.removed"
    ROLE_SET = "role.set"
    ROLE_REMOVED = "role.removed"
    TOKEN_CREATED = "token.created"  # noqa: S105  # the name of a change, not a secret
    TOKEN_CHANGED = "token.changed"  # noqa: S105  # the name of a change, not a secret
    TOKEN_ROTATED = "token.rotated"  # noqa: S105  # the name of a change, not a secret
    TOKEN_REVOKED = "token.revoked"  # noqa: S105  # the name of a change, not a secret


class AuditKind(StrEnum):
    """What an audit entry is about. ``CHANGED`` seals a transaction; the others change nothing."""

    CHANGED = "changed"
    LOGIN = "login"
    LOGIN_REFUSED = "login.refused"
    REFUSED = "refused"
    TOKEN_ADDRESS = "token.address"  # noqa: S105  # the name of an event, not a secret
    EXPORT = "export"
    AUDIT_EXPORT = "audit.export"
    SECRET_READ = "secret.read"  # noqa: S105  # the name of an event, not a secret
    REFERENCED = "referenced"
    PRUNED = "pruned"


MARKING_KINDS = frozenset(
    {
        ChangeKind.SERVICE_MARKED,
        ChangeKind.SERVICE_ATTACHED,
        ChangeKind.SERVICE_DETACHED,
        ChangeKind.DEFINITION_REVISED,
        ChangeKind.DEFINITION_FORCED,
    }
)
"""Changes that may mark other places as secret, in versions that are stored already."""

DEFINITION_KINDS = frozenset(kind for kind in ChangeKind if kind.startswith("definition."))

ENVIRONMENT_KINDS = frozenset(kind for kind in ChangeKind if kind.startswith("environment."))

ACCOUNT_KINDS = frozenset(
    kind
    for kind in ChangeKind
    if kind.startswith(("organisation.", "user.", "membership.", "role.", "token."))
)
"""Changes of permissions: open streams check their subscriber's rights again after one."""
