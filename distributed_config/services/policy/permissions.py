"""What can be allowed, and who is allowed what: one page of data.

A permission is ``resource:action``. A role holds ``resource:*`` for all actions of a resource, and
``*`` for everything; who holds ``*`` holds it in every organisation.
"""

from collections.abc import Iterable

PERMISSIONS = {
    "config:read": "Read configurations, their history, differences and changes.",
    "config:read-secret": "Read in the clear what is marked as secret.",
    "config:write": "Create services, and add versions to them.",
    "config:publish": "Enable, disable, roll back and delete versions; delete and detach services.",
    "definition:read": "Read definitions.",
    "definition:write": "Make, revise and delete definitions.",
    "token:manage": "Make, change, rotate and revoke the organisation's tokens.",
    "user:manage": "Make and change users, memberships and roles of the organisation.",
    "organisation:manage": "Make and rename organisations.",
    "audit:read": "Read who did what.",
    "server:read": "Read the server's metrics.",
    "server:sync": "Follow everything, as another server does.",
}

EVERYTHING = "*"
READ_SECRET = "config:read-secret"  # noqa: S105  # the name of a permission, and no secret

ROLES = {
    "administrator": frozenset({EVERYTHING}),
    "organisation-administrator": frozenset(
        {"config:*", "definition:*", "token:*", "user:*", "audit:*"}
    ),
    "publisher": frozenset(
        {"config:read", "config:write", "config:publish", "definition:read", "definition:write"}
    ),
    "editor": frozenset({"config:read", "config:write", "definition:read"}),
    "reader": frozenset({"config:read", "definition:read"}),
    "metrics": frozenset({"server:read"}),
    "sync": frozenset(
        {"config:read", "config:read-secret", "definition:read", "audit:read", "server:sync"}
    ),
}
"""The roles that every organisation has."""


def is_known(permission: str) -> bool:
    """Whether ``permission`` may stand in a role."""
    resource, _, action = permission.partition(":")
    resources = {known.partition(":")[0] for known in PERMISSIONS}
    return (
        permission in PERMISSIONS
        or permission == EVERYTHING
        or (action == "*" and resource in resources)
    )


def expand(permissions: Iterable[str]) -> frozenset[str]:
    """Each permission that ``permissions`` come to, one by one; ``*`` stays among them."""
    given = set(permissions)
    if EVERYTHING in given:
        return frozenset({*PERMISSIONS, EVERYTHING})
    return frozenset(
        known for known in PERMISSIONS if known in given or f"{known.partition(':')[0]}:*" in given
    )
