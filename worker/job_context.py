"""What the handler of a job works with: storage, device and lease, and methods that record progress and results."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
import torch
from obstore.exceptions import BaseError as BlobError
from redis import Redis
from torch import Tensor

from core.broker import events
from core.jobs import outcomes, previews, running
from core.jobs.leases import JobLease
from core.jobs.previews import NewPreview
from core.jobs.results import PREVIEW, NewArtifact, NewModel
from core.pictures.images import to_image, write_picture
from core.pictures.origin import Origin, write_origin
from core.pictures.thumbnails import make_thumbnail
from core.schemas.jobs import JobStatus, Progress, Replay
from core.schemas.thumbnails import is_small
from core.storage.blobs import Blobs, StoredBlob, thumbnail_path
from core.storage.database import Database
from core.storage.errors import LeaseLost
from core.version import VERSION
from worker import metrics
from worker.device import device_kind
from worker.lease_renewer import LeaseRenewer
from worker.settings import WorkerSettings

log = structlog.get_logger()


@dataclass
class JobContext:
    """One attempt at a job. Every method that writes to the database raises LeaseLost if the lease is lost.

    processes: how many divide the worker's share of the cores among them (`worker.training_processes`).
    """

    database: Database
    blobs: Blobs
    redis: Redis
    settings: WorkerSettings
    device: torch.device
    renewer: LeaseRenewer
    processes: int = 1
    artifacts: list[NewArtifact] = field(default_factory=list)
    _points: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    _metrics: dict[str, Any] = field(default_factory=dict)
    _progress: Progress = field(default_factory=Progress)
    _recorded_at: float = 0.0
    _began_at: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """The duration of this attempt until now."""
        return round(time.monotonic() - self._began_at, 3)

    @property
    def lease(self) -> JobLease:
        return self.renewer.lease

    @contextmanager
    def divided_among(self, processes: int) -> Iterator[None]:
        """Set `processes` until the context ends."""
        self.processes = processes
        try:
            yield
        finally:
            self.processes = 1

    def begin(self) -> None:
        """Record that the work begins. Publish the status unless the job's owner already sees it running."""
        if (attempt := running.begin(self.database, self.lease)) is not None:
            self.publish_status(JobStatus.RUNNING, attempt=attempt)

    def set_metrics(self, **values: Any) -> None:
        """Replace the job's metrics, such as those of an earlier attempt."""
        self._metrics = values
        running.set_metrics(self.database, self.lease, values)

    def report_progress(self, progress: Progress, point: tuple[int, Mapping[str, Any]] | None = None) -> None:
        """Set the progress and add a point (step, measured values); write them at most every `progress_seconds`."""
        self._progress = progress
        if point is not None:
            self._points.append(point)
        if time.monotonic() - self._recorded_at >= self.settings.progress_seconds:
            self.flush_progress()

    def flush_progress(self) -> None:
        """Write and publish what `report_progress` has collected."""
        data = running.record(self.database, self.lease, self._progress, self._points).model_dump()
        if self._points:
            data["metrics"] = dict(self._points[-1][1])
        self._publish("progress", data)
        self._points.clear()
        self._recorded_at = time.monotonic()

    def store_file(self, name: str, content: bytes) -> StoredBlob:
        """Store a file of this attempt."""
        return self.blobs.put(self.lease.path(name), content)

    def add_picture(self, name: str, pixels: Tensor, origin: Origin | None = None) -> None:
        """Add pixels (C, H, W), uint8, to the results as a PNG that tells its origin, if any; see `add_artifact`."""
        content = write_picture(pixels)
        if origin is not None and self.settings.picture_metadata:
            content = write_origin(content, origin)
        self._store_thumbnail(name, content, pixels)
        self.add_artifact(name, "image/png", content, _size(pixels))

    def add_artifact(self, name: str, media_type: str, content: bytes, size: tuple[int, int] | None = None) -> None:
        """Add a file to the results. It is published when the job succeeds; that of a shard is published at once.

        `size` is (width, height) of a picture.
        """
        if self.lease.parent_seq is not None:
            self._publish_artifact(name, media_type, content, size)
            return
        width, height = size or (None, None)
        self.artifacts.append(NewArtifact(name, media_type, self.store_file(name, content), width, height))

    def publish_picture(self, name: str, pixels: Tensor) -> None:
        """Publish pixels (C, H, W), uint8, as a PNG before the job ends; replace an earlier one of this name."""
        content = write_picture(pixels)
        self._store_thumbnail(name, content, pixels)
        self._publish_artifact(name, "image/png", content, _size(pixels))

    def publish_preview(self, step: int, stage: int, iteration: int, pixels: Tensor) -> None:
        """Publish pixels (C, H, W), uint8, as preview.png, keep them among the previews, and send an event.

        step: the iterations of all stages, or the steps of all pictures before and of this one. The event's `url` is
        that of preview.png, because another preview may take the place of a kept one.
        """
        # Each version has a path of its own, so that no reader gets half of one version and half of the next.
        stored_as, content = f"preview-{step:07d}.png", write_picture(pixels)
        stored = self._publish_artifact(PREVIEW, "image/png", content, _size(pixels), stored_as)
        width, height = _size(pixels)
        kept_as = f"preview-kept-{step:07d}.png"
        self._store_thumbnail(kept_as, content, pixels)
        kept = self.store_file(kept_as, content)
        self._delete_replaced(
            kept,
            lambda: previews.add(self.database, self.lease, NewPreview(step, stage, iteration, width, height, kept)),
        )
        place = {"step": step, "stage": stage, "iteration": iteration, "width": width, "height": height}
        url = f"/v1/jobs/{self.lease.public_id}/artifacts/{PREVIEW}"
        self._publish("preview", {**place, "url": url, "sha256": stored.sha256})

    def _store_thumbnail(self, name: str, content: bytes, pixels: Tensor) -> None:
        """Store the thumbnail of a large picture, so that the API need not read the picture to make it."""
        if not is_small(*_size(pixels), len(content)):
            self.blobs.put(thumbnail_path(self.lease.path(name)), make_thumbnail(to_image(pixels)))

    def _publish_artifact(
        self, name: str, media_type: str, content: bytes, size: tuple[int, int] | None, stored_as: str | None = None
    ) -> StoredBlob:
        stored = self.store_file(stored_as or name, content)
        artifact = NewArtifact(name, media_type, stored, *(size or ()))
        self._delete_replaced(stored, lambda: running.publish(self.database, self.lease, artifact))
        return stored

    def _delete_replaced(self, stored: StoredBlob, write_row: Callable[[], list[str]]) -> None:
        """Write the row of a stored file, and delete the files that it replaces. Without a lease delete the new one."""
        try:
            replaced = write_row()
        except LeaseLost:
            self.blobs.delete(stored.blob)
            raise
        self.blobs.delete(*replaced)

    def delete_artifacts(self) -> None:
        """Delete the files of the results that were added, because this attempt will not publish them."""
        try:
            self.blobs.delete(*(artifact.stored.blob for artifact in self.artifacts))
        except BlobError as error:  # the files take up space but do no harm
            log.warning("artifacts_not_deleted", error=str(error))
        self.artifacts.clear()

    def store_checkpoint(self, name: str, content: bytes) -> None:
        """Store a checkpoint, from which the next attempt goes on, and write the progress up to it."""
        self.flush_progress()
        self.blobs.delete(*running.checkpoint(self.database, self.lease, self.store_file(name, content)))

    def succeed(self, *, metrics: dict[str, Any] | None = None, model: NewModel | None = None) -> None:
        """End the job with the results that were added."""
        self.flush_progress()
        if self.lease.replays is not None:
            metrics = self._with_differences(metrics or self._metrics, self.lease.replays)
        done = self._progress.model_copy(update={"fraction": 1.0, "eta_seconds": 0.0})
        success = outcomes.succeed(self.database, self.lease, self.artifacts, done, metrics=metrics, model=model)
        self.blobs.delete(*success.replaced)
        if success.job_ended:
            self.publish_status(JobStatus.SUCCEEDED)

    def _with_differences(self, values: dict[str, Any], replay: Replay) -> dict[str, Any]:
        """Add to the `remarks` why the picture that the job makes again may look otherwise."""
        found = replay.differences(VERSION, values.get("precision"), device_kind(self.device), values.get("processes"))
        return {**values, "remarks": [*values.get("remarks", []), *found]}

    def release(self) -> None:
        """Return the job to its queue."""
        if (status := outcomes.release(self.database, self.lease)) is not None:
            self.publish_status(status)

    def publish_status(self, status: JobStatus, **details: object) -> None:
        """Publish the job's new status as an event, and count jobs that have ended."""
        name: events.EventName = "done" if status.final else "status"
        if status.final:
            metrics.JOBS_FINISHED.labels(self.lease.kind.value, status.value).inc()
        self._publish(name, {"status": status.value, **details})

    def _publish(self, name: events.EventName, data: Mapping[str, Any]) -> None:
        events.publish(self.redis, self.lease.public_id, name, data, owner=self.lease.owner)


def _size(pixels: Tensor) -> tuple[int, int]:
    return pixels.shape[2], pixels.shape[1]
