"""Which versions are roll-backs, and to which version.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # Of the roll-backs that are there already only their notes tell, which anybody may have
    # written by hand: they are not recorded.
    op.create_table(
        "version_rollbacks",
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("to_number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", "environment", "number", name="pk_version_rollbacks"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name="fk_version_rollbacks_service_id"
        ),
    )


def downgrade() -> None:
    raise NotImplementedError("Restore a backup from before the upgrade instead.")
