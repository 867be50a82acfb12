"""The tables. Times are in seconds since 1970, by the database's clock. `seq` is the order of creation."""

import secrets
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

from core.schemas.jobs import JobKind, JobStatus, Queue
from core.storage.clock import now

Seq = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only for an INTEGER PRIMARY KEY

NAME_LENGTH = 200  # of what owners call their models and datasets
NO_OWNER = 0  # owner in IdempotencyKey for rows without an owner, because a primary key cannot be NULL


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, float: Double, int: Integer, str: String}  # noqa: RUF012


class BlobColumns:
    """Columns that describe a stored file."""

    media_type: Mapped[str] = mapped_column(String(100))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    blob: Mapped[str] = mapped_column(Text)  # path in the blob store


class Owned:
    """Rows that belong to a key; owner_seq is None if the service runs without keys.

    In a database from `Database.scoped_to` every query is restricted to the owner's rows.
    """

    @declared_attr
    @classmethod
    def owner_seq(cls) -> Mapped[int | None]:
        return mapped_column(ForeignKey("api_keys.seq"), index=True)


class ApiKey(Base):
    """A key that may use the service. The key itself is shown once and not stored, only its SHA-256."""

    __tablename__ = "api_keys"

    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(20))  # first characters of the key, to identify it
    sha256: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    admin: Mapped[bool] = mapped_column(default=False)  # sees the rows of every owner
    created_at: Mapped[float] = mapped_column(default=now())
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    requests_per_minute: Mapped[int | None]  # None: the limit of the settings
    max_stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    max_unfinished_jobs: Mapped[int | None]


class AuditEntry(Base):
    """Who did what, in which request. Rows are never changed."""

    __tablename__ = "audit_log"

    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    at: Mapped[float] = mapped_column(default=now())
    key_id: Mapped[str | None] = mapped_column(String(40))  # None: the command line, or a service without keys
    action: Mapped[str] = mapped_column(String(60))  # such as job.create, key.revoke
    subject: Mapped[str | None] = mapped_column(String(60))  # id of what it was done to
    request_id: Mapped[str | None] = mapped_column(String(100))
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Dataset(Owned, Base):
    __tablename__ = "datasets"

    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    created_at: Mapped[float] = mapped_column(default=now())
    skipped: Mapped[list[dict[str, str]]] = mapped_column(JSON, default=list, server_default="[]")  # file and reason
    images: Mapped[list["DatasetImage"]] = relationship(
        order_by="DatasetImage.index", cascade="all, delete-orphan", lazy="selectin"
    )


class DatasetImage(BlobColumns, Base):
    __tablename__ = "dataset_images"

    dataset_seq: Mapped[int] = mapped_column(ForeignKey("datasets.seq", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    filename: Mapped[str] = mapped_column(String(255))
    width: Mapped[int]
    height: Mapped[int]
    mode: Mapped[str] = mapped_column(String(4))  # L, LA, RGB or RGBA
    bits: Mapped[int] = mapped_column(default=8, server_default="8")  # of each channel; 16 only in maps of a material
    role: Mapped[str | None] = mapped_column(String(20))  # `core.schemas.materials.Role`, if it is a map of a material
    notes: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")  # such as: it was scaled down


class Job(Owned, Base):
    """A job, its lease and its results.

    token: fencing token, raised by each claim; writes with an older token are refused.
    attempt: number of claims. failures: claims since the last checkpoint, the present one included.
    shards: number of jobs that this one is split into (`core.jobs.shards`), which are claimed in its place; 0 if none.
    parent_seq: the split job that a shard belongs to. first: number of the first result of a shard.
    priority: jobs of higher priority are claimed first, and older jobs first among equals.
    leased_at: last renewal of the lease; a time in the future means that the clock was set back, so the lease is void.
    worked_seconds: time under lease up to the last renewal, summed over all attempts.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "queue", "status", "seq"),)

    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    kind: Mapped[JobKind] = mapped_column(String(20))
    queue: Mapped[Queue] = mapped_column(String(20))
    status: Mapped[JobStatus] = mapped_column(String(20))
    preset: Mapped[str | None] = mapped_column(String(40))
    params: Mapped[dict[str, Any]]
    dataset_id: Mapped[str | None] = mapped_column(String(40), index=True)
    model_id: Mapped[str | None] = mapped_column(String(40), index=True)
    request_id: Mapped[str | None] = mapped_column(String(100))

    created_at: Mapped[float] = mapped_column(default=now())
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[dict[str, Any] | None]

    attempt: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    token: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(200))
    leased_at: Mapped[float | None]
    lease_until: Mapped[float | None]
    worked_seconds: Mapped[float] = mapped_column(default=0.0)
    time_limit_seconds: Mapped[float | None]  # of worked_seconds
    priority: Mapped[int] = mapped_column(default=0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    notified_at: Mapped[float | None]
    checkpoint: Mapped[str | None] = mapped_column(Text)  # path in the blob store
    model_name: Mapped[str | None] = mapped_column(String(NAME_LENGTH))  # what the model that it learns will be called
    replays: Mapped[dict[str, Any] | None]  # core.schemas.jobs.Replay, if the job makes a picture again

    shards: Mapped[int] = mapped_column(default=0)
    parent_seq: Mapped[int | None] = mapped_column(ForeignKey("jobs.seq"), index=True)
    first: Mapped[int] = mapped_column(default=0)

    parent: Mapped["Job | None"] = relationship(remote_side=[seq], viewonly=True)
    artifacts: Mapped[list["Artifact"]] = relationship(
        order_by="Artifact.name", cascade="all, delete-orphan", lazy="selectin"
    )
    models: Mapped[list["JobModel"]] = relationship(order_by="JobModel.index", cascade="all, delete-orphan")


class JobModel(Base):
    """One of several models that a job needs. A job that needs one model has it in `Job.model_id`."""

    __tablename__ = "job_models"

    job_seq: Mapped[int] = mapped_column(ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(String(40), index=True)


def claim_order() -> tuple[ColumnElement[Any], ...]:
    """Return the ORDER BY columns of the queue: the order in which jobs are claimed."""
    return Job.priority.desc(), Job.seq.asc()


class Artifact(BlobColumns, Base):
    __tablename__ = "artifacts"

    job_seq: Mapped[int] = mapped_column(ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    width: Mapped[int | None]
    height: Mapped[int | None]


class Preview(BlobColumns, Base):
    """A picture that a job showed while it worked. Steps count the iterations of all stages, or of all pictures."""

    __tablename__ = "previews"

    job_seq: Mapped[int] = mapped_column(ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    stage: Mapped[int]
    iteration: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]


class Metric(Base):
    """Measurements of one step of a job. Steps count the iterations of all stages."""

    __tablename__ = "metrics"

    job_seq: Mapped[int] = mapped_column(ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    values: Mapped[dict[str, Any]]


class Model(Owned, BlobColumns, Base):
    __tablename__ = "models"

    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    created_at: Mapped[float] = mapped_column(default=now())
    job_id: Mapped[str | None] = mapped_column(String(40))
    params: Mapped[dict[str, Any]]  # parameters of the training
    channels: Mapped[int]
    maps: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list, server_default="[]")  # MaterialMap, each
    log_partition: Mapped[dict[str, Any] | None]  # `core.schemas.classification.KeptPartition`


class IdempotencyKey(Base):
    """The job, dataset or model that was created for an Idempotency-Key, and the hash of its request."""

    __tablename__ = "idempotency_keys"

    owner: Mapped[int] = mapped_column(primary_key=True)  # owner_seq of what was created, or NO_OWNER
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    job_seq: Mapped[int | None] = mapped_column(ForeignKey("jobs.seq", ondelete="CASCADE"))  # one of these three is set
    dataset_seq: Mapped[int | None] = mapped_column(ForeignKey("datasets.seq", ondelete="CASCADE"), index=True)
    model_seq: Mapped[int | None] = mapped_column(ForeignKey("models.seq", ondelete="CASCADE"), index=True)
    created_at: Mapped[float] = mapped_column(default=now())


class Webhook(Owned, Base):
    """A URL that receives a message when a job of its owner finishes."""

    __tablename__ = "webhooks"

    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(String(100))  # whsec_…, the key of the signatures
    created_at: Mapped[float] = mapped_column(default=now())


class Delivery(Base):
    """A message to a webhook. It is written when its job finishes, and sent until delivered or out of attempts."""

    __tablename__ = "deliveries"
    __table_args__ = (Index(None, "status", "next_at"),)

    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)  # header webhook-id, the same for every attempt
    webhook_seq: Mapped[int] = mapped_column(ForeignKey("webhooks.seq", ondelete="CASCADE"), index=True)
    job_id: Mapped[str] = mapped_column(String(40))
    event: Mapped[str] = mapped_column(String(40))  # such as job.succeeded
    payload: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20), default="pending")  # pending, delivered, failed
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[float] = mapped_column(default=now())
    next_at: Mapped[float | None]  # time of the next attempt; while it is being sent, when another sender may claim it
    delivered_at: Mapped[float | None]
    response_status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)  # of the last attempt
