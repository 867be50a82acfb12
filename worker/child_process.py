"""The process that does the work of one worker: started anew (never forked), alone with torch and the device.

It stays for many jobs, so that the next one begins at once. Its death, by a signal or for want of memory, is seen by
its parent, which frees the job for another try and starts a new child.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.jobs import leases, outcomes
from core.jobs.leases import JobLease
from core.runtime.logs import configure_logs
from core.runtime.processes import die_with_parent
from core.schemas.jobs import Queue
from core.storage.database import Database
from core.storage.errors import LeaseLost
from worker.settings import WorkerSettings

READY, DONE = "ready", "done"  # what a child says; or a JobLease, when it takes a job

log = structlog.get_logger()


class Child:
    """The parent's side."""

    def __init__(self, settings: WorkerSettings, queue: Queue, name: str, database: Database) -> None:
        self._arguments = (settings, queue, name)
        self._database, self._lease_seconds = database, settings.lease_seconds
        self._context = multiprocessing.get_context("spawn")
        self._stopping = False
        self._lock = threading.Lock()
        self._at_work = threading.Lock()  # the pipe serves one at a time

    def start(self) -> None:
        """Start a child and wait until it is ready for work. RuntimeError where it ends before."""
        with self._lock:
            if self._stopping:
                return
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(
                target=_main, args=(theirs, *self._arguments), name="genconvnet-child"
            )
            self._process.start()
            theirs.close()
        try:
            assert self._pipe.recv() == READY
        except EOFError as error:
            self._process.join()
            raise RuntimeError(f"the working process did not start (exit {self._process.exitcode})") from error

    def work(self, heard_of: str) -> None:
        """Have the child do the jobs of its queue until none is left, and wait for it."""
        with self._at_work:
            self._work(heard_of)

    def _work(self, heard_of: str) -> None:
        if self._stopping:
            return  # the job stays in its row; another worker, or this one when it is back, is rung for it
        claim: JobLease | None = None
        try:
            self._pipe.send(heard_of)
            while (said := self._hear(claim)) != DONE:
                claim = said if isinstance(said, JobLease) else claim
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join()
            log.warning("child_died", exit_code=self._process.exitcode, job_id=claim.job_id if claim else None)
            if claim is not None:
                self._free(claim)
            try:
                self.start()
            except RuntimeError as error:  # the next message finds no child, and tries again
                log.warning("child_did_not_start", error=str(error))

    def _hear(self, claim: JobLease | None) -> str | JobLease:
        """What the child says next. One that says nothing and holds no lease is stopped or stuck: it is killed.

        One that waits for the database is neither. EOFError where it is gone.
        """
        silent = 0
        while not self._pipe.poll(self._lease_seconds):
            silent = 0 if self._may_be_well(claim) else silent + 1
            if silent == 2:  # once it may be on its way from one job to the next, or back from a database outage
                log.error("child_hangs", job_id=claim.job_id if claim else None)
                self._process.kill()
        said: str | JobLease = self._pipe.recv()
        return said

    def _may_be_well(self, claim: JobLease | None) -> bool:
        try:
            if claim is not None:
                return leases.is_valid(self._database, claim)
            self._database.ping()
        except SQLAlchemyError:  # nobody knows, until the database is back
            return True
        return False

    def stop(self) -> None:
        """Ask the child to hand its job back; it goes when it has."""
        with self._lock:
            self._stopping = True
            if process := getattr(self, "_process", None):
                process.terminate()

    def close(self) -> None:
        """Wait for the child's end."""
        self.stop()
        if process := getattr(self, "_process", None):
            process.join(timeout=20)
            if process.is_alive():
                process.kill()
                process.join()

    def _free(self, claim: JobLease) -> None:
        with contextlib.suppress(LeaseLost):
            try:
                outcomes.abandon(self._database, claim)
                outcomes.end_lost(self._database)  # at once, where it is not to be tried again
            except SQLAlchemyError as error:  # then the lease runs out by itself
                log.warning("lease_not_freed", job_id=claim.job_id, error=str(error))


def _main(pipe: Connection, settings: WorkerSettings, queue: Queue, name: str) -> None:
    """The child's side: take a word from the pipe, do a job, say so."""
    os.setsid()  # signals meant for the terminal's foreground are the parent's affair
    die_with_parent()
    os.nice(settings.niceness)
    configure_logs(settings)
    structlog.contextvars.bind_contextvars(worker=name)
    stopping = waiting = False  # no Events: a lock may be held by the very code that a signal interrupts

    def on_terminate(*_: object) -> None:
        nonlocal stopping
        stopping = True
        if waiting:
            raise SystemExit(0)

    signal.signal(signal.SIGTERM, on_terminate)

    # Threads that wait for work sleep instead of spinning: beside another worker spinning costs up to 15 times.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from worker.runner import Runner  # torch is imported here, and nowhere else

    runner = Runner(settings, queue, name, lambda: stopping)
    pipe.send(READY)
    while not stopping:
        waiting = True
        try:
            pipe.recv()
        except EOFError:
            return
        finally:
            waiting = False
        # On to the next at once: the broker takes half a second to bring another message to a worker that was busy.
        while runner.run_next(pipe.send) and not stopping:
            pass
        pipe.send(DONE)
