"""Which token made a token: it ends with that one.

Revision ID: 0005
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # Who made the tokens that are there already is not known; they stay on their own.
    op.add_column("tokens", sa.Column("parent_id", sa.Integer(), nullable=True))
    op.create_index("ix_tokens_parent_id", "tokens", ["parent_id"])
