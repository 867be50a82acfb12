"""A job's events as server-sent events, with replay from Last-Event-ID.

The id of an event is that of its entry in the broker's stream. The id of the last event, `done`, is the id of the event
before it, a dot, and the time when the job ended: a client that sends it back has received everything, even if the
broker has lost the stream.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from api.app_state import AppState
from api.http.public_urls import public_url
from core.broker import events
from core.broker.broadcaster import RETRY_SECONDS, EventBroadcaster, FindEnds, JobEnd, JobStates
from core.broker.events import BEGINNING, Event
from core.jobs import requests
from core.schemas.jobs import JobStatus
from core.storage.database import Database
from core.storage.tables import Job

MAX_ID_PART = (1 << 64) - 1  # Redis counts in 64 bits


def job_end_reader(database: Database) -> FindEnds:
    """Return the function by which EventBroadcaster reads which jobs have ended or were deleted."""

    async def read(job_ids: Collection[str]) -> Mapping[str, JobEnd | None]:
        try:
            rows = await run_in_threadpool(requests.find_several, database, job_ids)
        except SQLAlchemyError as error:
            raise OSError(f"the database does not answer: {error}") from error
        ended = {row.id: job_end(row) for row in rows if JobStatus(row.status).final}
        return ended | dict.fromkeys(set(job_ids) - {row.id for row in rows})

    return read


def job_end(row: Job) -> JobEnd:
    """Return the end of a job that has ended."""
    assert row.finished_at is not None
    data = {"status": row.status} if row.error is None else {"status": row.status, "error": row.error}
    return JobEnd(int(row.finished_at * 1000), data)


def has_received_end(row: Job, last_event_id: str | None) -> bool:
    """Return True if the job has ended and `last_event_id` is the id of that end."""
    _, _, end = (last_event_id or "").partition(".")
    return bool(end) and JobStatus(row.status).final and job_end(row).at == int(end)


async def stream_events(app_state: AppState, job_id: str, last_event_id: str | None) -> AsyncIterator[ServerSentEvent]:
    """Yield the job's events after `last_event_id` (all if it is None), first stored ones and then new ones.

    A job that has ended always gets exactly one `done`, read from its row if the broker has lost it.
    """
    with await app_state.broadcaster.subscribe(job_id) as queue:
        cursor = StreamCursor(last_event_id)
        async for event in _replay(app_state.broadcaster, job_id, cursor):
            yield event
        while not cursor.ended and (item := await queue.get()) is not None:
            for event in cursor.advance(item):
                yield event


async def _replay(broadcaster: EventBroadcaster, job_id: str, cursor: "StreamCursor") -> AsyncIterator[ServerSentEvent]:
    """Yield the stored events, and the end if the job had ended before they were read.

    If the broker is away and the job has not ended, try again until it is back.
    """
    while True:
        end = None
        try:
            ends = await broadcaster.find_ends([job_id])
            end = ends.get(job_id)
            if job_id in ends and end is None:  # the job has been deleted
                cursor.end()
                return
            cursor.replay_all_if_wiped(await events.last_id(broadcaster.redis, job_id))
            async for page in events.replay(broadcaster.redis, job_id, cursor.last_id):
                for item in page:
                    for event in cursor.advance(item):
                        yield event
        except (RedisError, OSError):
            if end is None and not broadcaster.closed:
                await asyncio.sleep(RETRY_SECONDS)
                continue
        if end is not None:
            for event in cursor.advance(end):
                yield event
        return


class StreamCursor:
    """The position of one client's stream; it decides which items are sent and sends none twice.

    A `done` of the broker is held back until the row confirms that the job has ended, or a later event shows that it
    was resumed.
    """

    def __init__(self, last_event_id: str | None) -> None:
        self.last_id, _, end = (last_event_id or BEGINNING).partition(".")
        self.ended = False
        self._after_done = bool(end)  # what workers still write after a `done` is dropped until the next `status`
        self._pending_done: Event | None = None

    def end(self) -> None:
        """Send nothing more."""
        self.ended = True

    def replay_all_if_wiped(self, newest: str) -> None:
        """Send every stored event if the client's last is newer than `newest` of them: the broker was wiped since."""
        if events.is_later(self.last_id, newest):
            self.last_id = BEGINNING

    def advance(self, item: Event | JobEnd | JobStates) -> list[ServerSentEvent]:
        """Return the events to send now that `item` has arrived, oldest first."""
        assert not isinstance(item, JobStates)  # only feeds get these
        if isinstance(item, JobEnd):
            self.end()
            return [ServerSentEvent(event="done", id=f"{self.last_id}.{item.at}", data=item.data)]
        if not events.is_later(item.id, self.last_id) or (self._after_done and item.name != "status"):
            return []
        if item.name == "done":
            self._pending_done, self._after_done = item, True
            return []
        self._after_done = False
        due = [one for one in (self._pending_done, item) if one is not None]
        self._pending_done, self.last_id = None, item.id
        return [ServerSentEvent(event=one.name, id=one.id, data=with_public_url(one.data)) for one in due]


def with_public_url(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event's data with its `url`, if it has one, as the client of this request reaches it."""
    return {**data, "url": public_url(data["url"])} if "url" in data else data


def is_event_id(text: str) -> bool:
    """Return True if `text` has the form of an event's id: milliseconds, "-" and a count, "." and a job's end."""
    position, dot, end = text.partition(".")
    milliseconds, dash, count = position.partition("-")
    parts = (milliseconds, *((count,) if dash else ()), *((end,) if dot else ()))
    return all(part.isascii() and part.isdigit() and len(part) <= 20 and int(part) <= MAX_ID_PART for part in parts)
