"""One reader of news for all who listen in a process: one connection, however many streams are open."""

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

ROUND_SECONDS = 0.2  # of one reading: so long a job that nobody listened to may wait to be read along
LOOK_SECONDS = 5.0  # between two looks at the rows, which say what no news told
AWAY_SECONDS = 1.0  # before a broker that is away is asked again
MAX_WAITING = 1000  # items that a listener may be behind

log = structlog.get_logger()


@dataclass(frozen=True)
class End:
    """The end of a job, as its row tells it. `at` is in milliseconds since 1970, and differs from end to end."""

    at: int
    data: Mapping[str, Any]


Item = Event | End | None  # None: nothing comes any more on this stream; who wants more opens another
Look = Callable[[Collection[str]], Awaitable[Mapping[str, End | None]]]
"""Which of these jobs have ended, and which, None, are not there any more. Raises OSError where nobody can say now."""


class EventBroadcaster:
    """Give its listeners every event of their jobs, and their ends. Lives in one event loop."""

    def __init__(self, redis: AsyncRedis, look: Look) -> None:
        self.redis, self._look = redis, look
        self._listeners: dict[str, set[asyncio.Queue[Item]]] = defaultdict(set)
        self._positions: dict[str, str] = {}
        self._anyone = asyncio.Event()
        self._closed = False
        self._task = asyncio.create_task(self._run(), name="news")

    async def listen(self, job_id: str) -> "Subscription":
        """From now on nothing of the job is missed; what was before is `events.replay`'s."""
        if job_id not in self._positions:
            position = BEGINNING  # what is read twice is told once; see who listens
            with contextlib.suppress(RedisError, OSError):
                position = await events.last_id(self.redis, job_id)
            self._positions.setdefault(job_id, position)
        return Subscription(self, job_id)

    async def ends(self, job_ids: Collection[str]) -> Mapping[str, End | None]:
        return await self._look(job_ids)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """End all streams, and every one that is opened from now on."""
        self._closed = True
        for job_id in list(self._listeners):
            self._pass_on(job_id, [None])

    async def aclose(self) -> None:
        self.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.redis.aclose()

    def enter(self, job_id: str, queue: asyncio.Queue[Item]) -> None:
        if self._closed:
            queue.put_nowait(None)
        self._listeners[job_id].add(queue)
        self._anyone.set()

    def leave(self, job_id: str, queue: asyncio.Queue[Item]) -> None:
        self._listeners[job_id].discard(queue)
        if not self._listeners[job_id]:
            del self._listeners[job_id]
            self._positions.pop(job_id, None)
        if not self._listeners:
            self._anyone.clear()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        looked_at = clock()
        while True:
            await self._anyone.wait()
            await self._keep_on(self._read(ROUND_SECONDS))
            if clock() - looked_at >= LOOK_SECONDS:
                await self._keep_on(self._look_at(list(self._listeners)))
                looked_at = clock()

    async def _keep_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Whatever others wrote into the broker: the rows still tell the end."""
        try:
            await work
        except (RedisError, OSError) as error:
            log.warning("news_away", error=str(error))
            await asyncio.sleep(AWAY_SECONDS)
        except Exception:
            log.exception("news_broke")
            await asyncio.sleep(AWAY_SECONDS)

    async def _read(self, wait_seconds: float) -> None:
        asked = {job_id: self._positions[job_id] for job_id in self._listeners}
        for job_id, found in (await events.read(self.redis, asked, wait_seconds)).items():
            if job_id in self._positions and found:
                self._positions[job_id] = found[-1].id
                self._pass_on(job_id, events.ours(found))
                if any(event.name == "done" for event in found):
                    await self._look_at([job_id])

    async def _look_at(self, job_ids: Sequence[str]) -> None:
        """Pass on the ends of those that have ended, and after the last that was told of them."""
        try:
            ended = await self._look(job_ids)
        except OSError as error:
            log.warning("ends_not_known", error=str(error))
            return
        with contextlib.suppress(RedisError, OSError):
            if len(job_ids) > len(ended):
                await self._end_reborn([job_id for job_id in job_ids if job_id not in ended])
            for job_id in ended.keys() & self._positions.keys():
                found = (await events.read(self.redis, {job_id: self._positions[job_id]}, 0)).get(job_id, [])
                self._pass_on(job_id, events.ours(found))
                if found and job_id in self._positions:
                    self._positions[job_id] = found[-1].id
        for job_id, end in ended.items():
            self._pass_on(job_id, [end])

    async def _end_reborn(self, job_ids: Sequence[str]) -> None:
        """A broker that was wiped, and whose clock was set back, gives ids that nobody would read: open anew."""
        for job_id in job_ids:
            newest = await events.last_id(self.redis, job_id)
            position = self._positions.get(job_id, BEGINNING)
            if newest != BEGINNING and events.is_later(position, newest):
                self._positions[job_id] = newest
                self._pass_on(job_id, [None])

    def _pass_on(self, job_id: str, items: Sequence[Item]) -> None:
        for queue in self._listeners.get(job_id, ()):
            for item in items:
                if queue.full():  # who does not keep up opens another stream, and has missed nothing
                    while not queue.empty():
                        queue.get_nowait()
                    queue.put_nowait(None)
                    break
                queue.put_nowait(item)


class Subscription:
    """`with subscription as queue`: the events of one job from the moment `EventBroadcaster.listen` was called."""

    def __init__(self, news: EventBroadcaster, job_id: str) -> None:
        self._news, self._job_id = news, job_id
        self._queue: asyncio.Queue[Item] = asyncio.Queue(MAX_WAITING)
        news.enter(job_id, self._queue)

    def __enter__(self) -> asyncio.Queue[Item]:
        return self._queue

    def __exit__(self, *_: object) -> None:
        self._news.leave(self._job_id, self._queue)
