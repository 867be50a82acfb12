"""datasets and models: the maps of materials

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dataset_images", sqlalchemy.Column("bits", sqlalchemy.Integer(), nullable=False, server_default="8"))
    op.add_column("dataset_images", sqlalchemy.Column("role", sqlalchemy.String(20), nullable=True))
    op.add_column("models", sqlalchemy.Column("maps", sqlalchemy.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("models", "maps")
    op.drop_column("dataset_images", "role")
    op.drop_column("dataset_images", "bits")
