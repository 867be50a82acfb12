"""What the process of the API does around uvicorn."""

import asyncio
import resource
import socket
from types import SimpleNamespace

import pytest
import uvicorn
from starlette.applications import Starlette

from api import server


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1024, 4096), (4096, 4096)),
        ((1024, resource.RLIM_INFINITY), (server.OPEN_FILES, resource.RLIM_INFINITY)),
        ((1024, 10**6), (server.OPEN_FILES, 10**6)),
        ((10**6, 10**6), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_the_limit_on_open_files_is_raised_as_far_as_it_may_be_and_never_lowered(
    before: tuple[int, int], after: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: before)
    monkeypatch.setattr(resource, "setrlimit", lambda *given: changed.append(given))
    server._raise_open_files_limit()
    assert changed == ([] if after is None else [(resource.RLIMIT_NOFILE, after)])


class _Closable:
    def __init__(self) -> None:
        self.closed = asyncio.Event()

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("grace", [3600, 0])
def test_on_shutdown_streams_end_at_once_and_uploads_after_their_grace(
    grace: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "UPLOAD_GRACE_SECONDS", grace)
    app = Starlette()
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    config.load()
    stopped = server._Server(config)
    stopped.lifespan = config.lifespan_class(config)

    async def shut_down() -> None:
        app.state.app_state = SimpleNamespace(broadcaster=_Closable(), decoders=_Closable())
        await stopped.startup([socket.create_server(("127.0.0.1", 0))])
        await stopped.shutdown()
        assert app.state.app_state.broadcaster.closed.is_set()
        uploads_ended = app.state.app_state.decoders.closed
        if grace:
            assert not uploads_ended.is_set()
        else:
            await asyncio.wait_for(uploads_ended.wait(), 20)

    asyncio.run(shut_down())
