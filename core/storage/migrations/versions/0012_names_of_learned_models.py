"""jobs: what the model that they learn will be called

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sqlalchemy.Column("model_name", sqlalchemy.String(200), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "model_name")
