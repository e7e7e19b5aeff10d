"""Definitions, their revisions and indexes, and the services that conform to them.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "definitions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organisation_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_definitions"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name="fk_definitions_organisation_id"
        ),
        sa.UniqueConstraint("organisation_id", "name", name="uq_definitions_organisation_id_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "definition_revisions",
        sa.Column("definition_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("definition_id", "number", name="pk_definition_revisions"),
        sa.ForeignKeyConstraint(
            ["definition_id"], ["definitions.id"], name="fk_definition_revisions_definition_id"
        ),
    )
    op.create_table(
        "definition_indexes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("definition_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_definition_indexes"),
        sa.ForeignKeyConstraint(
            ["definition_id"], ["definitions.id"], name="fk_definition_indexes_definition_id"
        ),
        sa.UniqueConstraint(
            "definition_id", "path", name="uq_definition_indexes_definition_id_path"
        ),
    )
    op.create_table(
        "conformances",
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("definition_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", name="pk_conformances"),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name="fk_conformances_service_id"),
        sa.ForeignKeyConstraint(
            ["definition_id"], ["definitions.id"], name="fk_conformances_definition_id"
        ),
    )
    for other in ("name", "changed_at"):
        columns = ["definition_id", other]
        op.create_index(f"ix_conformances_definition_id_{other}", "conformances", columns)
    op.create_table(
        "index_entries",
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("index_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", "index_id", name="pk_index_entries"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name="fk_index_entries_service_id"
        ),
        sa.ForeignKeyConstraint(
            ["index_id"], ["definition_indexes.id"], name="fk_index_entries_index_id"
        ),
    )
    op.create_index(
        "ix_index_entries_index_id_key_name_service_id",
        "index_entries",
        ["index_id", "key", "name", "service_id"],
    )
    op.create_table(
        "version_checks",
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("definition_revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", "environment", "number", name="pk_version_checks"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name="fk_version_checks_service_id"
        ),
    )
    op.add_column("changes", sa.Column("definition", sa.Text(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("Restore a backup from before the upgrade instead.")
