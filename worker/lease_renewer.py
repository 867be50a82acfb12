"""Keep a job's lease alive while the work runs, and tell the work when it has to stop."""

import os
import signal
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.jobs import leases, outcomes
from core.jobs.leases import JobLease, StopReason
from core.runtime.background import BackgroundThread
from core.storage.database import Database
from core.storage.errors import LeaseLost

CANCEL_GRACE_SECONDS = 0.4  # the work usually notices a cancellation and stops within this time
STORAGE_SECONDS = 0.6  # that canceled work may take besides, once it has stopped, to store what it has done
STALL_SECONDS = 600.0

log = structlog.get_logger()


class JobCanceled(Exception):
    """The job's owner canceled it."""


class WorkerStopping(Exception):
    """The worker is shutting down: save a checkpoint and release the job."""


class TimeLimitReached(Exception):
    """Workers have spent the job's time limit: save a checkpoint and end the job."""


class LeaseRenewer:
    """A context manager that renews `lease` every `heartbeat_seconds` in a background thread.

    The work calls `check_stop` or `check_canceled` often, between two steps. Both read flags, record that the work is
    alive and call `between_steps`. If the database does not answer, the work goes on: no other worker can claim the job
    meanwhile, and afterwards the lease's token decides who holds it.

    If the work does not stop within CANCEL_GRACE_SECONDS of a cancellation, because it is in a long computation, the
    thread ends the job in the database and calls `on_canceled`; the work then gets LeaseLost. Work that calls
    `wait_for_storage` meanwhile has STORAGE_SECONDS more. If the work checks nothing for `stall_seconds`, the thread
    abandons the job and kills this process, which the parent process notices.
    """

    def __init__(
        self,
        database: Database,
        lease: JobLease,
        *,
        lease_seconds: float,
        heartbeat_seconds: float,
        stopping: Callable[[], bool],
        on_canceled: Callable[[], None] = lambda: None,
        between_steps: Callable[[], None] = lambda: None,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self.lease = lease
        self.ended_canceled = False  # True if the thread ended the job before the work stopped
        self._database, self._lease_seconds = database, lease_seconds
        self._stopping, self._on_canceled, self._stall_seconds = stopping, on_canceled, stall_seconds
        self._between_steps = between_steps
        self._reason: StopReason | None = None
        self._lost = self._storing = False
        self._checked_at = time.monotonic()
        self._thread = BackgroundThread(
            f"lease-{lease.job_id}",
            self._renew,
            every_seconds=heartbeat_seconds,
            first_after_seconds=heartbeat_seconds,
            expected=(SQLAlchemyError,),
        )

    def check_stop(self) -> None:
        """Raise LeaseLost, JobCanceled, TimeLimitReached or WorkerStopping if the work has to stop."""
        self._checked_at = time.monotonic()
        self._between_steps()
        if self._lost:
            raise LeaseLost(f"job {self.lease.job_id} is no longer this worker's")
        if self._reason == StopReason.CANCELED:
            raise JobCanceled
        if self._reason == StopReason.TIME_UP:
            raise TimeLimitReached
        if self._stopping():
            raise WorkerStopping

    def check_canceled(self) -> None:
        """Raise LeaseLost or JobCanceled, the reasons that leave no time to reach the next checkpoint."""
        try:
            self.check_stop()
        except (WorkerStopping, TimeLimitReached):
            return

    def wait_for_storage(self) -> None:
        """Give canceled work, which has stopped, STORAGE_SECONDS to store what it has done."""
        self._storing = True

    def __enter__(self) -> Self:
        self._checked_at = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.stop()

    def _renew(self) -> None:
        self._kill_if_stalled()
        try:
            reason = leases.renew(self._database, self.lease, self._lease_seconds)
            self._reason = self._reason or reason
            if reason == StopReason.CANCELED:
                self._reason = reason
                self._end_canceled()
                self._thread.request_stop()
        except LeaseLost:
            self._lost = True
            log.warning("lease_lost", job_id=self.lease.job_id)
            self._thread.request_stop()

    def _end_canceled(self) -> None:
        """End the job in the database unless the work stops in time. Raises LeaseLost."""
        if self._thread.wait(CANCEL_GRACE_SECONDS) or (self._storing and self._thread.wait(STORAGE_SECONDS)):
            return
        outcomes.cancel(self._database, self.lease)
        self._lost = self.ended_canceled = True
        self._on_canceled()

    def _kill_if_stalled(self) -> None:
        idle_seconds = time.monotonic() - self._checked_at
        if idle_seconds < self._stall_seconds:
            return
        detail = f"the work made no step for {idle_seconds:.0f} s"
        log.error("job_stalled", job_id=self.lease.job_id, detail=detail)
        try:
            outcomes.abandon(self._database, self.lease, {"type": "stalled", "detail": detail})
        except (SQLAlchemyError, LeaseLost) as error:  # the lease will expire
            log.warning("job_not_abandoned", job_id=self.lease.job_id, error=str(error))
        os.kill(os.getpid(), signal.SIGKILL)
