"""The events of all jobs of a caller as one stream, with replay from Last-Event-ID.

An event's id is that of its entry in the feed (core.broker.events). An event that the broker does not have, because it
was lost or is older than what the feed keeps, is made from the job's row. Its id is the position in the feed, the time
in milliseconds as of which rows were sent, and a number, with dots between them.

What was sent to a client is compared with the rows when it connects, and again every few seconds. So it learns of every
job's status even if the broker loses events.
"""

from collections.abc import AsyncIterator

import structlog
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from api.app_state import AppState
from api.events.cursor import OVERLAP_SECONDS, FeedCursor, Position
from core.broker import events
from core.broker.broadcaster import EventBroadcaster, FindStates, JobStates
from core.broker.events import BEGINNING, Event
from core.jobs import states
from core.storage.access import Access
from core.storage.database import Database

log = structlog.get_logger()


def job_state_reader(database: Database) -> FindStates:
    """Return the function by which EventBroadcaster reads the states of jobs."""

    async def read() -> JobStates:
        try:
            return await run_in_threadpool(states.read, database)
        except SQLAlchemyError as error:
            raise OSError(f"the database does not answer: {error}") from error

    return read


async def stream_feed(app_state: AppState, last_event_id: str | None) -> AsyncIterator[ServerSentEvent]:
    """Yield the events of the caller's jobs after `last_event_id`, first stored ones and then new ones.

    If it is None, the stream begins with the status of each job that has not ended, or ended in the last minute: so a
    client that has just listed its jobs misses nothing.
    """
    broadcaster, feed = app_state.broadcaster, _feed_of(app_state.database.access)
    cursor = FeedCursor(Position.parse(last_event_id) if last_event_id else Position())
    with await broadcaster.subscribe(feed) as queue:
        since = cursor.position.time - OVERLAP_SECONDS if last_event_id else None
        replay = _Replay(broadcaster, feed, cursor)
        async for event in replay.events():
            yield event
        for event in await _from_rows(app_state.database, cursor, since, replay.complete):
            yield event
        while (item := await queue.get()) is not None:
            if isinstance(item, Event):
                found = cursor.advance(item)
            else:
                assert isinstance(item, JobStates)
                found = cursor.compare(item)
            for event in found:
                yield event


def _feed_of(access: Access) -> str:
    """Return the name of the feed of the jobs that the caller sees."""
    if access.sees_all:
        return events.EVERYONE
    assert access.owner is not None
    return events.feed_of(access.owner)


class _Replay:
    """The stored entries after the client's last. complete: none was lost in between, as far as the broker knows."""

    def __init__(self, broadcaster: EventBroadcaster, feed: str, cursor: FeedCursor) -> None:
        self._redis, self._feed, self._cursor = broadcaster.redis, feed, cursor
        self.complete = False

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """Yield the events to send. While the broker is away there are none; they come later, when it is back."""
        try:
            after = await self._begin()
            async for page in events.replay(self._redis, self._feed, after):
                for item in page:
                    for event in self._cursor.advance(item):
                        yield event
        except (RedisError, OSError) as error:
            log.warning("feed_not_replayed", error=str(error))

    async def _begin(self) -> str:
        """Return the id after which to read: a minute before the client's last entry, to know what was sent to it.

        A client to which rows but no entry were sent gets the entries since then.
        """
        position, newest = self._cursor.position, await events.last_id(self._redis, self._feed)
        entry = position.entry
        if entry == BEGINNING:
            after = f"{position.rows_until}-0" if position.rows_until else newest
            self._cursor.begin(after)
            return after
        if events.is_later(entry, newest):
            self._cursor.replay_all()
            return BEGINNING
        self.complete = await events.contains(self._redis, self._feed, entry)
        milliseconds = int(entry.partition("-")[0]) - int(OVERLAP_SECONDS * 1000)
        return f"{max(milliseconds, 0)}-0"


async def _from_rows(
    database: Database, cursor: FeedCursor, since: float | None, complete: bool
) -> list[ServerSentEvent]:
    """Return events for statuses that no entry had; none if the database is away: later checks will send them."""
    try:
        rows = await run_in_threadpool(states.read, database, since)
    except SQLAlchemyError as error:
        log.warning("states_not_read", error=str(error))
        return []
    return cursor.catch_up(rows, rows.at - OVERLAP_SECONDS if since is None else since, complete)
