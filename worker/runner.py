"""Claim jobs, do their work, and record how each ends."""

from collections.abc import Callable
from contextlib import nullcontext

import structlog
import torch
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, wait_fixed

from core.broker.connection import connect
from core.engine.parallel import set_threads
from core.engine.ranks import ProcessLost
from core.jobs import leases, outcomes
from core.jobs.leases import JobLease
from core.pictures.known_pixels import NothingToLearn
from core.recipe.recovery import LearningDiverged
from core.runtime.processes import core_count
from core.schemas.jobs import JobKind, JobStatus, Queue
from core.schemas.model_file import BrokenFile
from core.storage.blobs import BlobMissing, Blobs
from core.storage.database import Database
from core.storage.errors import LeaseLost, NotFound
from core.storage.failures import TRANSIENT, is_database_unavailable, is_disk_full
from worker import metrics
from worker.classify import classify
from worker.device import all_threads, choose_device
from worker.errors import NonFiniteResult
from worker.inpaint import inpaint
from worker.job_context import JobContext
from worker.lease_renewer import JobCanceled, LeaseRenewer, TimeLimitReached, WorkerStopping
from worker.reconstruct import reconstruct
from worker.sample import sample
from worker.settings import WorkerSettings
from worker.shared_cores import SharedCores
from worker.train import train
from worker.training_processes import reason_of

HANDLERS: dict[JobKind, Callable[[JobContext], None]] = {
    JobKind.TRAIN: train,
    JobKind.SAMPLE: sample,
    JobKind.RECONSTRUCT: reconstruct,
    JobKind.INPAINT: inpaint,
    JobKind.CLASSIFY: classify,
}

RETRY_SECONDS = 10.0  # after the first transient failure; three times as long after each further one
DATABASE_RETRY_SECONDS = 1.0  # while the database does not answer

log = structlog.get_logger()


class JobRunner:
    """Runs the jobs of one queue, one after the other, in this process."""

    def __init__(self, settings: WorkerSettings, queue: Queue, name: str, stopping: Callable[[], bool]) -> None:
        self._settings, self._queue, self._name, self._stopping = settings, queue, name, stopping
        self._database = Database(settings.rows_url)
        self._blobs = Blobs(settings.blobs_url)
        self._redis = connect(settings.broker_url)
        self._device = choose_device(settings)
        self._cores = None if settings.threads else _open_shared_cores(settings, queue)
        self._metrics_publisher = metrics.MetricsPublisher(self._redis, name, self._device)
        self._metrics_publisher.start()

    def close(self) -> None:
        self._metrics_publisher.stop()
        self._redis.close()
        if self._cores is not None:
            self._cores.close()
        self._database.dispose()

    def run_next(self, on_claim: Callable[[JobLease], None]) -> bool:
        """Claim and run the next job; call `on_claim` before its work begins. Return False if there is no job."""
        try:
            lease = leases.claim(self._database, self._queue, self._name, self._settings.lease_seconds)
        except DBAPIError as error:  # the job stays in its row, and workers are notified of it again
            log.warning("claim_failed", error=str(error))
            return False
        if lease is None:
            self._database.release_connections()
            return False
        on_claim(lease)
        log_context = {"job_id": lease.public_id, "request_id": lease.request_id}
        if lease.parent_id is not None:
            log_context["shard_id"] = lease.job_id
        with structlog.contextvars.bound_contextvars(**log_context):
            self._run(lease)
        return True

    def _run(self, lease: JobLease) -> None:
        log.info("job_begins", kind=lease.kind.value, attempt=lease.attempt)
        renewer = LeaseRenewer(
            self._database,
            lease,
            lease_seconds=self._settings.lease_seconds,
            heartbeat_seconds=self._settings.heartbeat_seconds,
            stopping=self._stopping,
            on_canceled=lambda: self._publish_canceled(context),
            between_steps=lambda: self._use_share_of_cores(context.processes),
            stall_seconds=self._settings.stall_seconds,
        )
        context = JobContext(self._database, self._blobs, self._redis, self._settings, self._device, renewer)
        try:
            with self._cores.busy() if self._cores else nullcontext():
                self._use_share_of_cores()
                self._work(context)
        except LeaseLost as error:
            log.warning("job_left", reason=str(error))
            if renewer.ended_canceled:
                context.delete_artifacts()
            else:
                metrics.LEASES_LOST.inc()
        except DBAPIError as error:  # the outcome could not be written: the lease expires, and the job is tried again
            log.warning("job_left", reason=str(error))

    def _use_share_of_cores(self, processes: int = 1) -> None:
        """Set the number of threads to this worker's share of the cores, or to the settings' number.

        Several processes of one training divide them.
        """
        threads = self._cores.share() if self._cores is not None else all_threads(self._settings)
        if set_threads(share := max(1, threads // processes)):
            log.debug("threads", threads=share)

    def _work(self, context: JobContext) -> None:
        """Do the work of the job and record its outcome. Raises LeaseLost, or DBAPIError if that cannot be written."""
        try:
            context.begin()
            with context.renewer:
                HANDLERS[context.lease.kind](context)
            log.info("job_succeeded", kind=context.lease.kind.value, seconds=context.seconds)
        except JobCanceled:
            if not context.renewer.ended_canceled:
                outcomes.cancel(self._database, context.lease)
                self._publish_canceled(context)
            context.delete_artifacts()
        except TimeLimitReached:
            self._fail(context, "time-limit", "workers have spent the job's time limit on it")
            context.delete_artifacts()
        except WorkerStopping:
            context.release()
            context.delete_artifacts()
            log.info("job_released", seconds=context.seconds)
        except LeaseLost:
            raise
        except Exception as error:
            self._handle_error(context, error)

    def _handle_error(self, context: JobContext, error: Exception) -> None:
        """Fail the job with a problem type and reason, or have it tried again if the error is transient."""
        match error:
            case ProcessLost():
                log.warning("process_lost", error=str(error))
                outcomes.abandon(self._database, context.lease, reason_of(error))
                context.delete_artifacts()
            case LearningDiverged():
                self._fail(context, "learning-diverged", str(error))
            case NothingToLearn():
                self._fail(context, "nothing-to-learn", str(error))
            case NonFiniteResult():
                self._fail(context, "diverged", str(error))
            case NotFound() | BlobMissing() | BrokenFile():
                self._fail(context, "input-missing", str(error))
            case _ if _is_out_of_memory(error):
                self._fail(context, "out-of-memory", f"the job needs more memory than the worker has: {error}")
            case _ if isinstance(error, TRANSIENT):
                self._retry_later(context, error)
            case _:
                log.error("job_crashed", exc_info=error)
                self._fail(context, "internal-error", f"{type(error).__name__}: {error}")

    def _retry_later(self, context: JobContext, error: Exception) -> None:
        """Abandon the job for a while. It counts as a failure of the job unless the database did not answer."""
        log.warning("job_retried_later", error=str(error))
        type_ = "storage-full" if is_disk_full(error) else "unavailable"
        reason = {"type": type_, "detail": f"{type(error).__name__}: {error}"}
        attempts = Retrying(
            retry=retry_if_exception(is_database_unavailable),
            stop=lambda _: self._stopping(),
            wait=wait_fixed(DATABASE_RETRY_SECONDS),
            reraise=True,
        )
        for attempt in attempts:
            with attempt:
                to_blame = attempt.retry_state.attempt_number == 1 and not is_database_unavailable(error)
                outcomes.abandon(self._database, context.lease, reason, RETRY_SECONDS, count_failure=to_blame)
        context.delete_artifacts()

    def _publish_canceled(self, context: JobContext) -> None:
        context.publish_status(JobStatus.CANCELED)
        log.info("job_canceled", seconds=context.seconds)

    def _fail(self, context: JobContext, type_: str, detail: str) -> None:
        error = {"type": type_, "detail": detail}
        outcomes.fail(self._database, context.lease, error)
        context.publish_status(JobStatus.FAILED, error=error)
        log.warning("job_failed", error_type=type_, detail=detail, seconds=context.seconds)


def _open_shared_cores(settings: WorkerSettings, queue: Queue) -> SharedCores | None:
    """Return the cores that this machine's workers of the queue share, or None if their file cannot be locked.

    Workers of different queues do not share: beside other work, one thread each was slower than all threads each.
    """
    try:
        return SharedCores(settings.data_dir / f"cores-{queue.value}.lock", core_count())
    except OSError as error:
        log.warning("cores_not_shared", error=str(error))
        return None


def _is_out_of_memory(error: Exception) -> bool:
    """Return True for errors of Python, CUDA and PyTorch's CPU allocator, which raises a plain RuntimeError."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
