"""A job in this worker's hands: its lease is renewed from a thread, and the work is told when to stop."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.store import leases
from core.store.database import Database
from core.store.errors import LeaseLost
from core.store.leases import Claim

log = structlog.get_logger()


class Canceled(Exception):
    """The job's owner wants it to stop."""


class Stopping(Exception):
    """The worker is asked to stop: keep what was done, hand the job back."""


class Lease:
    """Renews `claim` every `heartbeat_seconds` until the block ends.

    `check` raises Canceled, Stopping or LeaseLost where there is reason to stop; it costs nothing, so the work calls
    it often. A database that does not answer is no reason: while it is away nobody else can claim the job either, and
    when it is back the token tells who holds it.
    """

    def __init__(
        self,
        database: Database,
        claim: Claim,
        *,
        lease_seconds: float,
        heartbeat_seconds: float,
        stopping: Callable[[], bool],
    ) -> None:
        self.claim = claim
        self._database, self._lease_seconds, self._heartbeat_seconds = database, lease_seconds, heartbeat_seconds
        self._stopping = stopping
        self._ended = threading.Event()
        self._cancel_requested = False
        self._lost = False
        self._thread = threading.Thread(target=self._renew, name=f"lease-{claim.job_id}", daemon=True)

    def check(self) -> None:
        if self._lost:
            raise LeaseLost(f"job {self.claim.job_id} is no longer this worker's")
        if self._cancel_requested:
            raise Canceled
        if self._stopping():
            raise Stopping

    def check_owner(self) -> None:
        """As `check`, but lets work that is about to reach a checkpoint go on when the worker is asked to stop."""
        try:
            self.check()
        except Stopping:
            return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _renew(self) -> None:
        while not self._ended.wait(self._heartbeat_seconds):
            try:
                self._cancel_requested |= leases.renew(self._database, self.claim, self._lease_seconds)
            except LeaseLost:
                self._lost = True
                log.warning("lease_lost", job_id=self.claim.job_id)
                return
            except SQLAlchemyError as error:
                log.warning("lease_not_renewed", job_id=self.claim.job_id, error=str(error))
