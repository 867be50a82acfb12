"""A job's news as server-sent events, with replay from Last-Event-ID.

The id of an event is that of its entry in the broker. The id of the end is that of the last event before it, a dot,
and when the job ended: whoever comes back with it has heard of that end, whatever the broker still knows.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping

from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from api.app_state import AppState
from core.broker import events
from core.broker.broadcaster import AWAY_SECONDS, End, EventBroadcaster, Look
from core.broker.events import BEGINNING, Event
from core.jobs import requests
from core.schemas.jobs import JobStatus
from core.storage.database import Database
from core.storage.tables import Job

MAX_PART = (1 << 64) - 1  # of an id, as the broker counts


def ends_of(database: Database) -> Look:
    """The look at the rows that all streams of a process share."""

    async def look(job_ids: Collection[str]) -> Mapping[str, End | None]:
        try:
            rows = await run_in_threadpool(requests.several, database, job_ids)
        except SQLAlchemyError as error:
            raise OSError(f"the database does not answer: {error}") from error
        ended = {row.id: end_of(row) for row in rows if JobStatus(row.status).final}
        return ended | dict.fromkeys(set(job_ids) - {row.id for row in rows})

    return look


def end_of(row: Job) -> End:
    assert row.finished_at is not None
    data = {"status": row.status} if row.error is None else {"status": row.status, "error": row.error}
    return End(int(row.finished_at * 1000), data)


def has_heard_the_end(row: Job, after: str | None) -> bool:
    """Whether the id `after` is that of the job's end."""
    _, _, end = (after or "").partition(".")
    return bool(end) and JobStatus(row.status).final and end_of(row).at == int(end)


async def follow(app_state: AppState, job_id: str, after: str | None) -> AsyncIterator[ServerSentEvent]:
    """Everything after the event `after` (all, when absent), and on until the job's end.

    What the broker has lost, the row makes good: a job that has ended always gets its `done`, and one alone.
    """
    with await app_state.news.listen(job_id) as heard:
        told = StreamCursor(after)
        async for event in _replayed(app_state.news, job_id, told):
            yield event
        while not told.ended and (item := await heard.get()) is not None:
            for event in told.of(item):
                yield event


async def _replayed(news: EventBroadcaster, job_id: str, told: "StreamCursor") -> AsyncIterator[ServerSentEvent]:
    """What is kept, and the end where there was one before it was read. A broker that is away is waited for."""
    while True:
        end = None
        try:
            ends = await news.ends([job_id])
            end = ends.get(job_id)
            if job_id in ends and end is None:  # deleted meanwhile
                told.ended = True
                return
            told.last = await _start(news, job_id, told.last)
            async for page in events.replay(news.redis, job_id, told.last):
                for item in page:
                    for event in told.of(item):
                        yield event
        except (RedisError, OSError):
            if end is None and not news.closed:
                await asyncio.sleep(AWAY_SECONDS)
                continue
        if end is not None:
            for event in told.of(end):
                yield event
        return


async def _start(news: EventBroadcaster, job_id: str, last: str) -> str:
    """`last`, unless it is of a broker that was wiped since."""
    return BEGINNING if events.is_later(last, await events.last_id(news.redis, job_id)) else last


class StreamCursor:
    """What one stream has told. A `done` waits for what the row says, since a job that was resumed has several."""

    def __init__(self, after: str | None) -> None:
        self.last, _, end = (after or BEGINNING).partition(".")
        self.ended = False
        self._over = bool(end)  # an end was told: up to the next status, only stragglers of it come
        self._done: Event | None = None

    def of(self, item: Event | End) -> list[ServerSentEvent]:
        """What to tell of it."""
        if isinstance(item, End):
            self.ended = True
            return [ServerSentEvent(event="done", id=f"{self.last}.{item.at}", data=item.data)]
        if not events.is_later(item.id, self.last) or (self._over and item.name != "status"):
            return []
        if item.name == "done":
            self._done, self._over = item, True
            return []
        self._over = False
        now = [one for one in (self._done, item) if one is not None]
        self._done, self.last = None, item.id
        return [ServerSentEvent(event=one.name, id=one.id, data=one.data) for one in now]


def is_id(given: str) -> bool:
    """Whether it can be the id of an event."""
    position, dot, end = given.partition(".")
    milliseconds, dash, count = position.partition("-")
    parts = (milliseconds, *((count,) if dash else ()), *((end,) if dot else ()))
    return all(part.isascii() and part.isdigit() and len(part) <= 20 and int(part) <= MAX_PART for part in parts)
