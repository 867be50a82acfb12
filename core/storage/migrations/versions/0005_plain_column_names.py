"""jobs: plain names for two columns

Revision ID: 0005
Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

RENAMED = {"strikes": "failures", "rung_at": "notified_at"}


def upgrade() -> None:
    for old, new in RENAMED.items():
        op.execute(f"ALTER TABLE jobs RENAME COLUMN {old} TO {new}")  # in place, which SQLite knows since 3.25


def downgrade() -> None:
    for old, new in RENAMED.items():
        op.execute(f"ALTER TABLE jobs RENAME COLUMN {new} TO {old}")
