"""The permissions, and the roles that hold them: one page of data.

A permission is ``resource:action``. A role holds ``resource:*`` for all actions of a resource, and
``*`` for everything, in every organisation.
"""

from collections.abc import Iterable

PERMISSIONS = {
    "config:read": "Read configurations, their history, differences and changes.",
    "config:read-secret": "Read secrets in the clear.",
    "config:write": "Create services, and add versions to them.",
    "config:publish": "Enable, disable, roll back and delete versions; delete and detach services.",
    "definition:read": "Read definitions.",
    "definition:write": "Create, revise and delete definitions.",
    "environment:manage": "Create, change and delete environments.",
    "token:manage": "Create, change, rotate and revoke the organisation's tokens.",
    "user:manage": "Create and change users, memberships and roles of the organisation.",
    "organisation:manage": "Create and rename organisations.",
    "audit:read": "Read the audit log and who changed what.",
    "server:read": "Read the server's metrics.",
    "server:sync": "Follow every change, as another server does.",
}

EVERYTHING = "*"
READ_SECRET = "config:read-secret"  # noqa: S105  # the name of a permission, not a secret

# Each role is what one kind of person or program needs, and no more (least privilege).
ROLES = {
    "administrator": frozenset({EVERYTHING}),
    "organisation-administrator": frozenset(
        {"config:*", "definition:*", "environment:*", "token:*", "user:*", "audit:*"}
    ),
    "publisher": frozenset(
        {"config:read", "config:write", "config:publish", "definition:read", "definition:write"}
    ),
    "editor": frozenset({"config:read", "config:write", "definition:read"}),
    "reader": frozenset({"config:read", "definition:read"}),
    "metrics": frozenset({"server:read"}),
    # A mirror that could not read secrets would store masks in their place.
    "sync": frozenset(
        {"config:read", "config:read-secret", "definition:read", "audit:read", "server:sync"}
    ),
}
"""The built-in roles, which every organisation has and nobody can change."""


def is_known(permission: str) -> bool:
    """Whether ``permission`` is one that a role can hold, wildcards included."""
    # Wildcards are checked by their resource, so that a typing error in a role is reported.
    resource, _, action = permission.partition(":")
    resources = {known.partition(":")[0] for known in PERMISSIONS}
    return (
        permission in PERMISSIONS
        or permission == EVERYTHING
        or (action == "*" and resource in resources)
    )


def expand(permissions: Iterable[str]) -> frozenset[str]:
    """Return the single permissions that ``permissions``, which may have wildcards, stand for.

    ``*`` stays in the result, because it says more than all the permissions of today: it holds in
    every organisation.
    """
    granted = set(permissions)
    if EVERYTHING in granted:
        return frozenset({*PERMISSIONS, EVERYTHING})
    return frozenset(
        known
        for known in PERMISSIONS
        if known in granted or f"{known.partition(':')[0]}:*" in granted
    )
