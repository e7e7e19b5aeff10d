"""What was secret in services that were deleted.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "kept_marks",
        sa.Column("organisation_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("pointers", sa.Text(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "name", name="pk_kept_marks"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name="fk_kept_marks_organisation_id"
        ),
    )
