"""The epoch that the database was made with; and steady time, which no clock can set.

A revision without an epoch belongs to the first one.

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
    for column in (
        sa.Column("steady_at", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("boot", sa.Text(), nullable=False, server_default=""),
        sa.Column("uptime", sa.BigInteger(), nullable=False, server_default="0"),
    ):
        op.add_column("head", column)
    # What is remembered for a while was dated by the clock: it goes on from there.
    op.execute("UPDATE head SET steady_at = changed_at")


def downgrade() -> None:
    raise NotImplementedError("Restore a backup from before the upgrade instead.")
