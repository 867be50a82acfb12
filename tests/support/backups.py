"""A database with rows of many kinds, its files, and a backup of both."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from support import rows
from support.rows import DONE

from core.jobs import running
from core.jobs.results import NewArtifact
from core.schemas.jobs import Queue
from core.storage.backup import back_up, tables_of
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.storage.idempotency import Idempotency
from core.storage.restore import restore
from core.storage.tables import ApiKey, DatasetImage, Webhook

SECRET = bytes(range(32))


@dataclass(frozen=True)
class Source:
    """A database with rows of many kinds, its files, and a backup of both. Tests must not change it."""

    database: Database
    blobs: Blobs
    job_id: str  # of a running job with a checkpoint
    archive: bytes


def fill(database: Database, blobs: Blobs) -> str:
    """Add rows of many kinds and their files. Return the id of a running job with a checkpoint."""
    dataset = rows.add_dataset(database, idempotency=Idempotency("pictures", SECRET))
    stored = blobs.put(dataset.images[0].blob, b"picture")
    with database.write() as session:
        image = session.scalars(select(DatasetImage)).one()
        image.bytes, image.sha256 = stored.bytes, stored.sha256
        key = ApiKey(id="key_1", name="Ann", prefix="gcn_a", sha256=SECRET, admin=True)
        session.add(key)
        session.flush()
        session.add(Webhook(id="webhook_1", url="https://example.org", secret="whsec_x", owner_seq=key.seq))
    job_id = rows.accept(database, rows.train(dataset.id), Idempotency("mine", SECRET))
    lease = rows.claim(database, Queue.TRAIN)
    running.checkpoint(database, lease, blobs.put(lease.path("checkpoint"), b"learned so far"))
    preview = NewArtifact("preview.png", "image/png", blobs.put(lease.path("preview.png"), b"preview"), 4, 4)
    running.publish(database, lease, preview)
    running.record(database, lease, DONE, [(1, {"chain_std": 1.5}), (2, {"chain_std": 2.5})])
    return job_id


def all_rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    with database.engine.connect() as connection:
        return {
            table.name: [
                dict(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            ]
            for table in tables_of(connection)
        }


def archive_of(database: Database, blobs: Blobs, folder: Path) -> bytes:
    back_up(database, blobs, folder / "backup.tar.gz")
    return (folder / "backup.tar.gz").read_bytes()


def restore_archive(target: Database, files: Blobs, archive: bytes) -> None:
    restore(target, files, io.BytesIO(archive))
