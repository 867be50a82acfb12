"""Connections to the broker, by one URL for both redis-py and Celery."""

import asyncio

import pytest
from redis import ConnectionError as Refused
from support.valkey import Valkey, messages

from core.broker.connection import (
    CONNECT_TIMEOUT_SECONDS,
    RUN_TASK,
    SOCKET_TIMEOUT_SECONDS,
    celery_app,
    connect,
    connect_async,
)
from core.schemas.jobs import Queue


def test_both_clients_and_celery_reach_the_broker_by_its_url(valkey: Valkey) -> None:
    with connect(valkey.url) as redis:
        assert redis.ping()

    async def ask() -> bool:
        async with connect_async(valkey.url) as redis:
            return bool(await redis.ping())

    assert asyncio.run(ask())
    app = celery_app(valkey.url)
    app.send_task(RUN_TASK, args=["job_a"], queue=Queue.SAMPLE.value)
    app.close()
    with valkey.client() as redis:
        assert messages(redis, Queue.SAMPLE) == ["job_a"]


@pytest.mark.parametrize(
    ("url", "celerys"),
    [
        ("redis://host:6379/3", "redis://host:6379/3"),
        ("rediss://host/0", "rediss://host/0"),
        ("unix:///run/valkey.sock", "redis+socket:///run/valkey.sock?virtual_host=0"),
        ("unix:///run/valkey.sock?db=2", "redis+socket:///run/valkey.sock?virtual_host=2"),
    ],
)
def test_celery_calls_a_socket_by_another_scheme(url: str, celerys: str) -> None:
    assert celery_app(url).conf.broker_url == celerys


@pytest.mark.parametrize(
    ("own", "read", "connected"), [(0.5, 0.5, 0.5), (None, SOCKET_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS)]
)
def test_a_client_waits_for_its_timeout_and_does_not_try_again(
    own: float | None, read: float, connected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redis.retry.sleep", lambda seconds: pytest.fail(f"it waits {seconds} s to try again"))
    with connect("redis://127.0.0.1:1/0", own) as redis:
        known = redis.connection_pool.connection_kwargs
        assert (known["socket_timeout"], known["socket_connect_timeout"]) == (read, connected)
        with pytest.raises(Refused):
            redis.ping()
