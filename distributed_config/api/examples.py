"""A request body for each schema, as the manual of the API shows it. A test loads every one."""

from typing import Any

DOCUMENT: dict[str, Any] = {"port": 8080, "hosts": ["a.example", "b.example"]}

MERGE_PATCH: dict[str, Any] = {"port": 9090, "hosts": None}

JSON_PATCH: list[dict[str, Any]] = [{"op": "replace", "path": "/port", "value": 9090}]

FORM: dict[str, str] = {"username": "ada@example.org", "password": "correct horse battery staple"}

IMPORT: dict[str, Any] = {"web": {"port": 8080}, "team/api": {"port": 8081}}

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"port": {"type": "integer", "minimum": 1, "maximum": 65535}},
    "required": ["port"],
}

BODIES: dict[str, Any] = {
    "TagsBody": {"tags": ["team:web", "critical"]},
    "DefinitionBody": {"schema": _SCHEMA, "policy": "backward"},
    "NewDefinitionBody": {"schema": _SCHEMA, "policy": "backward", "indexes": ["port"]},
    "SchemaBody": {"schema": _SCHEMA},
    "PointersBody": {"pointers": ["/db/password", "/users/*/key"]},
    "EnvironmentBody": {"name": "staging", "description": "Where releases are tried."},
    "EnvironmentChangeBody": {"protected": True},
    "ExtendsBody": {"extends": ["platform/logging"]},
    "PromotionBody": {"services": ["web", "api"], "from": "staging", "to": "prod"},
    "AttachBody": {"definition": "web"},
    "ChangesetBody": {
        "changes": [
            {"service": "web", "merge": {"port": 9090}},
            {"service": "api", "rollback": 3},
        ]
    },
    "OrganisationBody": {"name": "shop"},
    "UserBody": {"email": "ada@example.org", "role": "publisher", "services": ["team/"]},
    "UserChangeBody": {"role": "reader", "active": True},
    "MembershipBody": {"email": "ada@example.org", "role": "reader"},
    "RightsChangeBody": {"role": "editor", "services": ["web"]},
    "RoleBody": {"permissions": ["config:read", "config:write"]},
    "TokenBody": {"name": "ci", "role": "editor", "services": ["web"], "seconds": 7776000},
    "TokenChangeBody": {"name": "ci", "role": "reader"},
    "RotateBody": {"overlap": 3600},
    "LoginBody": {"email": "ada@example.org", "password": "correct horse battery staple"},
    "DeviceHandleBody": {"handle": "gAAAAABq…"},
    "SessionBody": {"organisation": "shop"},
    "PasswordBody": {"old": "correct horse battery staple", "new": "another long sentence"},
}
