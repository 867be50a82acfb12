"""Fan-out of job events within one process: one reader and one connection, however many subscribers."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis import RedisError
from redis.asyncio import Redis as AsyncRedis

from core.broker import events
from core.broker.events import BEGINNING, Event
from core.schemas.jobs import JobStatus

READ_SECONDS = 0.2  # the longest wait of one read, and so for a new subscription to be included in the next
CHECK_SECONDS = 5.0  # between two checks of the database for changes that no event reported
RETRY_SECONDS = 1.0  # before a broker that is away is read again
MAX_QUEUED = 1000  # items a subscriber may be behind

log = structlog.get_logger()


@dataclass(frozen=True)
class JobEnd:
    """The end of a job, from its row. `at` is in milliseconds since 1970; a resumed job ends again at another time."""

    at: int
    data: Mapping[str, Any]


@dataclass(frozen=True)
class JobState:
    """A job's status, from its row. `finished_at` is in seconds since 1970, None if the job has not ended."""

    job_id: str
    owner: int | None
    status: JobStatus
    attempt: int
    error: Mapping[str, Any] | None
    finished_at: float | None


@dataclass(frozen=True)
class JobStates:
    """The jobs of a feed that have not ended or have ended lately, as they were `at`, in seconds since 1970."""

    at: float
    states: Sequence[JobState]

    def of(self, feed: str) -> "JobStates":
        """Return the states of the jobs whose events are in the feed."""
        if feed == events.EVERYONE:
            return self
        mine = [one for one in self.states if one.owner is not None and events.feed_of(one.owner) == feed]
        return JobStates(self.at, mine)


Item = Event | JobEnd | JobStates | None  # None closes the subscription; the subscriber may open another
FindEnds = Callable[[Collection[str]], Awaitable[Mapping[str, JobEnd | None]]]
"""Return those of the jobs that have ended, and None for those that were deleted. Raises OSError if it cannot tell."""
FindStates = Callable[[], Awaitable[JobStates]]
"""Return the states of the jobs of every owner. Raises OSError if it cannot tell."""


class EventBroadcaster:
    """Deliver to its subscribers every event of their topics (see `events`). Belongs to one event loop.

    Subscribers of a job also get its end; those of a feed get the states of its jobs every CHECK_SECONDS.
    """

    def __init__(self, redis: AsyncRedis, find_ends: FindEnds, find_states: FindStates) -> None:
        self.redis, self.find_ends, self.find_states = redis, find_ends, find_states
        self._queues: dict[str, set[asyncio.Queue[Item]]] = defaultdict(set)
        self._positions: dict[str, str] = {}
        self._subscribed = asyncio.Event()
        self._closed = False
        self._task = asyncio.create_task(self._run(), name="event-broadcaster")

    async def subscribe(self, topic: str) -> "Subscription":
        """Return a subscription that misses no event from now on. For earlier events see `events.replay`."""
        if topic not in self._positions:
            position = BEGINNING  # may deliver events twice; subscribers skip those by their ids
            with contextlib.suppress(RedisError, OSError):
                position = await events.last_id(self.redis, topic)
            self._positions.setdefault(topic, position)
        return Subscription(self, topic)

    @property
    def closed(self) -> bool:
        """True from `close` on."""
        return self._closed

    def close(self) -> None:
        """Close all subscriptions, and every one that is opened from now on."""
        self._closed = True
        for topic in list(self._queues):
            self._deliver(topic, [None])

    async def aclose(self) -> None:
        self.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.redis.aclose()

    def add(self, topic: str, queue: asyncio.Queue[Item]) -> None:
        """Deliver the items of a topic to the queue; None at once if the broadcaster is closed."""
        if self._closed:
            queue.put_nowait(None)
        self._queues[topic].add(queue)
        self._subscribed.set()

    def remove(self, topic: str, queue: asyncio.Queue[Item]) -> None:
        """Deliver no more items of a topic to the queue."""
        self._queues[topic].discard(queue)
        if not self._queues[topic]:
            del self._queues[topic]
            self._positions.pop(topic, None)
        if not self._queues:
            self._subscribed.clear()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        checked_at = clock()
        while not self._closed:  # redis-py sometimes swallows a cancellation, so `aclose` does not rely on it alone
            await self._subscribed.wait()
            await self._attempt(self._read(READ_SECONDS))
            if clock() - checked_at >= CHECK_SECONDS:
                await self._attempt(self._check())
                checked_at = clock()

    async def _attempt(self, work: Coroutine[Any, Any, None]) -> None:
        """Await `work`; log any error, pause and go on, since the ends of jobs can still be read from their rows."""
        try:
            await work
        except (RedisError, OSError) as error:
            log.warning("events_not_read", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:  # whatever other programs wrote into the broker
            log.exception("events_not_read")
            await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, wait_seconds: float) -> None:
        positions = {topic: self._positions[topic] for topic in self._queues}
        for topic, found in (await events.read(self.redis, positions, wait_seconds)).items():
            if topic in self._positions and found:
                self._positions[topic] = found[-1].id
                self._deliver(topic, events.valid(found))
                if not events.is_feed(topic) and any(event.name == "done" for event in found):
                    await self._deliver_ends([topic])

    async def _check(self) -> None:
        """Deliver what the database knows of the jobs, in case that their events were lost."""
        feeds = [topic for topic in self._queues if events.is_feed(topic)]
        await self._deliver_ends([topic for topic in self._queues if topic not in feeds])
        if feeds:
            with contextlib.suppress(RedisError, OSError):
                await self._close_if_wiped(feeds)
            states = await self.find_states()
            for feed in feeds:
                self._deliver(feed, [states.of(feed)])

    async def _deliver_ends(self, job_ids: Sequence[str]) -> None:
        """Deliver the ends of those jobs that have ended, each after the last of its events."""
        if not job_ids:
            return
        try:
            ended = await self.find_ends(job_ids)
        except OSError as error:
            log.warning("ends_not_read", error=str(error))
            return
        with contextlib.suppress(RedisError, OSError):
            if len(job_ids) > len(ended):
                await self._close_if_wiped([job_id for job_id in job_ids if job_id not in ended])
            for job_id in ended.keys() & self._positions.keys():
                found = (await events.read(self.redis, {job_id: self._positions[job_id]}, 0)).get(job_id, [])
                self._deliver(job_id, events.valid(found))
                if found and job_id in self._positions:
                    self._positions[job_id] = found[-1].id
        for job_id, end in ended.items():
            self._deliver(job_id, [end])

    async def _close_if_wiped(self, topics: Sequence[str]) -> None:
        """Close the subscriptions whose position is later than the newest id in the broker.

        This happens if the broker was wiped and its clock set back: new events would have earlier ids and be skipped.
        """
        for topic in topics:
            newest = await events.last_id(self.redis, topic)
            position = self._positions.get(topic, BEGINNING)
            if newest != BEGINNING and events.is_later(position, newest):
                self._positions[topic] = newest
                self._deliver(topic, [None])

    def _deliver(self, topic: str, items: Sequence[Item]) -> None:
        for queue in self._queues.get(topic, ()):
            for item in items:
                if queue.full():  # close a subscription that is too far behind; a new one replays what it missed
                    while not queue.empty():
                        queue.get_nowait()
                    queue.put_nowait(None)
                    break
                queue.put_nowait(item)


class Subscription:
    """`with subscription as queue`: the events of one topic since the call of `EventBroadcaster.subscribe`."""

    def __init__(self, broadcaster: EventBroadcaster, topic: str) -> None:
        self._broadcaster, self._topic = broadcaster, topic
        self._queue: asyncio.Queue[Item] = asyncio.Queue(MAX_QUEUED)
        broadcaster.add(topic, self._queue)

    def __enter__(self) -> asyncio.Queue[Item]:
        return self._queue

    def __exit__(self, *_: object) -> None:
        self._broadcaster.remove(self._topic, self._queue)
