"""The tables, and how the database is opened. Plain SQLAlchemy; no Flask.

Everything stored is declared in ``tables.py``; ``engine.py`` opens the file that holds it.
"""

from distributed_config.models.tables import (
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
    OrganisationRow,
    ServiceRow,
    TagRow,
    VersionRow,
)

MIGRATION = "0002"
"""The newest migration; the schema that this release works with. A test holds it true."""

__all__ = [
    "MIGRATION",
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
    "OrganisationRow",
    "ServiceRow",
    "TagRow",
    "VersionRow",
]
