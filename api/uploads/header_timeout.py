"""Heads that do not come: uvicorn waits for them without end, we do not."""

from asyncio import TimerHandle
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def with_header_timeout(headers_seconds: float) -> type[H11Protocol]:
    """A protocol for uvicorn's `http`: a connection that is open so long without a request's whole head is closed."""

    class Impatient(H11Protocol):
        _impatience: TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._impatience = self.loop.call_later(headers_seconds, self._give_up)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            waiting = self._waits_for_a_head()
            if not waiting and self._impatience is not None:
                self._impatience.cancel()
                self._impatience = None
            elif waiting:
                self._begin_to_wait()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._waits_for_a_head() and self.conn.trailing_data[0]:  # the next head has begun meanwhile
                self._begin_to_wait()

        def _begin_to_wait(self) -> None:
            if self._impatience is None:
                self._impatience = self.loop.call_later(headers_seconds, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._impatience is not None:
                self._impatience.cancel()
            super().connection_lost(exc)

        def _waits_for_a_head(self) -> bool:
            answered = self.cycle is None or self.cycle.response_complete
            return answered and self.conn.their_state is h11.IDLE

        def _give_up(self) -> None:
            self._impatience = None
            if self._waits_for_a_head():
                self.transport.close()

    return Impatient
