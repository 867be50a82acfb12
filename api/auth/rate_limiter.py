"""Limits the requests per minute of each key. They are counted in Redis, across all API processes."""

import math
import time

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import RedisError

from core.storage.errors import LimitReached

TIMEOUT_SECONDS = 1
RETRY_SECONDS = 5  # after a failure, requests are not counted for this long

log = structlog.get_logger()


class RateLimiter:
    """Counts requests in a sliding window of one minute. While Redis is unavailable, all requests are allowed."""

    def __init__(self, broker_url: str) -> None:
        storage = RedisStorage(
            broker_url,
            key_prefix="genconvnet:limits",
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._paused_until = 0.0

    def check(self, key_id: str, per_minute: int) -> None:
        """Count one request. Raises LimitReached if the key has sent too many."""
        if time.monotonic() < self._paused_until:
            return
        item = RateLimitItemPerMinute(per_minute)
        try:
            if self._limiter.hit(item, key_id):
                return
            wait = self._limiter.get_window_stats(item, key_id).reset_time - time.time()
        except (RedisError, OSError) as error:
            self._paused_until = time.monotonic() + RETRY_SECONDS
            log.warning("requests_not_counted", error=str(error))
            return
        detail = f"this key has sent the {per_minute} requests per minute that it may send (requests_per_minute)"
        raise LimitReached(detail, max(1, math.ceil(wait)))
