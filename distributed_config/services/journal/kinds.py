"""The kinds of changes: what can happen, in a word each."""

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


DEFINITION_CREATED = "definition.created"


DEFINITION_REVISED = "definition.revised"


DEFINITION_FORCED = "definition.forced"


DEFINITION_CHANGED = "definition.changed"


DEFINITION_DELETED = "definition.deleted"


ORGANISATION_CREATED = "organisation.created"


ORGANISATION_CHANGED = "organisation.changed"


USER_CREATED = "user.created"


USER_CHANGED = "user.changed"


MEMBERSHIP_SET = "membership.set"


MEMBERSHIP_REMOVED = "membership.removed"


ROLE_SET = "role.set"


ROLE_REMOVED = "role.removed"


TOKEN_CREATED = "token.created"  # noqa: S105  # the name of a change, and no secret


TOKEN_CHANGED = "token.changed"  # noqa: S105  # the same


TOKEN_ROTATED = "token.rotated"  # noqa: S105  # the same


TOKEN_REVOKED = "token.revoked"  # noqa: S105  # the same


KINDS = (
    SERVICE_CREATED,
    SERVICE_DELETED,
    SERVICE_TAGGED,
    SERVICE_DISABLED,
    SERVICE_MARKED,
    VERSION_CREATED,
    VERSION_ENABLED,
    VERSION_DISABLED,
    VERSION_DELETED,
    SERVICE_ATTACHED,
    SERVICE_DETACHED,
    DEFINITION_CREATED,
    DEFINITION_REVISED,
    DEFINITION_FORCED,
    DEFINITION_CHANGED,
    DEFINITION_DELETED,
    ORGANISATION_CREATED,
    ORGANISATION_CHANGED,
    USER_CREATED,
    USER_CHANGED,
    MEMBERSHIP_SET,
    MEMBERSHIP_REMOVED,
    ROLE_SET,
    ROLE_REMOVED,
    TOKEN_CREATED,
    TOKEN_CHANGED,
    TOKEN_ROTATED,
    TOKEN_REVOKED,
)


MARKING_KINDS = frozenset(
    {SERVICE_MARKED, SERVICE_ATTACHED, SERVICE_DETACHED, DEFINITION_REVISED, DEFINITION_FORCED}
)


"""Changes after which other places of documents may be secret, and not only of new ones."""


DEFINITION_KINDS = frozenset(kind for kind in KINDS if kind.startswith("definition."))


ACCOUNT_KINDS = frozenset(
    kind
    for kind in KINDS
    if kind.startswith(("organisation.", "user.", "membership.", "role.", "token."))
)


"""Changes of who may do what: whoever is watching is looked at again after one."""
