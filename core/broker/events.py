"""News of a job, as a Redis stream whose entry ids are the ids of the server-sent events.

The stream is a convenience: rows and artifacts say the same to whoever asks again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis

MAX_EVENTS = 5000  # of one job
KEPT_SECONDS = 7 * 24 * 3600

EventName = Literal["status", "progress", "preview", "done"]

log = structlog.get_logger()


@dataclass(frozen=True)
class Event:
    id: str
    name: EventName
    data: Mapping[str, Any]


def tell(redis: Redis, job_id: str, name: EventName, data: Mapping[str, Any]) -> None:
    """Add an event; a broker that is away is passed over."""
    try:
        pipeline = redis.pipeline(transaction=False)
        entry: dict[Any, Any] = {"name": name, "data": json.dumps(dict(data))}
        pipeline.xadd(_key(job_id), entry, maxlen=MAX_EVENTS, approximate=True)
        pipeline.expire(_key(job_id), KEPT_SECONDS)
        pipeline.execute()
    except (RedisError, OSError) as error:
        log.warning("event_not_told", job_id=job_id, event_name=name, error=str(error))


async def read(redis: AsyncRedis, job_id: str, after: str, wait_seconds: float) -> list[Event]:
    """Events after the id `after` ("0" for all); waits for the first of them so long. Raises RedisError."""
    answer: Any = await redis.xread({_key(job_id): after}, count=500, block=int(wait_seconds * 1000))
    entries = next(iter(answer.values()))[0] if isinstance(answer, dict) and answer else answer[0][1] if answer else []
    return [Event(id_.decode(), fields[b"name"].decode(), json.loads(fields[b"data"])) for id_, fields in entries]


def _key(job_id: str) -> str:
    return f"genconvnet:events:{job_id}"
