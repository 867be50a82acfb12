"""A worker process and its database server."""

import signal
from pathlib import Path

from support import postgres, rows
from support.preloaded import PreloadedProcess
from support.service import clean_environment
from support.valkey import Valkey
from support.waiting import PATIENCE_SECONDS, until

from core.jobs import requests
from core.schemas.jobs import JobStatus, Queue
from core.storage.database import Database


def test_an_idle_worker_does_not_delay_the_shutdown_of_postgresql(tmp_path: Path, valkey: Valkey) -> None:
    """SIGTERM makes PostgreSQL wait until its clients have disconnected, such as workers of other machines."""
    with postgres.own() as server:
        url = server.url.render_as_string(hide_password=False)
        database = Database(url)
        database.migrate()
        job_id = rows.accept(database, rows.sample())  # of a model that does not exist
        settings = {
            "DATABASE_URL": url,
            "BROKER_URL": valkey.url,
            "DATA_DIR": str(tmp_path),
            "RECONCILE_SECONDS": "0.2",
        }
        environment = {f"GENCONVNET_{name}": value for name, value in settings.items()}
        log = tmp_path / "worker.log"
        worker = PreloadedProcess(
            "worker", Queue.SAMPLE.value, folder=tmp_path, log=log, environment={**clean_environment(), **environment}
        )
        try:
            until(lambda: requests.find(database, job_id).status == JobStatus.FAILED, describe=log.read_text)
            database.dispose()
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(PATIENCE_SECONDS)
            assert worker.poll() is None
        finally:
            worker.terminate()
            worker.wait(PATIENCE_SECONDS)
