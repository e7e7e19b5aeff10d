"""Environments, what services extend, and what rests on what.

Every organisation has the environment ``default``, and everything that exists is in it.

Revision ID: 0007
Revises: 0006
"""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "environments",
        sa.Column("organisation_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("inherits", sa.Text(), nullable=True),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "name", name="pk_environments"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name="fk_environments_organisation_id"
        ),
    )
    op.create_table(
        "inheritances",
        sa.Column("organisation_id", sa.Integer(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("inherits", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(
            "organisation_id", "environment", "revision", name="pk_inheritances"
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name="fk_inheritances_organisation_id"
        ),
    )
    op.create_table(
        "extensions",
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("extends", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", "revision", name="pk_extensions"),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name="fk_extensions_service_id"),
    )
    op.create_table(
        "dependencies",
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", "environment", "target", name="pk_dependencies"),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name="fk_dependencies_service_id"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name="fk_dependencies_organisation_id"
        ),
    )
    op.create_index(
        "ix_dependencies_organisation_id_target", "dependencies", ["organisation_id", "target"]
    )
    op.execute(
        "INSERT INTO environments SELECT id, 'default', '', NULL, 0, 0, created_at"
        " FROM organisations"
    )
    op.execute("INSERT INTO inheritances SELECT id, 'default', 0, NULL FROM organisations")
    op.add_column(
        "definitions",
        sa.Column("applies_to", sa.Text(), nullable=False, server_default="resolved"),
    )
    _key_index_entries_by_series()
    _record_references()


def _record_references() -> None:
    # Documents from before may look as if they had references. They are recorded as such, as those
    # of new documents are, so that everything that is written from now on is checked against them.
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "SELECT v.service_id, s.organisation_id, v.document FROM versions v"
            " JOIN services s ON s.id = v.service_id"
            " WHERE v.document LIKE '%\"$use\"%' AND v.number = (SELECT max(number)"
            " FROM versions WHERE service_id = v.service_id AND environment = v.environment"
            " AND enabled)"
        )
    ).all()
    for service_id, organisation_id, document in rows:
        for target in sorted(set(_targets(json.loads(document)))):
            connection.execute(
                sa.text("INSERT INTO dependencies VALUES (:service, 'default', :target, :tenant)"),
                {"service": service_id, "target": target, "tenant": organisation_id},
            )


def _targets(value: Any) -> Iterator[str]:
    """Yield the services that a document refers to."""
    if isinstance(value, dict):
        if value.keys() == {"$use"} and isinstance(value["$use"], str) and "#" in value["$use"]:
            yield value["$use"].partition("#")[0]
        value = list(value.values())
    if isinstance(value, list):
        for child in value:
            yield from _targets(child)


def _key_index_entries_by_series() -> None:
    # SQLite cannot change a primary key in place.
    op.create_table(
        "index_entries_new",
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("index_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", "environment", "index_id", name="pk_index_entries"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name="fk_index_entries_service_id"
        ),
        sa.ForeignKeyConstraint(
            ["index_id"], ["definition_indexes.id"], name="fk_index_entries_index_id"
        ),
    )
    op.execute(
        "INSERT INTO index_entries_new SELECT service_id, 'default', index_id, key, name"
        " FROM index_entries"
    )
    op.drop_table("index_entries")
    op.rename_table("index_entries_new", "index_entries")
    op.create_index(
        "ix_index_entries_index_id_environment_key_name_service_id",
        "index_entries",
        ["index_id", "environment", "key", "name", "service_id"],
    )


def downgrade() -> None:
    raise NotImplementedError("Restore a backup from before the upgrade instead.")
