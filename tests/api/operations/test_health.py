"""/healthz, /readyz and /metrics, also while parts of the service are unavailable, hang, or are of another release."""

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
from support import in_process, pictures, postgres
from support.http import Api, problem
from support.valkey import Valkey
from support.waiting import until

from api.app import create_app
from api.settings import ApiSettings
from core.broker.heartbeat import WorkerHeartbeat
from core.schemas.jobs import Queue

MORE_THAN_THREADS = 60  # more requests than there are threads that serve them
WITHOUT_BROKER = ["broker", "worker:train", "worker:sample"]


def _missing(answer: httpx.Response) -> dict[str, str]:
    """Return the parts that an answer of /readyz calls missing, with the reasons."""
    return {part["field"]: part["message"] for part in problem(answer, 503)["errors"]}


def test_healthz_answers_ok(api: Api) -> None:
    assert api.client.get("/healthz").json() == {"status": "ok"}


def test_readyz_names_missing_workers(each_api: Api, valkey: Valkey) -> None:
    assert list(_missing(each_api.client.get("/readyz"))) == ["worker:train", "worker:sample"]
    with valkey.client() as redis:
        workers = [WorkerHeartbeat(redis, queue, "w") for queue in Queue]
        for worker in workers:
            worker.start()
        answer = until(lambda: ready if (ready := each_api.client.get("/readyz")).is_success else None)
        assert answer.json()["status"] == "ready"
        parts = {"database", "schema", "blobs", "disk", "broker", "worker:train", "worker:sample"}
        assert set(answer.json()["parts"]) == parts
        workers[0].stop()
        answer = each_api.client.get("/readyz")
        assert list(_missing(answer)) == ["worker:train"]
        assert "worker:train" in answer.json()["detail"]
        workers[1].stop()


def test_without_a_broker_jobs_are_accepted_and_their_workers_notified_later(own_api: Api, own_valkey: Valkey) -> None:
    dataset_id = own_api.upload(("a.png", pictures.png())).json()["id"]
    own_valkey.stop()
    assert list(_missing(own_api.client.get("/readyz"))) == WITHOUT_BROKER
    assert 'genconvnet_up{part="broker"} 0.0' in own_api.client.get("/metrics").raise_for_status().text
    answer = own_api.post({"kind": "train", "dataset_id": dataset_id})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    own_valkey.start()
    with own_valkey.client() as redis:
        until(lambda: redis.llen(Queue.TRAIN.value))


def test_a_broker_that_hangs_is_reported_within_the_timeout(own_api: Api, own_valkey: Valkey) -> None:
    assert own_valkey._process is not None
    os.kill(own_valkey._process.pid, signal.SIGSTOP)
    try:
        for _ in range(2):
            started_at = time.monotonic()
            assert list(_missing(own_api.client.get("/readyz"))) == WITHOUT_BROKER
            exposed = own_api.client.get("/metrics").raise_for_status().text
            assert time.monotonic() - started_at < 10
            assert 'genconvnet_up{part="broker"} 0.0' in exposed
            assert 'genconvnet_up{part="database"} 1.0' in exposed
            assert 'genconvnet_jobs{kind="train",status="queued"} 0.0' in exposed
    finally:
        os.kill(own_valkey._process.pid, signal.SIGCONT)
    until(lambda: "broker" not in _missing(own_api.client.get("/readyz")))


def test_slow_name_resolution_does_not_delay_readyz(
    tmp_path: Path, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve_slowly(*_: object, **__: object) -> list[object]:
        finished.wait(20)
        raise OSError("no such name")

    finished = threading.Event()
    app = create_app(ApiSettings(data_dir=tmp_path, broker_url=valkey.url))
    monkeypatch.setattr(socket, "getaddrinfo", resolve_slowly)

    async def get_readyz() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60)
        async with app.router.lifespan_context(app), client:
            body = {"url": "https://slow.example/x"}
            waiting = [asyncio.create_task(client.post("/v1/webhooks", json=body)) for _ in range(MORE_THAN_THREADS)]
            await asyncio.sleep(0.5)
            try:
                return await asyncio.wait_for(client.get("/readyz"), 10)
            finally:
                finished.set()
                await asyncio.gather(*waiting)

    assert "worker:train" in _missing(asyncio.run(get_readyz()))


def test_a_database_that_hangs_delays_neither_healthz_nor_readyz(tmp_path: Path, valkey: Valkey) -> None:
    """Even if so many requests wait for the database that they hold all threads."""
    with postgres.own() as server, ThreadPoolExecutor(MORE_THAN_THREADS) as pool:
        api = Api(tmp_path, valkey.url, server.url.render_as_string(hide_password=False))
        api.client.get("/v1/jobs").raise_for_status()
        main = psutil.Process(server.process.pid)
        stopped = [main, *main.children(recursive=True)]
        for process in stopped:
            process.suspend()
        try:
            url = f"{api.client.base_url}/v1/jobs"
            waiting = [pool.submit(httpx.get, url, timeout=60, verify=False) for _ in range(MORE_THAN_THREADS)]
            time.sleep(1)
            assert not any(one.done() for one in waiting)
            for _ in range(2):
                assert api.client.get("/healthz", timeout=5).status_code == 200
                assert "database" in _missing(api.client.get("/readyz", timeout=10))
        finally:
            for process in stopped:
                process.resume()
            statuses = {one.result().status_code for one in waiting}
            api.stop()
        assert statuses <= {200, 503}


def test_another_schema_is_not_reported_as_an_unavailable_database(tmp_path: Path, valkey: Valkey) -> None:
    settings = ApiSettings(data_dir=tmp_path, broker_url=valkey.url, reconcile_seconds=600, webhook_look_seconds=600)
    with in_process.running(settings) as api:
        database = api.app_state.database
        for revision, advice in (("0003", "restart the API"), ("9999", "newer than this release")):
            with database.write() as session:
                session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
            missing = _missing(api.get("/readyz"))
            assert advice in missing["schema"]
            assert "database" not in missing
        with database.write() as session:
            session.execute(text("DROP TABLE jobs"))
        exposed = api.get("/metrics").raise_for_status().text
        assert 'genconvnet_up{part="database"} 0.0' in exposed
        assert all(f'genconvnet_workers{{queue="{queue.value}"}} 0.0' in exposed for queue in Queue)


def test_a_full_disk_is_named(tmp_path: Path, valkey: Valkey) -> None:
    settings = ApiSettings(data_dir=tmp_path, broker_url=valkey.url, min_free_bytes=1 << 60)
    with in_process.running(settings) as api:
        assert "bytes are free" in _missing(api.get("/readyz"))["disk"]


@pytest.mark.parametrize("during_authentication", [True, False])
def test_an_exhausted_connection_pool_is_an_unavailable_database(
    tmp_path: Path, valkey: Valkey, during_authentication: bool
) -> None:
    app = create_app(ApiSettings(data_dir=tmp_path, broker_url=valkey.url, reconcile_seconds=600))
    connections = ExitStack()

    def use_all() -> None:
        engine = app.state.app_state.database.engine
        engine.pool._timeout = 0.1
        for _ in range(engine.pool.size() + engine.pool._max_overflow):
            connections.enter_context(engine.connect())

    async def body() -> AsyncIterator[bytes]:
        use_all()
        yield b'{"kind": "sample", "model_id": "none"}'

    async def send_request() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        async with app.router.lifespan_context(app), client:
            with connections:
                if during_authentication:
                    use_all()
                    return await client.get("/v1/jobs")
                return await client.post("/v1/jobs", content=body(), headers={"Content-Type": "application/json"})

    answer = asyncio.run(send_request())
    assert "database" in problem(answer, 503)["detail"]
    assert int(answer.headers["retry-after"]) > 0
