"""The tables, and how the database is opened. Plain SQLAlchemy; no Flask.

Everything stored is declared in ``tables.py``; ``sqlite.py`` opens the file that holds it, and
``backup.py`` copies and replaces it.
"""

from distributed_config.models.tables import (
    AuditRow,
    Base,
    ChangeRow,
    CheckRow,
    ConformanceRow,
    DefinitionRevisionRow,
    DefinitionRow,
    DependencyRow,
    EntryRow,
    EnvironmentRow,
    ExtensionRow,
    HeadRow,
    IdempotencyRow,
    IndexRow,
    InheritanceRow,
    KeptMarksRow,
    MembershipRow,
    OrganisationRow,
    RoleRow,
    RollbackRow,
    SecretKeyRow,
    ServiceRow,
    TagRow,
    TokenRow,
    UserRow,
    VersionRow,
)

MIGRATION = "0008"
"""The newest migration; the schema that this release works with. A test holds it true."""

__all__ = [
    "MIGRATION",
    "AuditRow",
    "Base",
    "ChangeRow",
    "CheckRow",
    "ConformanceRow",
    "DefinitionRevisionRow",
    "DefinitionRow",
    "DependencyRow",
    "EntryRow",
    "EnvironmentRow",
    "ExtensionRow",
    "HeadRow",
    "IdempotencyRow",
    "IndexRow",
    "InheritanceRow",
    "KeptMarksRow",
    "MembershipRow",
    "OrganisationRow",
    "RoleRow",
    "RollbackRow",
    "SecretKeyRow",
    "ServiceRow",
    "TagRow",
    "TokenRow",
    "UserRow",
    "VersionRow",
]
