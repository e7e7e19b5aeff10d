"""The tables, and how the database is opened. Plain SQLAlchemy; no Flask.

Everything stored is declared in ``tables.py``; ``engine.py`` opens the file that holds it.
"""

from distributed_config.models.tables import (
    AuditRow,
    Base,
    ChangeRow,
    CheckRow,
    ConformanceRow,
    DefinitionRevisionRow,
    DefinitionRow,
    EntryRow,
    HeadRow,
    IdempotencyRow,
    IndexRow,
    MembershipRow,
    OrganisationRow,
    RoleRow,
    SecretKeyRow,
    ServiceRow,
    TagRow,
    TokenRow,
    UserRow,
    VersionRow,
)

MIGRATION = "0004"
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
    "EntryRow",
    "HeadRow",
    "IdempotencyRow",
    "IndexRow",
    "MembershipRow",
    "OrganisationRow",
    "RoleRow",
    "SecretKeyRow",
    "ServiceRow",
    "TagRow",
    "TokenRow",
    "UserRow",
    "VersionRow",
]
