"""How many uploads come in at once: each holds files, memory and a thread until it is answered."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter

from api.errors import Problem

MODELS = 2  # that are read at once
WAIT_SECONDS = 20.0
RETRY_AFTER_SECONDS = "10"


class UploadLimiter:
    """At most `count` uploads, of one key half as many: who sends slowly does not hold all of them."""

    def __init__(self, count: int) -> None:
        self.threads = CapacityLimiter(count)  # that none but uploads wait in
        self.models = CapacityLimiter(MODELS)
        self._count, self._of_one_key = count, max(1, count // 2)
        self._held: Counter[str | None] = Counter()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def slot(self, key_id: str | None) -> AsyncIterator[None]:
        """A place, waited for while the body is not yet received. Raises Problem (503) where none comes free."""
        async with self._changed:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._changed.wait_for(lambda: self._has_room(key_id))
            except TimeoutError:
                raise Problem(503, self._reason(key_id), headers={"Retry-After": RETRY_AFTER_SECONDS}) from None
            self._held[key_id] += 1
        try:
            yield
        finally:
            self._held[key_id] -= 1
            self._held += Counter()  # without those that hold none
            await asyncio.shield(self._tell())

    def _has_room(self, key_id: str | None) -> bool:
        return self._held.total() < self._count and self._mine(key_id) < self._of_one_key

    def _mine(self, key_id: str | None) -> int:
        return self._held[key_id] if key_id is not None else 0

    def _reason(self, key_id: str | None) -> str:
        if (mine := self._mine(key_id)) >= self._of_one_key:
            return f"this key has {mine} uploads under way, as many as one may have at once"
        return f"{self._count} uploads are under way, as many as there may be at once"

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
