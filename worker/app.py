"""A worker: Celery listens to one queue, and a process of its own does the work (`worker.work_process`).

Celery's process never imports torch. It sends the worker's heartbeat, runs the reconciler, and on SIGTERM lets the work
process release its job before it ends.
"""

import os
import secrets
import sys
import warnings
from collections.abc import Callable

import celery.apps.worker
import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning
from celery.worker import WorkController

from core.broker.connection import RUN_TASK, celery_app, connect
from core.broker.heartbeat import WorkerHeartbeat
from core.broker.notifier import JobNotifier
from core.jobs.reconciler import Reconciler
from core.runtime.logs import configure_logs
from core.runtime.processes import die_with_starter
from core.runtime.startup import REFUSED
from core.runtime.variables import log_unknown
from core.schemas.jobs import Queue
from core.storage.database import Database
from core.storage.startup import check_blobs, open_database
from worker.healthcheck import worker_name
from worker.queue_poller import QueuePoller
from worker.settings import WorkerSettings
from worker.work_process import WorkProcess, WorkProcessRefused

log = structlog.get_logger()


def main(queue: Queue) -> None:
    """Work on the jobs of `queue` until SIGTERM. Raises SystemExit."""
    settings = WorkerSettings()
    configure_logs(settings)
    if not die_with_starter():  # else the starter has said it
        log_unknown()
    name = worker_name(queue, f"{os.getpid()}:{secrets.token_hex(4)}")
    structlog.contextvars.bind_contextvars(worker=name)
    check_blobs(settings)
    with open_database(settings):
        pass  # with the newest schema from here on
    # An idle worker keeps no connection, or a PostgreSQL that is stopped would wait for it.
    database = Database(settings.rows_url, keep_connections=False)
    notifier = JobNotifier(settings.broker_url)
    process = WorkProcess(settings, queue, name, database)
    reconciler = Reconciler(database, notifier, settings.reconcile_seconds)
    heartbeat = WorkerHeartbeat(connect(settings.broker_url), queue, name)
    poller = QueuePoller(process.run_jobs, settings.reconcile_seconds)
    app = celery_app(settings.broker_url)

    @app.task(name=RUN_TASK)  # type: ignore[untyped-decorator]
    def run(_job_id: str) -> None:
        process.run_jobs()  # of the whole queue: the message only says that there is work
        poller.start_polling()

    exit_code = 0

    def start() -> None:
        nonlocal exit_code
        try:
            process.start()
        except RuntimeError as error:  # Celery would log it, and keep a worker running that does nothing
            exit_code = REFUSED if isinstance(error, WorkProcessRefused) else 1
            if exit_code != REFUSED:  # else the process has said why
                log.critical("work_process_did_not_start", error=str(error))
            raise SystemExit(exit_code) from error
        reconciler.start()
        heartbeat.start()
        poller.start()
        log.info("worker_listens", queue=queue.value)

    def stop() -> None:
        log.info("worker_stops", queue=queue.value)
        process.stop()

    _connect_signals(start, stop)
    try:
        _celery_worker(app, queue, name).start()
    finally:
        process.stop()
        poller.stop()  # it may have begun a job that Celery does not wait for
        heartbeat.stop()
        reconciler.stop()
        process.close()
        notifier.close()
        database.dispose()
    sys.exit(exit_code)  # Celery ends with 0 whatever `start` raises


def _connect_signals(start: Callable[[], None], stop: Callable[[], None]) -> None:
    """Call `start` when Celery is ready and `stop` when it shuts down; leave logging as it is configured."""

    def leave_logging(**_: object) -> None:
        """Celery configures logging itself unless a receiver is connected to this signal."""

    signals.setup_logging.connect(leave_logging, weak=False)
    signals.worker_ready.connect(lambda **_: start(), weak=False)
    signals.worker_shutting_down.connect(lambda **_: stop(), weak=False)
    # Celery prints a line of its own on each Unix signal, which is not JSON; `worker_stops` says the same.
    celery.apps.worker.safe_say = lambda *_: None
    # Celery warns if it runs as root because of pickle, which this worker never accepts.
    warnings.filterwarnings("ignore", category=SecurityWarning)


def _celery_worker(app: Celery, queue: Queue, name: str) -> WorkController:
    """Return a worker with one thread, which listens to `queue`.

    Celery's command line would make the same, but it imports its other commands and a shell first.
    """
    worker: WorkController = app.Worker(
        hostname=name,
        queues=[queue.value],
        pool="threads",
        concurrency=1,
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    return worker
