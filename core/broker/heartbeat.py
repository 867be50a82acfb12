"""Worker heartbeats: a key per worker in the broker, which expires if the worker is gone. Its metrics likewise."""

import structlog
from redis import Redis, RedisError

from core.runtime.background import BackgroundThread
from core.schemas.jobs import Queue

BEAT_SECONDS = 3
EXPIRE_SECONDS = 15
METRICS_PREFIX = "genconvnet:samples:"

log = structlog.get_logger()


class WorkerHeartbeat:
    """A thread that keeps announcing that this worker takes jobs from `queue`."""

    def __init__(self, redis: Redis, queue: Queue, worker: str) -> None:
        self._redis, self._key = redis, f"{_prefix(queue)}{worker}"
        expected = (RedisError, OSError)
        self._thread = BackgroundThread("heartbeat", self._beat, every_seconds=BEAT_SECONDS, expected=expected)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and withdraw the announcement."""
        self._thread.stop(join_seconds=BEAT_SECONDS)
        try:
            self._redis.delete(self._key)
        except (RedisError, OSError) as error:  # the key expires soon
            log.info("heartbeat_not_withdrawn", error=str(error))

    def _beat(self) -> None:
        self._redis.set(self._key, b"1", ex=EXPIRE_SECONDS)


def count_workers(redis: Redis, queue: Queue, worker: str = "*") -> int:
    """Return the number of live workers of `queue` whose names match the pattern `worker`. Raises RedisError."""
    return sum(1 for _ in redis.scan_iter(match=f"{_prefix(queue)}{worker}", count=1000))


def publish_metrics(redis: Redis, worker: str, text: str) -> None:
    """Store a worker's metrics in Prometheus's text format until they expire. Raises RedisError."""
    redis.set(f"{METRICS_PREFIX}{worker}", text, ex=EXPIRE_SECONDS)


def read_metrics(redis: Redis) -> dict[str, str]:
    """Return the metrics of every live worker, by its name. Raises RedisError."""
    keys: list[bytes] = list(redis.scan_iter(match=f"{METRICS_PREFIX}*", count=1000))
    texts: list[bytes | None] = redis.mget(keys) if keys else []  # type: ignore[assignment]
    found = zip(keys, texts, strict=True)
    return {
        key.decode().removeprefix(METRICS_PREFIX): text.decode(errors="replace")
        for key, text in found
        if text is not None
    }


def _prefix(queue: Queue) -> str:
    return f"genconvnet:worker:{queue.value}:"
