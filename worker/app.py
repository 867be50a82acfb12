"""A worker: Celery listens to the notifier of one queue, a child process does the work (`worker.child_process`).

Celery's process never touches torch. It tells that it listens, reconciles, and on SIGTERM has its child hand the job
back before it goes.
"""

import os
import secrets
import warnings

import celery.apps.worker
import structlog
from celery import signals
from celery.exceptions import SecurityWarning

from core.broker.connection import RUN_TASK, celery_app, connect
from core.broker.heartbeat import WorkerHeartbeat
from core.broker.notifier import JobNotifier
from core.jobs.reconciler import Reconciler
from core.runtime.logs import configure_logs
from core.runtime.processes import die_with_starter
from core.schemas.jobs import Queue
from core.storage.database import Database
from worker.child_process import Child
from worker.healthcheck import worker_name
from worker.queue_poller import QueuePoller
from worker.settings import WorkerSettings

log = structlog.get_logger()


def main(queue: Queue) -> None:
    """Work on the jobs of `queue` until SIGTERM."""
    settings = WorkerSettings()
    configure_logs(settings)
    die_with_starter()
    name = worker_name(queue, f"{os.getpid()}:{secrets.token_hex(4)}")
    structlog.contextvars.bind_contextvars(worker=name)
    database = Database(settings.rows_url)
    database.migrate_when_available()
    redis = connect(settings.broker_url)
    notifier = JobNotifier(settings.broker_url)
    child = Child(settings, queue, name, database)
    reconciler = Reconciler(database, notifier, settings.reconcile_seconds)
    presence = WorkerHeartbeat(redis, queue, name)
    lookout = QueuePoller(lambda: child.work(heard_of=""))
    app = celery_app(settings.broker_url)

    @app.task(name=RUN_TASK)  # type: ignore[untyped-decorator]
    def run(job_id: str) -> None:
        # The message only says that there is work; the rows say which job is next.
        child.work(heard_of=job_id)
        lookout.linger()

    # Celery keeps weak references to receivers: each is held by this frame for as long as the worker runs.
    def started(**_: object) -> None:
        try:
            child.start()
        except RuntimeError as error:  # which Celery would log, and go on with a worker that does nothing
            log.critical("child_did_not_start", error=str(error))
            raise SystemExit(1) from error  # whoever runs this worker starts it again
        reconciler.start()
        presence.start()
        log.info("worker_listens", queue=queue.value)

    def stopping(**_: object) -> None:
        log.info("worker_stops", queue=queue.value)
        child.stop()

    celery.apps.worker.safe_say = _said_in_the_log
    signals.setup_logging.connect(_set_up_already)
    signals.worker_ready.connect(started)
    signals.worker_shutting_down.connect(stopping)
    # Celery warns of root because of pickle, which is never accepted here.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    arguments = [
        "--quiet",
        "worker",
        "--queues",
        queue.value,
        "--hostname",
        name,
        "--pool",
        "threads",
        "--concurrency",
        "1",
    ]
    try:
        app.worker_main(
            [*arguments, "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
        )
    finally:
        presence.stop()
        reconciler.stop()
        child.close()
        notifier.close()
        database.dispose()


def _set_up_already(**_: object) -> None:
    """Where something hears this signal, Celery leaves the log and its level as they are."""


def _said_in_the_log(*_: object) -> None:
    """Celery prints a line of its own on every signal, which is no JSON; `worker_stops` says it."""
