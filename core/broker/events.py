"""EventBroadcaster of a job, as a Redis stream whose entry ids are the ids of the server-sent events.

The stream is a convenience: rows and artifacts say the same to whoever asks again. So it is bounded three times over,
in events, in time and, where the broker is full, by giving way to whatever else it holds.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import structlog
from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis

MAX_EVENTS = 2000  # of one job
KEPT_SECONDS = 24 * 3600  # after the last of them
KEPT_ENDED_SECONDS = 3600  # after the job's end, which its row tells as well
PAGE = 500
BEGINNING = "0-0"

EventName = Literal["status", "progress", "preview", "done"]
NAMES: Mapping[bytes, EventName] = {name.encode(): name for name in get_args(EventName)}

log = structlog.get_logger()


@dataclass(frozen=True)
class Event:
    """name: None for what others wrote into the broker, of which the id alone counts."""

    id: str
    name: EventName | None
    data: Mapping[str, Any]


def tell(redis: Redis, job_id: str, name: EventName, data: Mapping[str, Any]) -> None:
    """Add an event; a broker that is away, or full, is passed over."""
    try:
        pipeline = redis.pipeline(transaction=False)
        entry: dict[Any, Any] = {"name": name, "data": json.dumps(dict(data))}
        pipeline.xadd(_key(job_id), entry, maxlen=MAX_EVENTS, approximate=True)
        pipeline.expire(_key(job_id), KEPT_ENDED_SECONDS if name == "done" else KEPT_SECONDS)
        pipeline.execute()
    except (RedisError, OSError) as error:
        log.warning("event_not_told", job_id=job_id, event_name=name, error=str(error))


async def replay(redis: AsyncRedis, job_id: str, after: str) -> AsyncIterator[list[Event]]:
    """What is kept of a job's news after the id `after`, in pages, the first of which may be empty. Raises RedisError.

    An id that is newer than all that is kept was given before the broker was wiped: then everything is news.
    """
    if is_later(after, await last_id(redis, job_id)):
        after = BEGINNING
    while True:
        page = _parsed(await redis.xrange(_key(job_id), min=f"({after}", count=PAGE) or [])
        yield ours(page)
        if len(page) < PAGE:
            return
        after = page[-1].id


def ours(found: Sequence[Event]) -> list[Event]:
    """Without what others wrote."""
    return [event for event in found if event.name is not None]


async def last_id(redis: AsyncRedis, job_id: str) -> str:
    """Of the newest event that is kept, or BEGINNING. Raises RedisError."""
    newest: Any = await redis.xrevrange(_key(job_id), count=1)
    return str(newest[0][0].decode()) if newest else BEGINNING


async def read(redis: AsyncRedis, after: Mapping[str, str], wait_seconds: float) -> dict[str, list[Event]]:
    """Of several jobs what came after an id of each; waits for the first of it so long. Raises RedisError."""
    jobs = {_key(job_id).encode(): job_id for job_id in after}
    positions: dict[Any, Any] = {_key(job_id): id_ for job_id, id_ in after.items()}
    answer: Any = await redis.xread(positions, count=PAGE, block=max(1, int(wait_seconds * 1000)))
    found = {key: pages[0] for key, pages in answer.items()} if isinstance(answer, dict) else dict(answer or ())
    return {jobs[key]: _parsed(entries) for key, entries in found.items()}


def is_later(one: str, other: str) -> bool:
    """Whether the id `one` comes after `other`."""
    return _parts(one) > _parts(other)


def _parts(id_: str) -> tuple[int, int]:
    milliseconds, _, count = id_.partition("-")
    return int(milliseconds), int(count or 0)


def _parsed(entries: Sequence[Any]) -> list[Event]:
    return [_event(id_.decode(), fields) for id_, fields in entries]


def _event(id_: str, fields: Mapping[bytes, bytes]) -> Event:
    try:
        name, data = NAMES[fields[b"name"]], json.loads(fields[b"data"])
    except (KeyError, ValueError) as error:
        log.warning("event_passed_over", id=id_, error=repr(error))
        return Event(id_, None, {})
    return Event(id_, name, data)


def _key(job_id: str) -> str:
    return f"genconvnet:events:{job_id}"
