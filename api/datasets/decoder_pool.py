"""The API's side of its decoders: a few processes that open uploads for it, one started anew where one has died."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any

import structlog
from fastapi import UploadFile

from api.datasets.files import Picture, PictureRefused, Task, Upload
from api.datasets.limits import Limits
from api.errors import Problem

Decoded = Picture | PictureRefused

START_SECONDS = 60.0  # that a decoder may take to begin, which no picture is to pay for

log = structlog.get_logger()


class Decoders:
    """At most `count` decoders, at which uploads take turns: a long one holds up nobody else's."""

    def __init__(self, limits: Limits, count: int) -> None:
        self._limits = limits
        self._turns = _Turns(count)
        self._idle: list[_Decoder] = []
        self._all: set[_Decoder] = set()
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Have one ready for the first upload; it warms up by itself."""
        self._idle.append(self._begin())

    def decode(self, kind: str, field: str, filename: str, file: UploadFile) -> Iterator[Decoded]:
        """What became of the picture, or of each in the archive. A decoder that dies or hangs refuses the file."""
        task: Task | None = Task(kind, field, filename, left=self._limits.max_body_bytes)
        while task is not None:
            with self._turns.one():
                decoder = self._take()
                whole = False
                try:
                    task = yield from decoder.decode(task, _descriptor(file))
                    whole = decoder.alive
                finally:
                    self._give_back(decoder, whole)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Whoever waits for a decoder is told that it has died, and nobody gets another."""
        with self._lock:
            self._closed = True
            for decoder in self._all:
                decoder.end()
            while self._idle:
                self._idle.pop().bury()

    def _take(self) -> "_Decoder":
        with self._lock:
            while self._idle:
                if (decoder := self._idle.pop()).running:
                    return decoder
                self._all.discard(decoder)
                decoder.bury()
        return self._begin()

    def _begin(self) -> "_Decoder":
        with self._lock:
            if self._closed:
                raise stopping()
            decoder = _Decoder(self._limits)
            self._all.add(decoder)
            return decoder

    def _give_back(self, decoder: "_Decoder", whole: bool) -> None:
        with self._lock:
            if whole and not self._closed:
                self._idle.append(decoder)
                return
            self._all.discard(decoder)
        decoder.end()
        decoder.bury()


def stopping() -> Problem:
    """What an upload is told that would hold up the end of the service."""
    return Problem(503, "the service stops; nothing was stored", headers={"Retry-After": "10"})


class _Turns:
    """At most `count` at once, in the order in which they came."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[None]:
        mine = threading.Event()
        with self._lock:
            if self._free > 0:
                self._free -= 1
                mine.set()
            else:
                self._waiting.append(mine)
        mine.wait()
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:  # to whom it is handed, so that nobody comes between
                    self._waiting.popleft().set()
                else:
                    self._free += 1


class _Decoder:
    """One process, and the socket to it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.alive, self._ready = True, False
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "api.datasets.decoder_process", str(theirs.fileno())]
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
        self._pipe = Connection(ours.detach())
        self._pipe.send_bytes(json.dumps(asdict(limits)).encode())

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def decode(self, task: Task, descriptor: int) -> Generator[Decoded, None, Task | None]:
        """What it answers in this turn; gives what is left for the next."""
        upload, answers = Upload(task.field, task.filename, b""), 0
        try:
            self._pipe.send_bytes(json.dumps(asdict(task)).encode())
            send_handle(self._pipe, descriptor, self._process.pid)
            if not self._ready:
                self._hear(START_SECONDS)
                self._ready = True
            while (said := self._hear()).keys().isdisjoint(("end", "more")):
                yield self._decoded(said)
                answers += 1
            if "more" in said and answers > 0:
                return replace(task, begin=task.begin + answers, left=said["more"]["left"])
        except TimeoutError:
            self._lost()
            yield PictureRefused(422, upload, f"takes longer than {self._limits.decode_seconds:g} s to decode")
        except OSError:  # EOFError, a broken pipe: it has died of this
            self._lost()
            yield PictureRefused(
                422, upload, f"cannot be decoded: its decoder died of it (exit {self._process.returncode})"
            )
        return None

    def _hear(self, seconds: float | None = None) -> dict[str, Any]:
        """What it says within `seconds`, by default what a picture may take."""
        if not self._pipe.poll(self._limits.decode_seconds if seconds is None else seconds):
            raise TimeoutError
        said: dict[str, Any] = json.loads(self._heard())
        return said

    def _heard(self) -> bytes:
        try:
            return self._pipe.recv_bytes()
        except EOFError as error:
            raise ConnectionResetError from error

    def _decoded(self, said: dict[str, Any]) -> Decoded:
        if "picture" in said:
            return Picture(png=self._heard(), **said["picture"])
        refused = said["refused"]
        upload = Upload(content=b"", **refused["upload"])
        return PictureRefused(refused["status"], upload, refused["reason"])

    def _lost(self) -> None:
        self.alive = False
        self.end()
        self._process.wait()
        log.warning("decoder_lost", exit_code=self._process.returncode)

    def end(self) -> None:
        self._process.kill()

    def bury(self) -> None:
        self._process.wait()
        self._pipe.close()


def _descriptor(upload: UploadFile) -> int:
    """Of the upload's file on the disk, where a small one is put only now."""
    spool: Any = upload.file
    spool.rollover()
    spool.flush()
    descriptor: int = spool.fileno()
    return descriptor
