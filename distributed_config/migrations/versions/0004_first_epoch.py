"""The epoch that the database was made with: what a revision without an epoch belongs to.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("head", sa.Column("first_epoch", sa.Text(), nullable=False, server_default=""))
    # Earlier releases gave revisions without their epoch, and those watchers are out there still.
    op.execute("UPDATE head SET first_epoch = epoch")


def downgrade() -> None:
    raise NotImplementedError("Restore a backup from before the upgrade instead.")
