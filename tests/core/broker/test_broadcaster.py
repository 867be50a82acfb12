"""Every subscriber of a job gets its events and its end, from one reader."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import pytest
from redis import Redis
from support.valkey import Valkey

from core.broker import broadcaster, events
from core.broker.broadcaster import EventBroadcaster, Item, JobEnd, JobState, JobStates
from core.broker.connection import connect_async
from core.broker.events import EVERYONE, Event, feed_of
from core.schemas.jobs import JobStatus

END = JobEnd(1_700_000_000_000, {"status": "succeeded"})
SOON = 20.0  # seconds that no item takes


class Ends:
    """Stands for the database: `ended` maps the ids of ended jobs to their ends, `states` are what feeds get."""

    def __init__(self) -> None:
        self.ended: dict[str, JobEnd | None] = {}
        self.states: list[JobState] = []

    async def find(self, job_ids: Collection[str]) -> Mapping[str, JobEnd | None]:
        return {job_id: end for job_id, end in self.ended.items() if job_id in job_ids}

    async def find_states(self) -> JobStates:
        return JobStates(1.7e9, self.states)


def run(valkey: Valkey, scenario: Callable[[EventBroadcaster, Ends], Awaitable[None]]) -> None:
    async def main() -> None:
        ends = Ends()
        opened = EventBroadcaster(connect_async(valkey.url), ends.find, ends.find_states)
        try:
            await scenario(opened, ends)
        finally:
            await opened.aclose()

    asyncio.run(main())


async def take(queue: "asyncio.Queue[Item]") -> Item:
    return await asyncio.wait_for(queue.get(), SOON)


def data(item: Item) -> object:
    assert isinstance(item, Event)
    return item.data


def test_every_subscriber_of_a_job_gets_its_later_events_and_no_others(valkey: Valkey, redis: Redis) -> None:
    async def scenario(opened: EventBroadcaster, _: Ends) -> None:
        events.publish(redis, "job_a", "progress", {"iteration": 0})
        subscriptions = [await opened.subscribe(job_id) for job_id in ("job_a", "job_a", "job_b")]
        with subscriptions[0] as first, subscriptions[1] as second, subscriptions[2] as other:
            for iteration in (1, 2):
                await asyncio.to_thread(events.publish, redis, "job_a", "progress", {"iteration": iteration})
            await asyncio.to_thread(events.publish, redis, "job_b", "progress", {"iteration": 9})
            for queue in (first, second):
                assert [data(await take(queue)) for _ in range(2)] == [{"iteration": 1}, {"iteration": 2}]
            assert data(await take(other)) == {"iteration": 9}
            assert first.empty()

    run(valkey, scenario)


def test_an_end_follows_the_jobs_last_event(valkey: Valkey, redis: Redis) -> None:
    async def scenario(opened: EventBroadcaster, ends: Ends) -> None:
        with await opened.subscribe("job_a") as queue:
            ends.ended["job_a"] = END
            await asyncio.to_thread(events.publish, redis, "job_a", "done", {"status": "succeeded"})
            assert data(await take(queue)) == {"status": "succeeded"}
            assert await take(queue) == END

    run(valkey, scenario)


@pytest.mark.parametrize("end", [END, None], ids=["ended", "deleted"])
def test_an_end_without_an_event_is_read_from_the_database(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, end: JobEnd | None
) -> None:
    monkeypatch.setattr(broadcaster, "CHECK_SECONDS", 0.0)

    async def scenario(opened: EventBroadcaster, ends: Ends) -> None:
        with await opened.subscribe("job_a") as queue:
            ends.ended["job_a"] = end
            assert await take(queue) == end

    run(valkey, scenario)


def test_a_subscriber_that_falls_behind_is_closed(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcaster, "MAX_QUEUED", 2)

    async def scenario(opened: EventBroadcaster, _: Ends) -> None:
        with await opened.subscribe("job_a") as slow, await opened.subscribe("job_b") as other:
            for iteration in range(3):
                await asyncio.to_thread(events.publish, redis, "job_a", "progress", {"iteration": iteration})
            await asyncio.to_thread(events.publish, redis, "job_b", "progress", {})
            assert data(await take(other)) == {}
            items = [await take(slow)]
            while items[-1] is not None:
                items.append(await take(slow))
            assert len(items) <= 3

    run(valkey, scenario)


def test_closing_closes_open_and_later_subscriptions(valkey: Valkey) -> None:
    async def scenario(opened: EventBroadcaster, _: Ends) -> None:
        with await opened.subscribe("job_a") as queue:
            opened.close()
            assert await take(queue) is None
        with await opened.subscribe("job_a") as late:
            assert await take(late) is None

    run(valkey, scenario)


def test_a_feed_has_the_events_of_its_owners_jobs_and_their_states(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(opened: EventBroadcaster, ends: Ends) -> None:
        ends.states = [JobState(f"job_{who}", who, JobStatus.QUEUED, 0, None, None) for who in (1, 2)]
        with await opened.subscribe(feed_of(1)) as own, await opened.subscribe(EVERYONE) as all_owners:
            for who in (2, 1):
                await asyncio.to_thread(events.publish, redis, f"job_{who}", "progress", {"step": 1}, owner=who)
            assert data(await take(own)) == {"job_id": "job_1", "step": 1}
            assert [data(await take(all_owners))["job_id"] for _ in range(2)] == ["job_2", "job_1"]  # type: ignore[index]
            monkeypatch.setattr(broadcaster, "CHECK_SECONDS", 0.0)
            assert await take(own) == JobStates(1.7e9, ends.states[:1])
            assert await take(all_owners) == JobStates(1.7e9, ends.states)

    run(valkey, scenario)
