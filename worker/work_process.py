"""The process that does a worker's work. It alone imports torch and uses the device.

It is spawned, not forked, because a process that has used CUDA must not be forked. It does many jobs, so that the next
one starts at once. If it dies, killed by a signal or out of memory, its parent frees the job for another attempt and
starts a new process.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.jobs import leases, outcomes
from core.jobs.leases import JobLease
from core.runtime.logs import configure_logs, log_lines
from core.runtime.processes import die_with_parent, importing
from core.runtime.startup import REFUSED, exit_if_refused
from core.schemas.jobs import Queue
from core.storage.database import Database
from core.storage.errors import LeaseLost
from worker.settings import WorkerSettings

# The parent sends RUN. The process sends READY once, then for each RUN the lease of every job it claims, and DONE.
RUN, READY, DONE = "run", "ready", "done"
SILENT_PERIODS = 2  # once it may be between two jobs, or waiting for the database to return
START_SECONDS = 600.0  # to import torch from a slow disk; a process that takes longer is stuck
END_SECONDS = 20.0  # from the end of its work to the end of the process; one that takes longer is stuck

log = structlog.get_logger()


class WorkProcessRefused(RuntimeError):
    """The process refuses its settings, and has said why."""


class WorkProcess:
    """The parent's handle on the process."""

    def __init__(self, settings: WorkerSettings, queue: Queue, name: str, database: Database) -> None:
        self._arguments = (settings, queue, name)
        self._database, self._lease_seconds = database, settings.lease_seconds
        self._context = multiprocessing.get_context("spawn")
        self._stopping = False
        self._start_lock = threading.RLock()  # SIGTERM may call `stop` on the thread that starts
        self._pipe_lock = threading.Lock()

    def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises RuntimeError or WorkProcessRefused if it ends before. It is killed if it takes START_SECONDS.
        """
        with self._start_lock:
            if self._stopping:
                return
            pipe, theirs = self._context.Pipe()
            output, their_output = self._context.Pipe(duplex=False)
            arguments = (their_output, _main, theirs, *self._arguments)
            process = self._context.Process(target=_with_output, args=arguments, name="genconvnet-work")
            try:
                process.start()
            except OSError as error:  # no memory or no room for another process
                for end in (pipe, output):
                    end.close()
                raise RuntimeError(f"the work process did not start: {error}") from error
            finally:
                theirs.close()
                their_output.close()
            self._pipe, self._process = pipe, process
            with output:
                log_lines(os.fdopen(os.dup(output.fileno()), "rb"), "work")
        try:
            if not self._pipe.poll(START_SECONDS):
                self._process.kill()
            assert self._pipe.recv() == READY
        except EOFError as error:
            if self._wait_for_end() == REFUSED:
                raise WorkProcessRefused("the work process refuses its settings") from error
            raise RuntimeError(f"the work process did not start (exit {self._process.exitcode})") from error

    def run_jobs(self) -> None:
        """Let the process do the jobs of its queue until none is left, and wait for it.

        If the worker is stopping, do nothing: the jobs stay in their rows, and workers are notified of them again.
        """
        with self._pipe_lock:
            if not self._stopping:
                self._run_jobs()

    def _run_jobs(self) -> None:
        lease: JobLease | None = None
        try:
            self._pipe.send(RUN)
            while (message := self._receive(lease)) != DONE:
                lease = message if isinstance(message, JobLease) else lease
        except (EOFError, BrokenPipeError, ConnectionResetError):
            log.warning("work_process_died", exit_code=self._wait_for_end(), job_id=lease.job_id if lease else None)
            if lease is not None:
                self._abandon(lease)
            try:
                self.start()
            except RuntimeError as error:  # `run_jobs` finds the pipe closed the next time, and tries again
                log.warning("work_process_did_not_start", error=str(error))

    def _receive(self, lease: JobLease | None) -> str | JobLease:
        """Return the next message of the process. Raises EOFError if it has ended.

        A process that sends nothing and holds no valid lease is suspended or stuck, and is killed. It is spared while
        the database does not answer, because it may be waiting for the database.
        """
        silent = 0
        while not self._pipe.poll(self._lease_seconds):
            silent = 0 if self._may_be_working(lease) else silent + 1
            if not self._process.is_alive() and not self._pipe.poll():
                raise EOFError
            if silent == SILENT_PERIODS:
                log.error("work_process_hangs", job_id=lease.job_id if lease else None)
                self._process.kill()
        message: str | JobLease = self._pipe.recv()
        return message

    def _may_be_working(self, lease: JobLease | None) -> bool:
        """Return True if the process holds a valid lease, or if the database does not answer."""
        try:
            if lease is not None:
                return leases.is_valid(self._database, lease)
            self._database.ping()
        except SQLAlchemyError:
            return True
        return False

    def stop(self) -> None:
        """Ask the process to release its job and end; do not wait for it."""
        with self._start_lock:
            self._stopping = True
            if process := getattr(self, "_process", None):
                process.terminate()

    def close(self) -> None:
        """Stop the process and wait until it has ended."""
        self.stop()
        if hasattr(self, "_process"):
            self._wait_for_end()

    def _wait_for_end(self) -> int | None:
        """Wait until the process has ended, and kill it after END_SECONDS. Return its exit code."""
        self._process.join(END_SECONDS)
        if self._process.is_alive():
            log.error("work_process_does_not_end")
            self._process.kill()
            self._process.join()
        return self._process.exitcode

    def _abandon(self, lease: JobLease) -> None:
        with contextlib.suppress(LeaseLost):
            try:
                outcomes.abandon(self._database, lease)
                outcomes.end_lost(self._database)  # at once if the job is not to be tried again
            except SQLAlchemyError as error:  # the lease will expire
                log.warning("job_not_abandoned", job_id=lease.job_id, error=str(error))


def _with_output(output: Connection, main: Callable[..., None], *arguments: object) -> None:
    """Call `main`. The plain lines that libraries in C write to standard error go to `output`: the parent logs them."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)  # for our log
    with output:
        os.dup2(output.fileno(), 2)
    try:
        with exit_if_refused("genconvnet worker"):
            main(*arguments)
    except Exception as error:  # multiprocessing would print it, which is not JSON
        log.critical("uncaught_exception", exc_info=error)
        raise SystemExit(1) from error


def _main(pipe: Connection, settings: WorkerSettings, queue: Queue, name: str) -> None:
    """Run jobs whenever the parent sends a message, until SIGTERM or the end of the parent."""
    os.setsid()  # the parent handles the terminal's signals
    die_with_parent()
    os.nice(settings.niceness)
    configure_logs(settings)
    structlog.contextvars.bind_contextvars(worker=name)
    stopping = waiting = False  # not threading.Event: its lock may be held by the code that the signal interrupts

    def on_terminate(*_: object) -> None:
        nonlocal stopping
        stopping = True
        if waiting:
            raise SystemExit(0)

    signal.signal(signal.SIGTERM, on_terminate)

    # OpenMP threads must sleep while they wait: spinning makes another worker on the same cores up to 15 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with importing():
        from worker.runner import JobRunner  # torch, which must be imported in this process only

    with contextlib.closing(JobRunner(settings, queue, name, lambda: stopping)) as runner:
        pipe.send(READY)
        while not stopping:
            waiting = True
            try:
                pipe.recv()
            except EOFError:
                return
            finally:
                waiting = False
            # Do not wait for another message: the broker takes half a second to deliver one to a busy worker.
            while runner.run_next(on_claim=pipe.send) and not stopping:
                pass
            pipe.send(DONE)
