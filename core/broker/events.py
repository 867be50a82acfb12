"""Events of jobs: Redis streams, whose entry ids are the ids of the server-sent events.

Each event is added to the stream of its job and to feeds: that of the job's owner and that of all owners, where its
data also has the `job_id`. Below, a topic is the id of a job or the name of a feed.

Clients can also poll jobs, so a stream may be lost. It is limited in length and in time, and a broker that runs out of
memory evicts streams first.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import structlog
from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis
from redis.client import Pipeline

MAX_EVENTS = 2000  # per job
MAX_FEED_EVENTS = 5000  # per owner, and of all owners
EXPIRE_SECONDS = 24 * 3600  # after the last event
EXPIRE_ENDED_SECONDS = 3600  # after the job's end, which can also be read from its row
PAGE_SIZE = 500
BEGINNING = "0-0"
EVERYONE = "feed:everyone"

EventName = Literal["status", "progress", "preview", "done"]
EVENT_NAMES: Mapping[bytes, EventName] = {name.encode(): name for name in get_args(EventName)}

log = structlog.get_logger()


@dataclass(frozen=True)
class Event:
    """One entry of a stream. `name` is None if it is not a valid event: other programs may write to the broker too."""

    id: str
    name: EventName | None
    data: Mapping[str, Any]


def feed_of(owner: int) -> str:
    """Return the name of the feed of a key's jobs; `owner` is `ApiKey.seq`."""
    return f"feed:{owner}"


def is_feed(topic: str) -> bool:
    """Return True if the topic is a feed and not a job."""
    return topic.startswith("feed:")


def publish(redis: Redis, job_id: str, name: EventName, data: Mapping[str, Any], *, owner: int | None = None) -> None:
    """Add an event to the job's stream and to the feeds. If the broker is away or full, log it and go on.

    owner: `owner_seq` of the job; None if the service runs without keys.
    """
    feeds = [EVERYONE] if owner is None else [EVERYONE, feed_of(owner)]
    try:
        pipeline = redis.pipeline(transaction=False)
        _add(pipeline, job_id, name, data, MAX_EVENTS, EXPIRE_ENDED_SECONDS if name == "done" else EXPIRE_SECONDS)
        for feed in feeds:
            _add(pipeline, feed, name, {"job_id": job_id, **data}, MAX_FEED_EVENTS, EXPIRE_SECONDS)
        pipeline.execute()
    except (RedisError, OSError) as error:
        log.warning("event_not_published", job_id=job_id, event_name=name, error=str(error))


def _add(pipeline: Pipeline, topic: str, name: EventName, data: Mapping[str, Any], most: int, expire: int) -> None:
    entry: dict[Any, Any] = {"name": name, "data": json.dumps(dict(data))}
    pipeline.xadd(_key(topic), entry, maxlen=most, approximate=True)
    pipeline.expire(_key(topic), expire)


async def replay(redis: AsyncRedis, topic: str, after: str) -> AsyncIterator[list[Event]]:
    """Yield the stored events of a topic after the id `after`, in pages; the first may be empty. Raises RedisError.

    If `after` is newer than every stored id, the broker has been wiped since: then all stored events are yielded.
    """
    if is_later(after, await last_id(redis, topic)):
        after = BEGINNING
    while True:
        page = _parsed(await redis.xrange(_key(topic), min=f"({after}", count=PAGE_SIZE) or [])
        yield valid(page)
        if len(page) < PAGE_SIZE:
            return
        after = page[-1].id


def valid(found: Sequence[Event]) -> list[Event]:
    """Return the valid events, without what other programs wrote."""
    return [event for event in found if event.name is not None]


async def last_id(redis: AsyncRedis, topic: str) -> str:
    """Return the id of the newest stored event, or BEGINNING if there is none. Raises RedisError."""
    newest: Any = await redis.xrevrange(_key(topic), count=1)
    return str(newest[0][0].decode()) if newest else BEGINNING


async def contains(redis: AsyncRedis, topic: str, id_: str) -> bool:
    """Return True if the entry with this id is still stored, and so every later one is. Raises RedisError."""
    return bool(await redis.xrange(_key(topic), min=id_, max=id_, count=1))


async def read(redis: AsyncRedis, after: Mapping[str, str], wait_seconds: float) -> dict[str, list[Event]]:
    """Return the events of each topic after its id in `after`; wait up to `wait_seconds` for one. Raises RedisError."""
    topics = {_key(topic).encode(): topic for topic in after}
    positions: dict[Any, Any] = {_key(topic): id_ for topic, id_ in after.items()}
    answer: Any = await redis.xread(positions, count=PAGE_SIZE, block=max(1, int(wait_seconds * 1000)))
    found = {key: pages[0] for key, pages in answer.items()} if isinstance(answer, dict) else dict(answer or ())
    return {topics[key]: _parsed(entries) for key, entries in found.items()}


def is_later(one: str, other: str) -> bool:
    """Return True if the id `one` is later than `other`."""
    return _parts(one) > _parts(other)


def _parts(id_: str) -> tuple[int, int]:
    milliseconds, _, count = id_.partition("-")
    return int(milliseconds), int(count or 0)


def _parsed(entries: Sequence[Any]) -> list[Event]:
    return [_event(id_.decode(), fields) for id_, fields in entries]


def _event(id_: str, fields: Mapping[bytes, bytes]) -> Event:
    try:
        name, data = EVENT_NAMES[fields[b"name"]], json.loads(fields[b"data"])
    except (KeyError, ValueError) as error:
        log.warning("event_skipped", id=id_, error=repr(error))
        return Event(id_, None, {})
    return Event(id_, name, data)


def _key(topic: str) -> str:
    return f"genconvnet:events:{topic}"
