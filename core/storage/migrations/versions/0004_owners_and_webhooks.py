"""api_keys, audit_log, webhooks, deliveries; owners, priorities and limits of jobs

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OWNED = ("datasets", "jobs", "models")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        _seq(),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("prefix", sa.String(20), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sa.Column("revoked_at", sa.Double()),
        sa.Column("requests_per_minute", sa.Integer()),
        sa.Column("max_stored_bytes", sa.BigInteger()),
        sa.Column("max_unfinished_jobs", sa.Integer()),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("id", name=op.f("uq_api_keys_id")),
        sa.UniqueConstraint("sha256", name=op.f("uq_api_keys_sha256")),
    )
    op.create_table(
        "audit_log",
        _seq(),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("key_id", sa.String(40)),
        sa.Column("action", sa.String(60), nullable=False),
        sa.Column("subject", sa.String(60)),
        sa.Column("request_id", sa.String(100)),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
    )
    for table in OWNED:  # in place, as in 0003
        op.add_column(table, _owner(table), inline_references=True)
        op.create_index(op.f(f"ix_{table}_owner_seq"), table, ["owner_seq"])
    op.add_column("jobs", sa.Column("leased_at", sa.Double()))
    op.add_column("jobs", sa.Column("worked_seconds", sa.Double(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("time_limit_seconds", sa.Double()))
    op.add_column("jobs", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    _make_idempotency_keys_anew("0, key, request_sha256, job_seq, created_at", _idempotency_keys())
    op.create_table(
        "webhooks",
        _seq(),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.String(100), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        _owner("webhooks"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_webhooks")),
        sa.UniqueConstraint("id", name=op.f("uq_webhooks_id")),
    )
    op.create_index(op.f("ix_webhooks_owner_seq"), "webhooks", ["owner_seq"])
    op.create_table(
        "deliveries",
        _seq(),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("webhook_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("event", sa.String(40), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("next_at", sa.Double()),
        sa.Column("delivered_at", sa.Double()),
        sa.Column("response_status", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.ForeignKeyConstraint(
            ["webhook_seq"], ["webhooks.seq"], name=op.f("fk_deliveries_webhook_seq"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("id", name=op.f("uq_deliveries_id")),
    )
    op.create_index(op.f("ix_deliveries_webhook_seq"), "deliveries", ["webhook_seq"])
    op.create_index(op.f("ix_deliveries_status_next_at"), "deliveries", ["status", "next_at"])


def downgrade() -> None:
    op.drop_table("deliveries")
    op.drop_table("webhooks")
    # One key may have asked for several jobs by now, of as many owners: the first of them keeps it.
    op.execute(
        "DELETE FROM idempotency_keys WHERE EXISTS (SELECT 1 FROM idempotency_keys AS other "
        "WHERE other.key = idempotency_keys.key AND other.owner < idempotency_keys.owner)"
    )
    columns = [column for column in _idempotency_keys() if getattr(column, "name", "") not in ("owner", "created_at")]
    columns[-1] = sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys"))
    _make_idempotency_keys_anew("key, request_sha256, job_seq", columns)
    for name in ("priority", "time_limit_seconds", "worked_seconds", "leased_at"):
        op.drop_column("jobs", name)
    for table in OWNED:
        op.drop_index(op.f(f"ix_{table}_owner_seq"), table)
        op.drop_column(table, "owner_seq")
    op.drop_table("audit_log")
    op.drop_table("api_keys")


def _seq() -> sa.Column[int]:
    type_ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("seq", type_, autoincrement=True, nullable=False)


def _owner(table: str) -> sa.Column[int]:
    key = sa.ForeignKey("api_keys.seq", name=op.f(f"fk_{table}_owner_seq"))
    return sa.Column("owner_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), key, nullable=True)


def _idempotency_keys() -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("owner", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("request_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("job_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_seq"], ["jobs.seq"], name=op.f("fk_idempotency_keys_job_seq"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_idempotency_keys")),
    ]


def _make_idempotency_keys_anew(kept: str, columns: list[sa.schema.SchemaItem]) -> None:
    """With other columns, and rows of `kept`: SQLite changes no primary key in place."""
    op.execute(
        "CREATE TEMPORARY TABLE kept_keys AS SELECT idempotency_keys.*, jobs.created_at AS asked_at "
        "FROM idempotency_keys JOIN jobs ON jobs.seq = job_seq"
    )
    op.drop_table("idempotency_keys")
    op.create_table("idempotency_keys", *columns)
    op.execute(f"INSERT INTO idempotency_keys SELECT {kept.replace('created_at', 'asked_at')} FROM kept_keys")
    op.execute("DROP TABLE kept_keys")
