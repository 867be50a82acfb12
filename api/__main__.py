"""`python -P -m api`: the API process, as `genconvnet api` starts it."""

import asyncio
import resource
import socket
import sys

import uvicorn

from api.app import create_app
from api.auth.exposure import KeysRequired, require_keys
from api.settings import ApiSettings
from api.uploads.header_timeout import with_header_timeout
from core.runtime.logs import configure_logs
from core.runtime.processes import die_with_starter
from core.runtime.settings import BadSettings
from core.storage.database import Database

GRACEFUL_SECONDS = 8
UPLOAD_GRACE_SECONDS = 4  # then those that would take longer are given up, and what was stored of them is removed
# For the next request; longer than proxies and clients keep a connection, or they would now and then ask on one just as
# it is closed.
IDLE_SECONDS = 75
OPEN_FILES = 65_536


class _Server(uvicorn.Server):
    """uvicorn, which when told to stop waits for answers to end: those that never would are ended first."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if app_state := getattr(self.config.app.state, "app_state", None):  # type: ignore[union-attr]
            app_state.broadcaster.close()
            asyncio.get_running_loop().call_later(UPLOAD_GRACE_SECONDS, app_state.decoders.close)
        await super().shutdown(sockets)


def main() -> None:
    settings = ApiSettings()
    configure_logs(settings)
    die_with_starter()
    # Before uvicorn answers for signals: whoever waits for the database can be stopped at once.
    database = Database(settings.rows_url)
    database.migrate_when_available()
    try:
        require_keys(settings, database)
    except KeysRequired as error:
        sys.exit(f"genconvnet api: {error}")
    database.dispose()
    _allow_open_files()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # ours says the same, with the request's id
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        server_header=False,
        http=with_header_timeout(settings.headers_seconds),
    )
    _Server(config).run()


def _allow_open_files() -> None:
    """As many as uploads need: each file of a form is one, while the form comes in."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


if __name__ == "__main__":
    try:
        main()
    except BadSettings as error:
        sys.exit(f"genconvnet api: {error}")
