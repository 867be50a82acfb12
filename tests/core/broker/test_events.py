"""A job's stream of events: ids, replay and limits."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis
from support import rows
from support.valkey import Valkey, messages

from core.broker import events
from core.broker.connection import connect, connect_async
from core.broker.events import Event
from core.broker.notifier import JobNotifier
from core.jobs.reconciler import Reconciler
from core.schemas.jobs import Queue
from core.storage.database import Database

SOON = 0.05
BROKERS_CLOCK_SECONDS = 1.2  # the broker knows the age of a key to a second
Result = TypeVar("Result")


@pytest.fixture
def read(valkey: Valkey) -> Iterator[Callable[..., list[Event]]]:
    def read(job_id: str, after: str = "0") -> list[Event]:
        return _with(valkey, lambda client: _replay(client, job_id, after))

    return read  # type: ignore[return-value]


async def _replay(client: AsyncRedis, job_id: str, after: str = "0") -> list[Event]:
    return [event async for page in events.replay(client, job_id, after) for event in page]


def _with(valkey: Valkey, ask: Callable[[AsyncRedis], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        client = connect_async(valkey.url)
        try:
            return await ask(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


def test_events_are_read_in_the_order_of_growing_ids(redis: Redis, read: Callable[..., list[Event]]) -> None:
    published = [("status", {"status": "running"}), ("progress", {"iteration": 1, "note": "ü"}), ("done", {})]
    for name, data in published:
        events.publish(redis, "job_a", name, data)
    found = read("job_a")
    assert [(event.name, event.data) for event in found] == published
    keys = [tuple(int(part) for part in event.id.split("-")) for event in found]
    assert keys == sorted(set(keys))


def test_replay_after_an_id_returns_the_later_events(redis: Redis, read: Callable[..., list[Event]]) -> None:
    for number in range(4):
        events.publish(redis, "job_a", "progress", {"iteration": number})
    found = read("job_a")
    assert read("job_a", found[1].id) == found[2:]
    assert read("job_a", found[-1].id) == []
    assert read("job_a", found[0].id.partition("-")[0]) == read("job_a", f"{found[0].id.partition('-')[0]}-0")


def test_each_job_has_its_own_stream(redis: Redis, read: Callable[..., list[Event]]) -> None:
    events.publish(redis, "job_a", "progress", {"of": "a"})
    events.publish(redis, "job_b", "progress", {"of": "b"})
    assert [event.data for event in read("job_a")] == [{"of": "a"}]
    assert read("job_c") == []


def test_entries_of_other_programs_are_skipped(redis: Redis, read: Callable[..., list[Event]]) -> None:
    events.publish(redis, "job_a", "progress", {"iteration": 1})
    for foreign in ({b"name": b"\xff", b"data": b"{}"}, {b"name": b"done", b"data": b"{"}, {b"other": b"thing"}):
        redis.xadd("genconvnet:events:job_a", foreign)  # type: ignore[arg-type]
    events.publish(redis, "job_a", "done", {})
    assert [event.name for event in events.valid(read("job_a"))] == ["progress", "done"]


def test_read_returns_as_soon_as_an_event_arrives(valkey: Valkey, redis: Redis) -> None:
    async def ask(client: AsyncRedis) -> tuple[list[Event], float]:
        waiting = asyncio.create_task(events.read(client, {"job_b": "0-0", "job_a": "0-0"}, 30))
        await asyncio.sleep(SOON)
        began = time.monotonic()
        await asyncio.to_thread(events.publish, redis, "job_a", "done", {"status": "succeeded"})
        return (await waiting)["job_a"], time.monotonic() - began

    found, seconds = _with(valkey, ask)
    assert [event.name for event in found] == ["done"]
    assert seconds < 20  # of the 30 that it would have waited


def test_a_wiped_broker_takes_new_events(redis: Redis, read: Callable[..., list[Event]]) -> None:
    events.publish(redis, "job_a", "status", {})
    redis.flushall()
    assert read("job_a") == []
    events.publish(redis, "job_a", "done", {})
    assert [event.name for event in read("job_a")] == ["done"]


def test_an_id_from_before_the_broker_was_wiped_replays_everything(
    redis: Redis, read: Callable[..., list[Event]]
) -> None:
    for number in range(3):
        events.publish(redis, "job_a", "progress", {"iteration": number})
    assert read("job_a", "9999999999999-0") == read("job_a")
    assert len(read("job_a")) == 3


def test_a_replay_of_several_pages_is_complete(redis: Redis, read: Callable[..., list[Event]]) -> None:
    for number in range(events.PAGE_SIZE + 1):
        events.publish(redis, "job_a", "progress", {"iteration": number})
    assert [event.data["iteration"] for event in read("job_a")] == list(range(events.PAGE_SIZE + 1))


def test_a_full_broker_evicts_old_events_but_no_notifications(own_valkey: Valkey) -> None:
    notifier = JobNotifier(own_valkey.url)
    with own_valkey.client() as redis:
        assert notifier.notify(Queue.TRAIN, "job_first")
        # The streams of all jobs take about 4 MB, the feed of all owners as much.
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) + 7_000_000)
        old, new = ({f"job_{age}_{number}" for number in range(100)} for age in ("old", "new"))
        for jobs in (old, new):
            for job_id in jobs:
                for _ in range(10):
                    events.publish(redis, job_id, "progress", {"note": "x" * 2000})
            time.sleep(BROKERS_CLOCK_SECONDS)
        assert notifier.notify(Queue.TRAIN, "job_last")
        assert messages(redis) == ["job_first", "job_last"]
        kept = {key.decode().rpartition(":")[2] for key in redis.keys("*events*")}
    assert len(old - kept) > 20
    assert len(new - kept) <= len(old - kept) / 10  # the broker evicts the oldest of a few keys drawn at random
    notifier.close()


def test_a_full_broker_that_may_evict_nothing_loses_events_and_delays_notifications(
    own_valkey: Valkey, sqlite_database: Database
) -> None:
    notifier = JobNotifier(own_valkey.url)
    job_id = rows.accept(sqlite_database)
    with own_valkey.client() as redis:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", 1)
        events.publish(redis, job_id, "status", {})
        assert not notifier.notify(Queue.TRAIN, job_id)
        redis.config_set("maxmemory", 0)
        Reconciler(sqlite_database, notifier, 0.0).reconcile()
        assert messages(redis) == [job_id]
    notifier.close()


def test_a_stream_is_limited_in_length_and_expires(redis: Redis) -> None:
    events.publish(redis, "job_a", "status", {})
    (key,) = redis.keys("*job_a*")
    assert 0 < redis.ttl(key) <= events.EXPIRE_SECONDS
    with redis.pipeline() as pipeline:
        for _ in range(events.MAX_EVENTS + 500):
            pipeline.xadd(key, {"name": "progress", "data": "{}"})
        pipeline.execute()
    events.publish(redis, "job_a", "done", {})
    assert 0 < redis.ttl(key) <= events.EXPIRE_ENDED_SECONDS
    assert redis.xlen(key) < events.MAX_EVENTS + 200  # approximate, because Redis trims whole nodes


def test_publishing_to_a_broker_that_is_away_is_skipped_and_reading_from_it_raises(own_valkey: Valkey) -> None:
    client = connect(own_valkey.url)
    events.publish(client, "job_a", "status", {})
    own_valkey.stop()
    events.publish(client, "job_a", "progress", {})
    with pytest.raises(RedisError):
        _with(own_valkey, lambda reader: _replay(reader, "job_a"))
    own_valkey.start()
    events.publish(client, "job_a", "done", {})
    names = [event.name for event in _with(own_valkey, lambda reader: _replay(reader, "job_a"))]
    assert names[-1] == "done"
    client.close()
