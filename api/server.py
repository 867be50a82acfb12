"""The process of the API: settings, database, sockets, and uvicorn, which serves them."""

import asyncio
import resource
import socket

import uvicorn

from api.app import create_app
from api.auth.exposure import require_keys
from api.listening import listen
from api.settings import ApiSettings
from api.uploads.protocol import protocol_with_header_timeout
from core.runtime.logs import configure_logs
from core.runtime.processes import die_with_starter
from core.runtime.variables import log_unknown
from core.storage.startup import check_blobs, open_database

GRACEFUL_SECONDS = 8
UPLOAD_GRACE_SECONDS = 4  # then uploads that are still being decoded are refused and their files deleted
# Longer than proxies and clients keep idle connections. Otherwise they could send a request just as we close one.
KEEP_ALIVE_SECONDS = 75
OPEN_FILES = 65_536
DRAIN_BYTES = 64 << 20  # of a refused body, and twice the largest allowed one: no more than a client may upload


class _Server(uvicorn.Server):
    """A uvicorn server that on shutdown ends event streams at once, and uploads after UPLOAD_GRACE_SECONDS."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if app_state := getattr(self.config.app.state, "app_state", None):  # type: ignore[union-attr]
            app_state.broadcaster.close()
            asyncio.get_running_loop().call_later(UPLOAD_GRACE_SECONDS, app_state.decoders.close)
        await super().shutdown(sockets)


def main() -> None:
    settings = ApiSettings()
    configure_logs(settings)
    if not die_with_starter():  # else the starter has said it
        log_unknown()
    check_blobs(settings)
    # Before uvicorn handles signals, so that SIGTERM ends the process at once while it waits for the database.
    with open_database(settings) as database:
        require_keys(settings, database)
    sockets = listen(settings.host, settings.port)
    _raise_open_files_limit()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # see AccessLogMiddleware
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        server_header=False,
        http=protocol_with_header_timeout(settings.headers_seconds, 2 * settings.max_body_bytes + DRAIN_BYTES),
    )
    _Server(config).run(sockets)


def _raise_open_files_limit() -> None:
    """Raise the limit on open files: while a form is received, each of its files is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
