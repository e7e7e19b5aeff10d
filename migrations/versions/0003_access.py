"""Users, memberships, roles and tokens; the keys of secrets; and the chain of what happened.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def upgrade() -> None:
    op.add_column("changes", sa.Column("subject", sa.Text(), nullable=True))
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("email"),
        _text("password"),
        sa.Column("must_change", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "memberships",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("organisation_id", sa.Integer(), nullable=False),
        _text("role"),
        _text("services"),
        _text("environments"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("user_id", "organisation_id", name="pk_memberships"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_memberships_user_id"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name="fk_memberships_organisation_id"
        ),
    )
    op.create_index("ix_memberships_organisation_id", "memberships", ["organisation_id"])
    op.create_table(
        "roles",
        sa.Column("organisation_id", sa.Integer(), nullable=False),
        _text("name"),
        _text("permissions"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("organisation_id", "name", name="pk_roles"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name="fk_roles_organisation_id"
        ),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("kind"),
        sa.Column("organisation_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        _text("name"),
        _text("digest"),
        _text("hint"),
        _text("role"),
        _text("services"),
        _text("environments"),
        _moment("created_at"),
        _text("created_by"),
        _moment("expires_at", nullable=True),
        _moment("revoked_at", nullable=True),
        _moment("used_at", nullable=True),
        _text("used_from"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name="fk_tokens_organisation_id"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_tokens_user_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tokens_organisation_id", "tokens", ["organisation_id"])
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])
    op.add_column("services", sa.Column("marks", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "secret_keys",
        sa.Column("number", sa.Integer(), nullable=False),
        _text("id"),
        _text("wrapped"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("number", name="pk_secret_keys"),
        sa.UniqueConstraint("id", name="uq_secret_keys_id"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        _moment("happened_at"),
        sa.Column("organisation_id", sa.Integer(), nullable=True),
        _text("kind"),
        _text("actor"),
        _text("address"),
        sa.Column("service", sa.Text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=True),
        _text("detail"),
        _text("previous"),
        _text("hash"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    # Where the chain begins, whatever the journal holds already.
    for column in (
        sa.Column("audit_id", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("audit_at", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("audit_hash", sa.Text(), nullable=False, server_default="0" * 64),
    ):
        op.add_column("head", column)
    op.create_index("ix_audit_organisation_id_id", "audit", ["organisation_id", "id"])
    op.create_index("ix_audit_revision", "audit", ["revision"])
