"""A timeout for request headers, which uvicorn lacks: it waits for them without limit."""

from asyncio import TimerHandle
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def protocol_with_header_timeout(seconds: float) -> type[H11Protocol]:
    """Return a class for uvicorn's `http` option that closes connections whose headers take longer than `seconds`.

    The time counts from the opening of the connection, and for later requests from the first byte of their headers. A
    connection that is idle between two requests is left to uvicorn's keep-alive timeout.
    """

    class HeaderTimeoutProtocol(H11Protocol):
        _timer: TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._start_timer()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._awaits_headers():
                self._start_timer()
            else:
                self._cancel_timer()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._awaits_headers() and self.conn.trailing_data[0]:  # part of the next headers has already arrived
                self._start_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel_timer()
            super().connection_lost(exc)

        def _start_timer(self) -> None:
            """Start the timer unless it is running."""
            if self._timer is None:
                self._timer = self.loop.call_later(seconds, self._on_timeout)

        def _cancel_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _awaits_headers(self) -> bool:
            answered = self.cycle is None or self.cycle.response_complete
            return answered and self.conn.their_state is h11.IDLE

        def _on_timeout(self) -> None:
            self._timer = None
            if self._awaits_headers():
                self.transport.close()

    return HeaderTimeoutProtocol
