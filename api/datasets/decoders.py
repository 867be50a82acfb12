"""The API's side of its decoders: a few processes that open uploads for it, one started anew where one has died."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any

import structlog
from anyio import CapacityLimiter
from fastapi import UploadFile

from api.datasets.files import Picture, PictureRefused, Upload
from api.datasets.limits import Limits

Decoded = Picture | PictureRefused

log = structlog.get_logger()


class Decoders:
    """At most `count` decoders. Whoever decodes holds a place of `places`, so nobody waits for one in a thread."""

    def __init__(self, limits: Limits, count: int) -> None:
        self._limits = limits
        self.places = CapacityLimiter(count)
        self._idle: list[_Decoder] = []
        self._all: set[_Decoder] = set()
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Have one ready for the first upload; it warms up by itself."""
        self._idle.append(self._begin())

    def decode(self, kind: str, field: str, filename: str, file: UploadFile) -> Iterator[Decoded]:
        """What became of the picture, or of each in the archive. A decoder that dies or hangs refuses the file."""
        decoder = self._take()
        whole = False
        try:
            yield from decoder.decode(kind, Upload(field, filename, b""), _descriptor(file))
            whole = decoder.alive
        finally:
            self._give_back(decoder, whole)

    def close(self) -> None:
        """Whoever waits for a decoder is told that it has died."""
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
                raise RuntimeError("the API is stopping, and decodes no more")
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


class _Decoder:
    """One process, and the socket to it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.alive = True
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "api.datasets.decoder", str(theirs.fileno())]
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
        self._pipe = Connection(ours.detach())
        self._pipe.send_bytes(json.dumps(asdict(limits)).encode())

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def decode(self, kind: str, upload: Upload, descriptor: int) -> Iterator[Decoded]:
        try:
            task = {"kind": kind, "field": upload.field, "filename": upload.filename}
            self._pipe.send_bytes(json.dumps(task).encode())
            send_handle(self._pipe, descriptor, self._process.pid)
            while "end" not in (said := self._hear()):
                yield self._decoded(said)
        except TimeoutError:
            self._lost()
            yield PictureRefused(422, upload, f"takes longer than {self._limits.decode_seconds:g} s to decode")
        except OSError:  # EOFError, a broken pipe: it has died of this
            self._lost()
            yield PictureRefused(
                422, upload, f"cannot be decoded: its decoder died of it (exit {self._process.returncode})"
            )

    def _hear(self) -> dict[str, Any]:
        if not self._pipe.poll(self._limits.decode_seconds):
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
