"""A receiver of webhooks: an HTTP server in a thread, whose answers the test chooses."""

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook
from support.waiting import PATIENCE_SECONDS


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """Return the payload. Raises if the signature is wrong."""
        payload: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return payload


class Receiver:
    """`answers` are the statuses, or functions that return one, of the answers in turn; the last one is repeated."""

    def __init__(
        self, *answers: int | Callable[[], int], location: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.received: list[Received] = []
        self._answers, self._location = list(answers) or [204], location
        self._changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                names = {name.lower(): value for name, value in self.headers.items()}
                status = outer._answer(Received(self.path, names, body))
                try:
                    self.send_response(status)
                    if outer._location is not None:
                        self.send_header("Location", outer._location)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:  # the sender has disconnected
                    return

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            # Handshakes happen in a request's own thread: a client that gives up in the middle blocks no other.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _answer(self, received: Received) -> int:
        with self._changed:
            self.received.append(received)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            self._changed.notify_all()
        return answer if isinstance(answer, int) else answer()

    def wait(self, count: int, seconds: float = PATIENCE_SECONDS) -> list[Received]:
        """Wait for `count` requests; return them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.received) >= count, seconds), self.received
            return self.received[:count]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def hang() -> int:
    time.sleep(3)
    return 204
