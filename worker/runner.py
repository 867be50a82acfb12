"""From a ring of the notifier to the end of a job: claim, work, and one honest outcome."""

import time
from collections.abc import Callable
from functools import partial

import structlog
import torch
from sqlalchemy.exc import DBAPIError

from core.broker.connection import connect
from core.jobs import leases, outcomes
from core.jobs.leases import JobLease
from core.recipe.recovery import LearningDiverged
from core.schemas.jobs import JobKind, JobStatus, Queue
from core.schemas.model_file import BrokenFile
from core.storage.blobs import BlobMissing, Blobs
from core.storage.database import Database
from core.storage.errors import LeaseLost, NotFound
from worker import metrics
from worker.classify import classify
from worker.device import choose_device
from worker.errors import TRANSIENT, Diverged, is_database_away, is_storage_full
from worker.inpaint import inpaint
from worker.job_context import JobContext
from worker.lease import Canceled, LeaseRenewer, Stopping, TimeUp
from worker.reconstruct import reconstruct
from worker.sample import sample
from worker.settings import WorkerSettings
from worker.train import train

HANDLERS: dict[JobKind, Callable[[JobContext], None]] = {
    JobKind.TRAIN: train,
    JobKind.SAMPLE: sample,
    JobKind.RECONSTRUCT: reconstruct,
    JobKind.INPAINT: inpaint,
    JobKind.CLASSIFY: classify,
}

RETRY_SECONDS = 10.0  # after the first transient failure; three times as long after the next
AWAY_SECONDS = 1.0  # between two tries to reach a database that is away

log = structlog.get_logger()


class Runner:
    """What one working process holds open for all its jobs."""

    def __init__(self, settings: WorkerSettings, queue: Queue, name: str, stopping: Callable[[], bool]) -> None:
        self._settings, self._queue, self._name, self._stopping = settings, queue, name, stopping
        self._database = Database(settings.rows_url)
        self._blobs = Blobs(settings.blobs_url)
        self._redis = connect(settings.broker_url)
        self._device = choose_device(settings)
        metrics.MetricsPublisher(self._redis, name, self._device)

    def run_next(self, tell_claim: Callable[[JobLease], None]) -> bool:
        """Do the next job of the queue; false where there is none. `tell_claim` learns which before the work begins."""
        try:
            claim = leases.claim(self._database, self._queue, self._name, self._settings.lease_seconds)
        except DBAPIError as error:  # the job is safe in its row, and will be rung for again
            log.warning("claim_failed", error=str(error))
            return False
        if claim is None:
            return False
        tell_claim(claim)
        about = {"job_id": claim.public_id, "request_id": claim.request_id}
        if claim.parent_id is not None:
            about["shard_id"] = claim.job_id
        with structlog.contextvars.bound_contextvars(**about):
            self._run(claim)
        return True

    def _run(self, claim: JobLease) -> None:
        log.info("job_begins", kind=claim.kind.value, attempt=claim.attempt)
        lease = LeaseRenewer(
            self._database,
            claim,
            lease_seconds=self._settings.lease_seconds,
            heartbeat_seconds=self._settings.heartbeat_seconds,
            stopping=self._stopping,
            stall_seconds=self._settings.stall_seconds,
        )
        desk = JobContext(self._database, self._blobs, self._redis, self._settings, self._device, lease)
        try:
            self._work(desk)
        except LeaseLost as error:
            log.warning("job_left", reason=str(error))
            if lease.ended_by_owner:
                desk.discard()
            else:
                metrics.LEASES_LOST.inc()
        except DBAPIError as error:  # not even its end could be written: the lease runs out, and it is tried again
            log.warning("job_left", reason=str(error))

    def _work(self, desk: JobContext) -> None:
        claim = desk.claim
        desk.lease.after_end = partial(self._tell_canceled, desk)
        try:
            desk.begin()
            with desk.lease:
                HANDLERS[claim.kind](desk)
            log.info("job_succeeded")
        except Canceled:
            if not desk.lease.ended_by_owner:
                outcomes.cancel(self._database, claim)
                self._tell_canceled(desk)
            desk.discard()
        except TimeUp:
            self._fail(desk, "time-limit", "workers have held the job for as long as its time limit lets them")
            desk.discard()
        except Stopping:
            desk.release()
            desk.discard()
            log.info("job_handed_back")
        except LeaseLost:
            raise
        except LearningDiverged as error:
            self._fail(desk, "learning-diverged", str(error))
        except Diverged as error:
            self._fail(desk, "diverged", str(error))
        except (NotFound, BlobMissing, BrokenFile) as error:
            self._fail(desk, "input-missing", str(error))
        except (MemoryError, torch.OutOfMemoryError) as error:
            self._fail(desk, "out-of-memory", f"the job needs more memory than the worker has: {error}")
        except TRANSIENT as error:
            self._wait_for_another_try(desk, error)
        except Exception as error:
            if "can't allocate memory" in str(error):  # how torch says it on the CPU
                self._fail(desk, "out-of-memory", f"the job needs more memory than the worker has: {error}")
                return
            log.exception("job_broke")
            self._fail(desk, "internal-error", f"{type(error).__name__}: {error}")

    def _wait_for_another_try(self, desk: JobContext, error: Exception) -> None:
        """Leave the job for a while. The absence of a database is not counted as a failure of the job."""
        log.warning("job_waits_for_another_try", error=str(error))
        type_ = "storage-full" if is_storage_full(error) else "unavailable"
        reason = {"type": type_, "detail": f"{type(error).__name__}: {error}"}
        away = is_database_away(error)
        while True:
            try:
                outcomes.abandon(self._database, desk.claim, reason, RETRY_SECONDS, count_failure=not away)
            except DBAPIError as again:
                if not is_database_away(again) or self._stopping():
                    raise
                away = True
                time.sleep(AWAY_SECONDS)
            else:
                return desk.discard()

    def _tell_canceled(self, desk: JobContext) -> None:
        desk.tell_status(JobStatus.CANCELED)
        log.info("job_canceled")

    def _fail(self, desk: JobContext, type_: str, detail: str) -> None:
        error = {"type": type_, "detail": detail}
        outcomes.fail(self._database, desk.claim, error)
        desk.tell_status(JobStatus.FAILED, error=error)
        log.warning("job_failed", error_type=type_, detail=detail)
