"""Requests a minute of each key, counted in the broker, so that all API processes count together."""

import math
import time

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import RedisError

from core.storage.errors import LimitReached

TIMEOUT_SECONDS = 1
AWAY_SECONDS = 5  # so long a broker that did not answer is not asked again

log = structlog.get_logger()


class RateLimiter:
    """A broker that is away lets requests through: it guards against haste, and nothing else."""

    def __init__(self, broker_url: str) -> None:
        storage = RedisStorage(
            broker_url,
            key_prefix="genconvnet:limits",
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._away_until = 0.0

    def check(self, key_id: str, per_minute: int) -> None:
        """Count one request. Raises LimitReached."""
        if time.monotonic() < self._away_until:
            return
        item = RateLimitItemPerMinute(per_minute)
        try:
            if self._limiter.hit(item, key_id):
                return
            wait = self._limiter.get_window_stats(item, key_id).reset_time - time.time()
        except (RedisError, OSError) as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("requests_not_counted", error=str(error))
            return
        detail = f"this key may send {per_minute} requests a minute (requests_per_minute), and has sent as many"
        raise LimitReached(detail, max(1, math.ceil(wait)))
