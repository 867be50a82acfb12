"""job_models: the models of a job that needs several

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_models",
        sa.Column("job_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["job_seq"], ["jobs.seq"], name=op.f("fk_job_models_job_seq"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_seq", "index", name=op.f("pk_job_models")),
    )
    with op.batch_alter_table("job_models", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_models_model_id"), ["model_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("job_models", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_models_model_id"))

    op.drop_table("job_models")
