"""jobs: a job may be split into shards, each a row of its own

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Columns are added in place: SQLite's other way, a new table, would on its way delete all that refers to jobs.
    parent = sa.ForeignKey("jobs.seq", name=op.f("fk_jobs_parent_seq"))
    seq = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("jobs", sa.Column("parent_seq", seq, parent, nullable=True), inline_references=True)
    for name in ("first", "shards"):
        op.add_column("jobs", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.create_index(op.f("ix_jobs_parent_seq"), "jobs", ["parent_seq"])


def downgrade() -> None:
    # A job that was split becomes one to be done as a whole.
    op.execute("DELETE FROM jobs WHERE parent_seq IS NOT NULL")
    op.execute("UPDATE jobs SET status = 'queued' WHERE shards > 0 AND status = 'running'")
    op.drop_index(op.f("ix_jobs_parent_seq"), "jobs")
    for name in ("shards", "first", "parent_seq"):
        op.drop_column("jobs", name)
