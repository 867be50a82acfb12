"""From a ring of the bell to the end of a job: claim, work, and one honest outcome."""

from collections.abc import Callable

import structlog
import torch
from obstore.exceptions import BaseError as BlobError
from redis import RedisError
from sqlalchemy.exc import DBAPIError, OperationalError

from core.broker.connection import connect
from core.checkpoint import BrokenFile
from core.contracts.jobs import JobKind, JobStatus, Queue
from core.learning import LearningDiverged
from core.store import leases
from core.store.blobs import BlobMissing, Blobs
from core.store.database import Database
from core.store.errors import LeaseLost, NotFound
from core.store.leases import Claim
from worker.classify import classify
from worker.desk import Desk
from worker.device import choose_device
from worker.errors import Diverged
from worker.inpaint import inpaint
from worker.lease import Canceled, Lease, Stopping
from worker.reconstruct import reconstruct
from worker.sample import sample
from worker.settings import WorkerSettings
from worker.train import train

HANDLERS: dict[JobKind, Callable[[Desk], None]] = {
    JobKind.TRAIN: train,
    JobKind.SAMPLE: sample,
    JobKind.RECONSTRUCT: reconstruct,
    JobKind.INPAINT: inpaint,
    JobKind.CLASSIFY: classify,
}

TRANSIENT = (OperationalError, RedisError, BlobError, ConnectionError, TimeoutError)
"""What may be gone at the next try. The job waits for one, a strike the poorer; after three it fails."""

RETRY_SECONDS = 10.0  # after the first transient failure; three times as long after the next

log = structlog.get_logger()


class Runner:
    """What one working process holds open for all its jobs."""

    def __init__(self, settings: WorkerSettings, queue: Queue, name: str, stopping: Callable[[], bool]) -> None:
        self._settings, self._queue, self._name, self._stopping = settings, queue, name, stopping
        self._database = Database(settings.rows_url)
        self._blobs = Blobs(settings.blobs_url)
        self._redis = connect(settings.broker_url)
        self._device = choose_device(settings)

    def run_next(self, tell_claim: Callable[[Claim], None]) -> bool:
        """Do the next job of the queue; false where there is none. `tell_claim` learns which before the work begins."""
        try:
            claim = leases.claim(self._database, self._queue, self._name, self._settings.lease_seconds)
        except DBAPIError as error:  # the job is safe in its row, and will be rung for again
            log.warning("claim_failed", error=str(error))
            return False
        if claim is None:
            return False
        tell_claim(claim)
        about = {"job_id": claim.shown_id, "request_id": claim.request_id}
        if claim.parent_id is not None:
            about["shard_id"] = claim.job_id
        with structlog.contextvars.bound_contextvars(**about):
            self._run(claim)
        return True

    def _run(self, claim: Claim) -> None:
        log.info("job_begins", kind=claim.kind.value, attempt=claim.attempt)
        lease = Lease(
            self._database,
            claim,
            lease_seconds=self._settings.lease_seconds,
            heartbeat_seconds=self._settings.heartbeat_seconds,
            stopping=self._stopping,
        )
        desk = Desk(self._database, self._blobs, self._redis, self._settings, self._device, lease)
        try:
            self._work(desk)
        except LeaseLost as error:
            log.warning("job_left", reason=str(error))
        except DBAPIError as error:  # not even its end could be written: the lease runs out, and it is tried again
            log.warning("job_left", reason=str(error))

    def _work(self, desk: Desk) -> None:
        claim = desk.claim
        try:
            desk.begin()
            with desk.lease:
                HANDLERS[claim.kind](desk)
            log.info("job_succeeded")
        except Canceled:
            leases.canceled(self._database, claim)
            desk.discard()
            desk.tell_status(JobStatus.CANCELED)
            log.info("job_canceled")
        except Stopping:
            desk.hand_back()
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
            log.warning("job_waits_for_another_try", error=str(error))
            reason = {"type": "unavailable", "detail": f"{type(error).__name__}: {error}"}
            leases.give_up(self._database, claim, reason, RETRY_SECONDS)
        except Exception as error:
            if "can't allocate memory" in str(error):  # how torch says it on the CPU
                self._fail(desk, "out-of-memory", f"the job needs more memory than the worker has: {error}")
                return
            log.exception("job_broke")
            self._fail(desk, "internal-error", f"{type(error).__name__}: {error}")

    def _fail(self, desk: Desk, type_: str, detail: str) -> None:
        error = {"type": type_, "detail": detail}
        leases.fail(self._database, desk.claim, error)
        desk.tell_status(JobStatus.FAILED, error=error)
        log.warning("job_failed", error_type=type_, detail=detail)
