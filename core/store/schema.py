"""The tables. Times are seconds since 1970 by the database's clock; `seq` orders rows as they were accepted."""

import secrets
from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from core.contracts.jobs import JobKind, JobStatus, Queue
from core.store.database import now

Seq = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER PRIMARY KEY


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


class Blob:
    """Columns of a row that describes a stored file."""

    media_type: Mapped[str] = mapped_column(String(100))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    blob: Mapped[str] = mapped_column(Text)  # its path in the blob store


class Dataset(Base):
    __tablename__ = "datasets"

    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[float] = mapped_column(default=now())
    images: Mapped[list["DatasetImage"]] = relationship(
        order_by="DatasetImage.index", cascade="all, delete-orphan", lazy="selectin"
    )


class DatasetImage(Blob, Base):
    __tablename__ = "dataset_images"

    dataset_seq: Mapped[int] = mapped_column(ForeignKey("datasets.seq", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    filename: Mapped[str] = mapped_column(String(255))
    width: Mapped[int]
    height: Mapped[int]
    mode: Mapped[str] = mapped_column(String(4))  # L, LA, RGB or RGBA, 8 bits a channel


class Job(Base):
    """A job and everything that decides who may work on it.

    token: raised at each claim; a write under an older one is refused (fencing).
    attempt: how often it was claimed. strikes: claims in a row that ended without a word and without a checkpoint.
    shards: into how many other jobs it is split (`core.store.shards`); where it is, those are claimed, and it never is.
    parent_seq: of a shard, the job that its owner sees. first: of a shard, the number of its first result.
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
    strikes: Mapped[int] = mapped_column(default=0)
    token: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[float | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    rung_at: Mapped[float | None]
    checkpoint: Mapped[str | None] = mapped_column(Text)  # its path in the blob store

    shards: Mapped[int] = mapped_column(default=0)
    parent_seq: Mapped[int | None] = mapped_column(ForeignKey("jobs.seq"), index=True)
    first: Mapped[int] = mapped_column(default=0)

    parent: Mapped["Job | None"] = relationship(remote_side=[seq], viewonly=True)
    artifacts: Mapped[list["Artifact"]] = relationship(
        order_by="Artifact.name", cascade="all, delete-orphan", lazy="selectin"
    )
    models: Mapped[list["JobModel"]] = relationship(order_by="JobModel.index", cascade="all, delete-orphan")


class JobModel(Base):
    """One of the models of a job that needs several; a job of one names it in `Job.model_id`."""

    __tablename__ = "job_models"

    job_seq: Mapped[int] = mapped_column(ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(String(40), index=True)


class Artifact(Blob, Base):
    __tablename__ = "artifacts"

    job_seq: Mapped[int] = mapped_column(ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    width: Mapped[int | None]
    height: Mapped[int | None]


class Metric(Base):
    """What was measured at one step (iteration over all stages) of a job."""

    __tablename__ = "metrics"

    job_seq: Mapped[int] = mapped_column(ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    values: Mapped[dict[str, Any]]


class Model(Blob, Base):
    __tablename__ = "models"

    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[float] = mapped_column(default=now())
    job_id: Mapped[str | None] = mapped_column(String(40))
    params: Mapped[dict[str, Any]]  # how it was learned
    channels: Mapped[int]


class IdempotencyKey(Base):
    """A job that was asked for under a key, and what was asked."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    job_seq: Mapped[int] = mapped_column(ForeignKey("jobs.seq", ondelete="CASCADE"))
