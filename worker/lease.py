"""A job in this worker's hands: its lease is renewed from a thread, and the work is told when to stop."""

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

CANCEL_GRACE_SECONDS = 0.4  # in which work that was canceled usually stops of itself
STALL_SECONDS = 600.0

log = structlog.get_logger()


class Canceled(Exception):
    """The job's owner wants it to stop."""


class Stopping(Exception):
    """The worker is asked to stop: keep what was done, hand the job back."""


class TimeUp(Exception):
    """Workers have held the job for as long as they may: keep what was done, end it."""


class LeaseRenewer:
    """Renews `claim` every `heartbeat_seconds` until the block ends.

    `check` raises Canceled, TimeUp, Stopping or LeaseLost where there is reason to stop; it costs nothing, so the work
    calls it often. A database that does not answer is no reason: while it is away nobody else can claim the job either,
    and when it is back the token tells who holds it.

    Work that is in the midst of a long stretch when it is canceled does not keep its owner waiting: the job ends in its
    row, and the work finds its lease lost. Work that has not called `check` for `stall_seconds` is stuck: this process
    is killed, which its parent sees.
    """

    def __init__(
        self,
        database: Database,
        claim: JobLease,
        *,
        lease_seconds: float,
        heartbeat_seconds: float,
        stopping: Callable[[], bool],
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self.claim = claim
        self.ended_by_owner = False  # the job ended, canceled, before the work did
        self.after_end: Callable[[], None] = lambda: None  # is called then
        self._database, self._lease_seconds = database, lease_seconds
        self._stopping, self._stall_seconds = stopping, stall_seconds
        self._reason: StopReason | None = None
        self._lost = False
        self._checked_at = time.monotonic()
        self._thread = BackgroundThread(
            f"lease-{claim.job_id}",
            self._renew,
            every_seconds=heartbeat_seconds,
            first_after_seconds=heartbeat_seconds,
            expected=(SQLAlchemyError,),
        )

    def check(self) -> None:
        self._checked_at = time.monotonic()
        if self._lost:
            raise LeaseLost(f"job {self.claim.job_id} is no longer this worker's")
        if self._reason == StopReason.CANCELED:
            raise Canceled
        if self._reason == StopReason.TIME_UP:
            raise TimeUp
        if self._stopping():
            raise Stopping

    def check_owner(self) -> None:
        """As `check`, but lets work that is about to reach a checkpoint go on when it is to be kept."""
        try:
            self.check()
        except (Stopping, TimeUp):
            return

    def __enter__(self) -> Self:
        self._checked_at = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.stop()

    def _renew(self) -> None:
        self._see_that_it_moves()
        try:
            reason = leases.renew(self._database, self.claim, self._lease_seconds)
            self._reason = self._reason or reason
            if reason == StopReason.CANCELED:
                self._reason = reason
                self._end_canceled()
                self._thread.request_stop()
        except LeaseLost:
            self._lost = True
            log.warning("lease_lost", job_id=self.claim.job_id)
            self._thread.request_stop()

    def _end_canceled(self) -> None:
        """Where the work does not stop in time, end the job all the same. Raises LeaseLost."""
        if self._thread.wait(CANCEL_GRACE_SECONDS):
            return
        outcomes.cancel(self._database, self.claim)
        self._lost = self.ended_by_owner = True
        self.after_end()

    def _see_that_it_moves(self) -> None:
        still = time.monotonic() - self._checked_at
        if still < self._stall_seconds:
            return
        detail = f"the work made no step for {still:.0f} s"
        log.error("job_stalled", job_id=self.claim.job_id, detail=detail)
        try:
            outcomes.abandon(self._database, self.claim, {"type": "stalled", "detail": detail})
        except (SQLAlchemyError, LeaseLost) as error:  # then the lease runs out by itself
            log.warning("lease_not_freed", job_id=self.claim.job_id, error=str(error))
        os.kill(os.getpid(), signal.SIGKILL)
