"""Limits how many uploads are received at once: each holds files, memory and a thread until it is answered."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter

from api.errors import Problem

CONCURRENT_MODELS = 2
WAIT_SECONDS = 20.0
RETRY_AFTER_SECONDS = "10"


class UploadLimiter:
    """Allows `count` uploads at once, and half as many from one key, so that one slow client cannot block the others.

    `threads` and `models` are the limits for the worker threads in which uploads, and of these models, are stored.
    """

    def __init__(self, count: int) -> None:
        self.threads = CapacityLimiter(count)  # separate from the threads of other requests
        self.models = CapacityLimiter(CONCURRENT_MODELS)
        self._count, self._count_per_key = count, max(1, count // 2)
        self._in_use: Counter[str | None] = Counter()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def slot(self, key_id: str | None) -> AsyncIterator[None]:
        """Wait for a free slot and hold it during the block. Enter it before the body is received.

        Raises Problem 503 if no slot is free within `WAIT_SECONDS`.
        """
        async with self._changed:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._changed.wait_for(lambda: self._has_free_slot(key_id))
            except TimeoutError:
                raise Problem(503, self._reason(key_id), headers={"Retry-After": RETRY_AFTER_SECONDS}) from None
            self._in_use[key_id] += 1
        try:
            yield
        finally:
            self._in_use[key_id] -= 1
            self._in_use += Counter()  # drops the keys whose count is 0
            await asyncio.shield(self._notify_waiting())

    def _has_free_slot(self, key_id: str | None) -> bool:
        return self._in_use.total() < self._count and self._in_use_by(key_id) < self._count_per_key

    def _in_use_by(self, key_id: str | None) -> int:
        return self._in_use[key_id] if key_id is not None else 0

    def _reason(self, key_id: str | None) -> str:
        if (in_use := self._in_use_by(key_id)) >= self._count_per_key:
            return f"this key already has {in_use} uploads in progress, the maximum for one key"
        return f"{self._count} uploads are in progress, the maximum"

    async def _notify_waiting(self) -> None:
        async with self._changed:
            self._changed.notify_all()
