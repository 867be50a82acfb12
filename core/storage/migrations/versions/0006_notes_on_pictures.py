"""dataset_images: what was noted when a picture was read

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    notes = sqlalchemy.Column("notes", sqlalchemy.JSON(), nullable=False, server_default="[]")
    op.add_column("dataset_images", notes)


def downgrade() -> None:
    op.drop_column("dataset_images", "notes")
