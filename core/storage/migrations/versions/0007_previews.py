"""previews: the pictures that a training job showed while it learned

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    seq = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "previews",
        sa.Column("job_seq", seq, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("stage", "iteration", "width", "height")),
        sa.Column("media_type", sa.String(100), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("blob", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_seq"], ["jobs.seq"], op.f("fk_previews_job_seq"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_seq", "step", name=op.f("pk_previews")),
    )


def downgrade() -> None:
    op.drop_table("previews")
