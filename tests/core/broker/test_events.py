"""EventBroadcaster of a job: ids, replay, and nothing lost but convenience."""

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
BROKERS_CLOCK_SECONDS = 1.2  # the age of news it knows to a second
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


def test_what_is_told_is_read_in_order_with_growing_ids(redis: Redis, read: Callable[..., list[Event]]) -> None:
    told = [("status", {"status": "running"}), ("progress", {"iteration": 1, "note": "ü"}), ("done", {})]
    for name, data in told:
        events.tell(redis, "job_a", name, data)
    found = read("job_a")
    assert [(event.name, event.data) for event in found] == told
    keys = [tuple(int(part) for part in event.id.split("-")) for event in found]
    assert keys == sorted(set(keys))


def test_reading_after_an_id_gives_what_came_after_it(redis: Redis, read: Callable[..., list[Event]]) -> None:
    for number in range(4):
        events.tell(redis, "job_a", "progress", {"iteration": number})
    found = read("job_a")
    assert read("job_a", found[1].id) == found[2:]
    assert read("job_a", found[-1].id) == []
    assert read("job_a", found[0].id.partition("-")[0]) == read("job_a", f"{found[0].id.partition('-')[0]}-0")


def test_jobs_do_not_hear_each_other(redis: Redis, read: Callable[..., list[Event]]) -> None:
    events.tell(redis, "job_a", "progress", {"of": "a"})
    events.tell(redis, "job_b", "progress", {"of": "b"})
    assert [event.data for event in read("job_a")] == [{"of": "a"}]
    assert read("job_c") == []


def test_what_others_wrote_is_passed_over(redis: Redis, read: Callable[..., list[Event]]) -> None:
    events.tell(redis, "job_a", "progress", {"iteration": 1})
    for foreign in ({b"name": b"\xff", b"data": b"{}"}, {b"name": b"done", b"data": b"{"}, {b"other": b"thing"}):
        redis.xadd("genconvnet:events:job_a", foreign)  # type: ignore[arg-type]
    events.tell(redis, "job_a", "done", {})
    assert [event.name for event in events.ours(read("job_a"))] == ["progress", "done"]


def test_a_reader_is_woken_by_the_next_event(valkey: Valkey, redis: Redis) -> None:
    async def ask(client: AsyncRedis) -> tuple[list[Event], float]:
        waiting = asyncio.create_task(events.read(client, {"job_b": "0-0", "job_a": "0-0"}, 30))
        await asyncio.sleep(SOON)
        began = time.monotonic()
        await asyncio.to_thread(events.tell, redis, "job_a", "done", {"status": "succeeded"})
        return (await waiting)["job_a"], time.monotonic() - began

    found, seconds = _with(valkey, ask)
    assert [event.name for event in found] == ["done"]
    assert seconds < 20  # of the 30 that it would have waited


def test_a_wiped_broker_has_no_news_and_takes_new_ones(redis: Redis, read: Callable[..., list[Event]]) -> None:
    events.tell(redis, "job_a", "status", {})
    redis.flushall()
    assert read("job_a") == []
    events.tell(redis, "job_a", "done", {})
    assert [event.name for event in read("job_a")] == ["done"]


def test_an_id_from_before_the_broker_was_wiped_is_followed_by_everything(
    redis: Redis, read: Callable[..., list[Event]]
) -> None:
    for number in range(3):
        events.tell(redis, "job_a", "progress", {"iteration": number})
    assert read("job_a", "9999999999999-0") == read("job_a")
    assert len(read("job_a")) == 3


def test_news_of_many_pages_is_read_whole(redis: Redis, read: Callable[..., list[Event]]) -> None:
    for number in range(events.PAGE + 1):
        events.tell(redis, "job_a", "progress", {"iteration": number})
    assert [event.data["iteration"] for event in read("job_a")] == list(range(events.PAGE + 1))


def test_a_full_broker_gives_up_old_news_and_no_doorbell(own_valkey: Valkey) -> None:
    notifier = JobNotifier(own_valkey.url)
    with own_valkey.client() as redis:
        assert notifier.notify(Queue.TRAIN, "job_first")
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) + 3_000_000)
        old, new = ({f"job_{age}_{number}" for number in range(100)} for age in ("old", "new"))
        for jobs in (old, new):
            for job_id in jobs:
                for _ in range(10):
                    events.tell(redis, job_id, "progress", {"note": "x" * 2000})
            time.sleep(BROKERS_CLOCK_SECONDS)
        assert notifier.notify(Queue.TRAIN, "job_last")
        assert messages(redis) == ["job_first", "job_last"]
        kept = {key.decode().rpartition(":")[2] for key in redis.keys("*events*")}
    assert len(old - kept) > 20
    assert len(new - kept) <= len(old - kept) / 10  # of a few drawn at random the broker takes the oldest
    notifier.close()


def test_where_nothing_may_give_way_a_full_broker_costs_news_and_the_job_is_rung_for_later(
    own_valkey: Valkey, sqlite_database: Database
) -> None:
    notifier = JobNotifier(own_valkey.url)
    job_id = rows.accept(sqlite_database)
    with own_valkey.client() as redis:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", 1)
        events.tell(redis, job_id, "status", {})
        assert not notifier.notify(Queue.TRAIN, job_id)
        redis.config_set("maxmemory", 0)
        Reconciler(sqlite_database, notifier, 0.0).reconcile()
        assert messages(redis) == [job_id]
    notifier.close()


def test_a_stream_is_bounded_and_goes_by_itself(redis: Redis) -> None:
    events.tell(redis, "job_a", "status", {})
    (key,) = redis.keys("*job_a*")
    assert 0 < redis.ttl(key) <= events.KEPT_SECONDS
    with redis.pipeline() as pipeline:
        for _ in range(events.MAX_EVENTS + 500):
            pipeline.xadd(key, {"name": "progress", "data": "{}"})
        pipeline.execute()
    events.tell(redis, "job_a", "done", {})
    assert 0 < redis.ttl(key) <= events.KEPT_ENDED_SECONDS
    assert redis.xlen(key) < events.MAX_EVENTS + 200  # approximate: whole nodes are cut


def test_telling_a_broker_that_is_away_is_passed_over_and_reading_it_is_told(own_valkey: Valkey) -> None:
    client = connect(own_valkey.url)
    events.tell(client, "job_a", "status", {})
    own_valkey.stop()
    events.tell(client, "job_a", "progress", {})
    with pytest.raises(RedisError):
        _with(own_valkey, lambda reader: _replay(reader, "job_a"))
    own_valkey.start()
    events.tell(client, "job_a", "done", {})
    names = [event.name for event in _with(own_valkey, lambda reader: _replay(reader, "job_a"))]
    assert names[-1] == "done"
    client.close()
