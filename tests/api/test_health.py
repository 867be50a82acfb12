"""/readyz and /metrics while parts of the service are away, silent, or of another release."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import text
from support import postgres
from support.http import Api, problem
from support.valkey import Valkey
from support.waiting import until

from api.app import create_app
from api.settings import ApiSettings
from core.broker.heartbeat import publish_metrics
from core.schemas.jobs import Queue

WAITING = 60  # more than there are threads that serve requests
BROKERS = ["broker", "worker:train", "worker:sample"]


def _missing(api: Api) -> dict[str, str]:
    return {part["field"]: part["message"] for part in problem(api.client.get("/readyz"), 503)["errors"]}


def test_a_silent_broker_is_named_in_time_and_found_when_it_speaks(own_api: Api, own_valkey: Valkey) -> None:
    assert own_valkey._process is not None
    os.kill(own_valkey._process.pid, signal.SIGSTOP)
    try:
        for _ in range(2):
            began_at = time.monotonic()
            assert list(_missing(own_api)) == BROKERS
            told = own_api.client.get("/metrics").raise_for_status().text
            assert time.monotonic() - began_at < 10
            assert 'genconvnet_up{part="broker"} 0.0' in told
            assert 'genconvnet_up{part="database"} 1.0' in told
            assert 'genconvnet_jobs{kind="train",status="queued"} 0.0' in told
    finally:
        os.kill(own_valkey._process.pid, signal.SIGCONT)
    until(lambda: "broker" not in _missing(own_api))


def test_names_that_are_looked_up_for_long_keep_no_probe_waiting(
    tmp_path: Path, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def long_looked_up(*_: object, **__: object) -> list[object]:
        over.wait(20)
        raise OSError("no such name")

    over = threading.Event()
    app = create_app(ApiSettings(data_dir=tmp_path, broker_url=valkey.url))
    monkeypatch.setattr(socket, "getaddrinfo", long_looked_up)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60)
        async with app.router.lifespan_context(app), client:
            body = {"url": "https://slow.example/x"}
            asked = [asyncio.create_task(client.post("/v1/webhooks", json=body)) for _ in range(WAITING)]
            await asyncio.sleep(0.5)
            try:
                return await asyncio.wait_for(client.get("/readyz"), 10)
            finally:
                over.set()
                await asyncio.gather(*asked)

    assert "worker:train" in [part["field"] for part in problem(asyncio.run(ask()), 503)["errors"]]


def test_a_silent_database_keeps_no_probe_waiting(tmp_path: Path, valkey: Valkey) -> None:
    """Nor do all the requests that wait for it."""
    with postgres.own() as server, ThreadPoolExecutor(WAITING) as pool:
        api = Api(tmp_path, valkey.url, server.url.render_as_string(hide_password=False))
        api.client.get("/v1/jobs").raise_for_status()
        main = psutil.Process(server.process.pid)
        stopped = [main, *main.children(recursive=True)]
        for process in stopped:
            process.suspend()
        try:
            asked = [pool.submit(httpx.get, f"{api.client.base_url}/v1/jobs", timeout=60) for _ in range(WAITING)]
            time.sleep(1)
            assert not any(one.done() for one in asked)
            for _ in range(2):
                assert api.client.get("/healthz", timeout=5).status_code == 200
                told = problem(api.client.get("/readyz", timeout=10), 503)
                assert "database" in [part["field"] for part in told["errors"]]
        finally:
            for process in stopped:
                process.resume()
            answered = {one.result().status_code for one in asked}
            api.stop()
        assert answered <= {200, 503}


def test_a_killed_broker_is_named(own_api: Api, own_valkey: Valkey) -> None:
    own_valkey.stop()
    assert list(_missing(own_api)) == BROKERS
    assert 'genconvnet_up{part="broker"} 0.0' in own_api.client.get("/metrics").raise_for_status().text


@pytest.mark.parametrize(
    "left",
    ["genconvnet_x{", "\x00\xff", "# TYPE genconvnet_x nonsense\ngenconvnet_x 1\n", 'genconvnet_x{a="b} 1', "{} 1"],
)
def test_what_no_worker_would_leave_is_passed_over(api: Api, valkey: Valkey, left: str) -> None:
    good = "# HELP genconvnet_y_total Y.\n# TYPE genconvnet_y_total counter\ngenconvnet_y_total 3.0\n"
    with valkey.client() as redis:
        publish_metrics(redis, "bad", left)
        publish_metrics(redis, "good", good)
        publish_metrics(redis, "other", good.replace("genconvnet", "others"))
    time.sleep(1.1)  # longer than an answer is kept
    told = api.client.get("/metrics").raise_for_status().text
    assert 'genconvnet_y_total{worker="good"} 3.0' in told
    assert "others_y" not in told


def test_another_schema_is_told_from_a_database_that_is_away(own_api: Api) -> None:
    for other, advice in (("0003", "start the API anew"), ("9999", "newer release")):
        with own_api.database.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :other"), {"other": other})
        missing = _missing(own_api)
        assert advice in missing["schema"]
        assert "database" not in missing
    with own_api.database.write() as session:
        session.execute(text("DROP TABLE jobs"))
    told = own_api.client.get("/metrics").raise_for_status().text
    assert 'genconvnet_up{part="database"} 0.0' in told
    assert all(f'genconvnet_workers{{queue="{queue.value}"}} 0.0' in told for queue in Queue)


def test_a_full_disk_is_named(tmp_path, own_valkey: Valkey) -> None:
    url = f"sqlite:///{tmp_path / 'rows.sqlite3'}"
    api = Api(tmp_path, own_valkey.url, url, GENCONVNET_MIN_FREE_BYTES=str(1 << 60))
    assert "bytes are free" in _missing(api)["disk"]
    api.stop()


@pytest.mark.parametrize("known_at_the_gate", [True, False])
def test_connections_that_are_all_in_use_are_a_database_away(
    tmp_path: Path, valkey: Valkey, known_at_the_gate: bool
) -> None:
    app = create_app(ApiSettings(data_dir=tmp_path, broker_url=valkey.url, reconcile_seconds=600))
    in_use = ExitStack()

    def use_all() -> None:
        engine = app.state.app_state.database.engine
        engine.pool._timeout = 0.1
        for _ in range(engine.pool.size() + engine.pool._max_overflow):
            in_use.enter_context(engine.connect())

    async def body() -> AsyncIterator[bytes]:
        use_all()
        yield b'{"kind": "sample", "model_id": "none"}'

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        async with app.router.lifespan_context(app), client:
            with in_use:
                if known_at_the_gate:
                    use_all()
                    return await client.get("/v1/jobs")
                return await client.post("/v1/jobs", content=body(), headers={"Content-Type": "application/json"})

    told = asyncio.run(answer())
    assert "database" in problem(told, 503)["detail"]
    assert int(told.headers["retry-after"]) > 0
