"""datasets: the files of uploaded archives that are not part of them

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    skipped = sqlalchemy.Column("skipped", sqlalchemy.JSON(), nullable=False, server_default="[]")
    op.add_column("datasets", skipped)


def downgrade() -> None:
    op.drop_column("datasets", "skipped")
