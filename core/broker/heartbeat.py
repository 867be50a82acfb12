"""Which queues have a worker that listens: a key a worker, which goes when the worker goes."""

import structlog
from redis import Redis, RedisError

from core.runtime.background import BackgroundThread
from core.schemas.jobs import Queue

BEAT_SECONDS = 3
GONE_AFTER_SECONDS = 15
SAMPLES = "genconvnet:samples:"

log = structlog.get_logger()


class WorkerHeartbeat:
    """A thread that keeps saying that this worker listens to `queue`."""

    def __init__(self, redis: Redis, queue: Queue, worker: str) -> None:
        self._redis, self._key = redis, f"{_prefix(queue)}{worker}"
        expected = (RedisError, OSError)
        self._thread = BackgroundThread("heartbeat", self._beat, every_seconds=BEAT_SECONDS, expected=expected)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop(join_seconds=BEAT_SECONDS)
        try:
            self._redis.delete(self._key)
        except (RedisError, OSError) as error:  # it goes by itself soon
            log.info("presence_not_withdrawn", error=str(error))

    def _beat(self) -> None:
        self._redis.set(self._key, b"1", ex=GONE_AFTER_SECONDS)


def listening(redis: Redis, queue: Queue, worker: str = "*") -> int:
    """How many workers, whose names match the pattern `worker`, listen to `queue`. Raises RedisError."""
    return sum(1 for _ in redis.scan_iter(match=f"{_prefix(queue)}{worker}", count=1000))


def leave_samples(redis: Redis, worker: str, text: str) -> None:
    """What a worker measured of itself, as Prometheus reads it; it goes when the worker goes. Raises RedisError."""
    redis.set(f"{SAMPLES}{worker}", text, ex=GONE_AFTER_SECONDS)


def samples(redis: Redis) -> dict[str, str]:
    """What each worker left. Raises RedisError."""
    keys: list[bytes] = list(redis.scan_iter(match=f"{SAMPLES}*", count=1000))
    texts: list[bytes | None] = redis.mget(keys) if keys else []  # type: ignore[assignment]
    left = zip(keys, texts, strict=True)
    return {key.decode().removeprefix(SAMPLES): text.decode(errors="replace") for key, text in left if text is not None}


def _prefix(queue: Queue) -> str:
    return f"genconvnet:worker:{queue.value}:"
