"""What a job's work is given: where things are stored, and how to tell how far it has come."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
import torch
from obstore.exceptions import BaseError as BlobError
from redis import Redis

from core.broker import events
from core.jobs import outcomes, running
from core.jobs.leases import JobLease
from core.jobs.results import NewArtifact, NewModel
from core.schemas.jobs import JobStatus, Progress
from core.storage.blobs import Blobs, StoredBlob
from core.storage.database import Database
from core.storage.errors import LeaseLost
from worker import metrics
from worker.lease import LeaseRenewer
from worker.settings import WorkerSettings

log = structlog.get_logger()


@dataclass
class JobContext:
    """One job's place of work. Every write checks the lease, and raises LeaseLost where it is gone."""

    database: Database
    blobs: Blobs
    redis: Redis
    settings: WorkerSettings
    device: torch.device
    lease: LeaseRenewer
    artifacts: list[NewArtifact] = field(default_factory=list)
    _points: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    _progress: Progress = field(default_factory=Progress)
    _recorded_at: float = 0.0

    @property
    def claim(self) -> JobLease:
        return self.lease.claim

    def progress(self, progress: Progress, point: tuple[int, Mapping[str, Any]] | None = None) -> None:
        """How far the job has come and what was measured; written at most every `progress_seconds`."""
        self._progress = progress
        if point is not None:
            self._points.append(point)
        if time.monotonic() - self._recorded_at >= self.settings.progress_seconds:
            self.flush()

    def flush(self) -> None:
        """Write what `progress` was told and has not written yet."""
        data = running.record(self.database, self.claim, self._progress, self._points).model_dump()
        if self._points:
            data["metrics"] = dict(self._points[-1][1])
        events.publish(self.redis, self.claim.public_id, "progress", data)
        self._points.clear()
        self._recorded_at = time.monotonic()

    def note(self, **facts: Any) -> None:
        """What holds of the work from its beginning: shown among the job's metrics."""
        running.set_metrics(self.database, self.claim, facts)

    def store(self, name: str, content: bytes) -> StoredBlob:
        """Keep a file of this attempt."""
        return self.blobs.put(self.claim.path(name), content)

    def add_artifact(self, name: str, media_type: str, content: bytes, size: tuple[int, int] | None = None) -> None:
        """A file among the job's results; shown when the job succeeds, or at once where it is a shard's.

        `size` is (width, height).
        """
        if self.claim.parent_seq is not None:
            self.publish(name, media_type, content, size)
            return
        width, height = size or (None, None)
        self.artifacts.append(NewArtifact(name, media_type, self.store(name, content), width, height))

    def discard(self) -> None:
        """Remove the results that were added, of an attempt that shows none."""
        try:
            self.blobs.delete(*(artifact.stored.blob for artifact in self.artifacts))
        except BlobError as error:  # they take up room, and harm nobody
            log.warning("results_not_removed", error=str(error))
        self.artifacts.clear()

    def publish(
        self, name: str, media_type: str, content: bytes, size: tuple[int, int] | None, stored_as: str | None = None
    ) -> StoredBlob:
        """Show a file among the job's artifacts now, before the job has ended; it takes the place of an earlier one."""
        stored = self.store(stored_as or name, content)
        artifact = NewArtifact(name, media_type, stored, *(size or ()))
        try:
            replaced = running.publish(self.database, self.claim, artifact)
        except LeaseLost:
            self.blobs.delete(stored.blob)
            raise
        self.blobs.delete(*replaced)
        return stored

    def preview(self, step: int, content: bytes, size: tuple[int, int]) -> None:
        """Show a picture of the work so far as preview.png."""
        # Each version has a path of its own, so that a reader never gets half of one and half of the next.
        stored = self.publish("preview.png", "image/png", content, size, stored_as=f"preview-{step:07d}.png")
        data = {"step": step, "url": f"/v1/jobs/{self.claim.job_id}/artifacts/preview.png", "sha256": stored.sha256}
        events.publish(self.redis, self.claim.job_id, "preview", data)

    def checkpoint(self, name: str, content: bytes) -> None:
        """From now on the job goes on from here, whoever takes it; what was measured on the way here is kept too."""
        self.flush()
        self.blobs.delete(*running.checkpoint(self.database, self.claim, self.store(name, content)))

    def succeed(self, *, metrics: dict[str, Any] | None = None, model: NewModel | None = None) -> None:
        """The job's end with all that was added."""
        self.flush()
        done = self._progress.model_copy(update={"fraction": 1.0, "eta_seconds": 0.0})
        success = outcomes.succeed(self.database, self.claim, self.artifacts, done, metrics=metrics, model=model)
        self.blobs.delete(*success.replaced)
        if success.job_ended:
            self.tell_status(JobStatus.SUCCEEDED)

    def begin(self) -> None:
        """Tell that the work begins, where its owner does not see it running already."""
        if (attempt := running.begin(self.database, self.claim)) is not None:
            self.tell_status(JobStatus.RUNNING, attempt=attempt)

    def release(self) -> None:
        """Leave the job to another worker."""
        if (status := outcomes.release(self.database, self.claim)) is not None:
            self.tell_status(status)

    def tell_status(self, status: JobStatus, **more: object) -> None:
        name: events.EventName = "done" if status.final else "status"
        if status.final:
            metrics.JOBS_FINISHED.labels(self.claim.kind.value, status.value).inc()
        events.publish(self.redis, self.claim.public_id, name, {"status": status.value, **more})
