"""A proxy in front of a service that loses, cuts or refuses what the test says."""

import http.client
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from support.waiting import PATIENCE_SECONDS


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Lost:
    """The request reaches the service, but its answer never the client."""


@dataclass(frozen=True)
class Cut:
    """The connection ends after `until` has been passed on."""

    until: bytes


@dataclass(frozen=True)
class Added:
    """`content` is passed on after `after`."""

    after: bytes
    content: bytes


@dataclass(frozen=True)
class Refused:
    """The request does not reach the service."""

    status: int = 503
    retry_after: str = "0"


class FaultyProxy:
    """Passes requests on to a local port. `faults` are those of the first requests, in turn; None is none."""

    def __init__(self, port: int, *faults: Lost | Cut | Added | Refused | None) -> None:
        self.seen: list[Seen] = []
        self._faults = list(faults)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                with suppress(ConnectionError):  # the client has gone
                    outer._handle(self, port)

            do_GET = do_POST = do_DELETE = do_PATCH = _handle  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _handle(self, handler: BaseHTTPRequestHandler, port: int) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        self.seen.append(Seen(handler.command, handler.path, headers))
        fault = self._faults.pop(0) if self._faults else None
        if isinstance(fault, Refused):
            _answer(handler, fault.status, {"Retry-After": fault.retry_after, "Content-Length": "0"})
            return
        handler.close_connection = True
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)) as upstream:
            upstream.request(handler.command, handler.path, body, headers)
            with upstream.getresponse() as response:
                if isinstance(fault, Lost):
                    response.read()
                    return
                kept = {name: value for name, value in response.getheaders() if name.lower() != "transfer-encoding"}
                _answer(handler, response.status, kept)
                _pass_on(response.read1, handler.wfile.write, fault)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def _answer(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def _pass_on(read: Callable[[int], bytes], write: Callable[[bytes], Any], fault: Cut | Added | None) -> None:
    passed = b""
    while chunk := read(1 << 16):
        passed += chunk
        mark = fault.until if isinstance(fault, Cut) else fault.after if fault is not None else None
        if mark is None or mark not in passed:
            write(chunk)
            continue
        left = len(passed) - passed.index(mark) - len(mark)  # of this chunk, beyond the mark
        write(chunk[: len(chunk) - left])
        if isinstance(fault, Cut):
            return
        assert fault is not None
        write(fault.content + chunk[len(chunk) - left :])
        fault = None
