"""`python -P -m api`: the API process, as `genconvnet api` starts it."""

import os
import signal

import uvicorn

from api.app import create_app
from api.settings import ApiSettings
from core.contracts.logs import configure_logs
from core.contracts.process import die_with_parent
from core.store.database import Database

GRACEFUL_SECONDS = 8


def main() -> None:
    settings = ApiSettings()
    configure_logs(settings)
    if os.environ.get("GENCONVNET_DIE_WITH_PARENT"):
        die_with_parent(signal.SIGTERM)
    # Before uvicorn answers for signals: whoever waits for the database can be stopped at once.
    database = Database(settings.rows_url)
    database.migrate_when_up()
    database.dispose()
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        server_header=False,
    )


if __name__ == "__main__":
    main()
