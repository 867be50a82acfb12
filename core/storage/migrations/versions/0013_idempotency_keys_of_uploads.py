"""idempotency_keys: of datasets and models too

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ADDED = {"dataset_seq": "datasets", "model_seq": "models"}
SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("idempotency_keys") as batch:  # SQLite: a new table, to which no other refers
        batch.alter_column("job_seq", existing_type=SEQ, nullable=True)
        for name, table in ADDED.items():
            batch.add_column(sa.Column(name, SEQ, nullable=True))
            batch.create_foreign_key(op.f(f"fk_idempotency_keys_{name}"), table, [name], ["seq"], ondelete="CASCADE")
            batch.create_index(op.f(f"ix_idempotency_keys_{name}"), [name])


def downgrade() -> None:
    op.execute("DELETE FROM idempotency_keys WHERE job_seq IS NULL")
    with op.batch_alter_table("idempotency_keys") as batch:
        for name in ADDED:
            batch.drop_index(op.f(f"ix_idempotency_keys_{name}"))
            batch.drop_constraint(op.f(f"fk_idempotency_keys_{name}"), type_="foreignkey")
            batch.drop_column(name)
        batch.alter_column("job_seq", existing_type=SEQ, nullable=False)
