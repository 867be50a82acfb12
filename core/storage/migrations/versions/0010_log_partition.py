"""models: what is known of the normalizing constant

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sqlalchemy.Column("log_partition", sqlalchemy.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("models", "log_partition")
