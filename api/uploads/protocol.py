"""What uvicorn's protocol lacks: a timeout for request headers, and a close that lets the client read the answer.

If a connection is closed while the client is still sending, the client's system discards what has arrived and reports a
reset. Clients that read only after they have sent everything, such as urllib, would then not see why a body was
refused. So the connection is first closed in one direction, and what the client sends is discarded for a while, as
nginx does (lingering_close). That holds for every refusal, with and without a key. Discarding costs a client as much
bandwidth as us, and no memory, so one limit serves all clients.
"""

import asyncio
from asyncio import TimerHandle
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

DRAIN_SECONDS, DRAIN_IDLE_SECONDS = 60.0, 5.0


class DrainingTransport:
    """A transport whose `close`, in the middle of a request's body, discards some of the rest before it closes.

    That ends after `drain_bytes`, DRAIN_SECONDS, or DRAIN_IDLE_SECONDS in which nothing arrives.
    """

    def __init__(self, transport: asyncio.Transport, protocol: H11Protocol, drain_bytes: int) -> None:
        self._transport, self._protocol, self._drain_bytes = transport, protocol, drain_bytes
        self._bytes_left: int | None = None
        self._timers: list[TimerHandle] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self.draining or self._transport.is_closing()

    @property
    def draining(self) -> bool:
        return self._bytes_left is not None

    def close(self) -> None:
        """Begin to drain if the body is incomplete; close at once if not, or if draining has already begun."""
        is_incomplete = self._protocol.conn.their_state is h11.SEND_BODY
        if self.is_closing() or not is_incomplete or not self._transport.can_write_eof():
            self.end()
            return
        self._bytes_left = self._drain_bytes
        self._transport.write_eof()
        self._transport.resume_reading()
        self._timers = [self._end_after(DRAIN_SECONDS), self._end_after(DRAIN_IDLE_SECONDS)]

    def discard(self, data: bytes) -> None:
        """Count what has arrived while draining, and close after the limit."""
        assert self._bytes_left is not None
        self._bytes_left -= len(data)
        self._timers.pop().cancel()
        self._timers.append(self._end_after(DRAIN_IDLE_SECONDS))
        if self._bytes_left <= 0:
            self.end()

    def end(self) -> None:
        while self._timers:
            self._timers.pop().cancel()
        self._transport.close()

    def _end_after(self, seconds: float) -> TimerHandle:
        return self._protocol.loop.call_later(seconds, self.end)


def protocol_with_header_timeout(seconds: float, drain_bytes: int) -> type[H11Protocol]:
    """Return a class for uvicorn's `http` option that closes connections whose headers take longer than `seconds`.

    Its connections drain; see DrainingTransport. The time counts from the opening of the connection, and for later
    requests from the first byte of their headers. A connection that is idle between two requests is left to uvicorn's
    keep-alive timeout.
    """

    class HeaderTimeoutProtocol(H11Protocol):
        _timer: TimerHandle | None = None
        _draining: DrainingTransport

        def connection_made(self, transport: Any) -> None:
            self._draining = DrainingTransport(transport, self, drain_bytes)
            super().connection_made(self._draining)  # type: ignore[arg-type]
            self._start_timer()

        def data_received(self, data: bytes) -> None:
            if self._draining.draining:
                self._draining.discard(data)
                return
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
            self._draining.end()
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
