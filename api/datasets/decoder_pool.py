"""The API's pool of decoder processes (see decoder_process.py); one that dies or hangs is replaced."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any, BinaryIO, Literal, cast

import structlog
from starlette.datastructures import UploadFile

from api.datasets.files import DecodedPicture, DecodeTask, PictureRefused, SkippedFile, Thumbnail, UploadedFile
from api.datasets.limits import Limits
from api.errors import Problem
from core.runtime.logs import log_lines
from core.schemas.materials import Role

DecodeResult = DecodedPicture | PictureRefused | SkippedFile
_Result = DecodeResult | Thumbnail

START_SECONDS = 60.0  # for a new decoder to become ready; not counted as a picture's time

log = structlog.get_logger()


class DecoderPool:
    """At most `size` decoders. Uploads take turns at them, so that a long one does not block the others."""

    def __init__(self, limits: Limits, size: int) -> None:
        self._limits = limits
        self._slots = _FifoSemaphore(size)
        self._idle: list[_Decoder] = []
        self._all: set[_Decoder] = set()
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Start one decoder, so that the first upload need not wait for it."""
        self._idle.append(self._spawn())

    def decode(
        self,
        kind: Literal["picture", "archive"],
        field: str,
        filename: str,
        file: UploadFile,
        bytes_left: int,
        roles: Mapping[str, Role] | None = None,
    ) -> Generator[DecodeResult, None, int]:
        """Yield the result of a picture, or of each picture in an archive, and what was skipped there.

        If the decoder dies or takes too long, the result is a PictureRefused. bytes_left: how many bytes may be
        unpacked. Returns how many still may be afterwards. roles: of the maps of a material, by file name.
        """
        task: DecodeTask | None = DecodeTask(kind, field, filename, bytes_left, roles=roles)
        while task is not None:
            with self._borrowed() as decoder:
                results = cast("Generator[DecodeResult, None, _Turn]", decoder.decode(task, _descriptor(file)))
                turn = yield from results
            task, bytes_left = turn.next_task, turn.bytes_left
        return bytes_left

    def thumbnail(self, file: BinaryIO, name: str) -> bytes:
        """Return the thumbnail of a stored picture. Raises Problem if it cannot be made."""
        with self._borrowed() as decoder:
            (result,) = decoder.decode(DecodeTask("thumbnail", "picture", name, 0), file.fileno())
        if isinstance(result, PictureRefused):
            raise Problem(result.status, f"the picture has no thumbnail: {result.reason}")
        assert isinstance(result, Thumbnail)
        return result.webp

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Kill all decoders. Uploads that wait for one fail, and later ones are refused."""
        with self._lock:
            self._closed = True
            for decoder in self._all:
                decoder.kill()
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def _borrowed(self) -> Iterator["_Decoder"]:
        """Yield a decoder when it is our turn. One that failed, or whose work was broken off, is not used again."""
        with self._slots.acquired():
            decoder = self._take()
            reusable = False
            try:
                yield decoder
                reusable = decoder.alive
            finally:
                self._put_back(decoder, reusable)

    def _take(self) -> "_Decoder":
        """Return an idle decoder, or a new one. Raises Problem if the pool is closed."""
        with self._lock:
            while self._idle:
                if (decoder := self._idle.pop()).running:
                    return decoder
                self._all.discard(decoder)
                decoder.close()
        return self._spawn()

    def _spawn(self) -> "_Decoder":
        with self._lock:
            if self._closed:
                raise service_stopping()
            decoder = _Decoder(self._limits)
            self._all.add(decoder)
            return decoder

    def _put_back(self, decoder: "_Decoder", reusable: bool) -> None:
        with self._lock:
            if reusable and not self._closed:
                self._idle.append(decoder)
                return
            self._all.discard(decoder)
        decoder.kill()
        decoder.close()


def service_stopping() -> Problem:
    """Return the 503 for an upload that is still being decoded when the service stops."""
    return Problem(503, "the service is stopping; nothing was stored", headers={"Retry-After": "10"})


class _FifoSemaphore:
    """A semaphore that serves waiting threads in the order in which they came."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def acquired(self) -> Iterator[None]:
        turn = threading.Event()
        with self._lock:
            if self._free > 0:
                self._free -= 1
                turn.set()
            else:
                self._waiting.append(turn)
        turn.wait()
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:  # pass the slot on; freeing it would let a newcomer take it first
                    self._waiting.popleft().set()
                else:
                    self._free += 1


@dataclass(frozen=True)
class _Turn:
    """What one turn at a decoder has left: the task for the next turn, and how many bytes may still be unpacked."""

    next_task: DecodeTask | None
    bytes_left: int


class _Decoder:
    """A decoder process and the socket to it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.alive, self._ready = True, False
        self._log_context: dict[str, Any] = {}
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "api.datasets.decoder_process", str(theirs.fileno())]
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=environment, stderr=subprocess.PIPE
            )
        assert self._process.stderr is not None
        log_lines(self._process.stderr, "decoder", lambda: self._log_context)  # libtiff and others write plain lines
        self._pipe = Connection(ours.detach())
        self._pipe.send_bytes(json.dumps(asdict(limits)).encode())

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def decode(self, task: DecodeTask, descriptor: int) -> Generator[_Result, None, _Turn]:
        """Yield the results of one turn, of which a failure of the decoder is one."""
        upload, results = UploadedFile(task.field, task.filename, b""), 0
        self._log_context = {**structlog.contextvars.get_contextvars(), "file": task.filename}
        try:
            self._pipe.send_bytes(json.dumps(asdict(task)).encode())
            send_handle(self._pipe, descriptor, self._process.pid)
            if not self._ready:
                self._receive(START_SECONDS)
                self._ready = True
            while (message := self._receive()).keys().isdisjoint(("end", "more")):
                if "entry" in message:  # what is named if the decoder dies of it
                    upload = UploadedFile(content=b"", **message["entry"])
                    continue
                yield self._result(message)
                results += "skipped" not in message
            if "more" in message and results > 0:
                left = message["more"]["bytes_left"]
                return _Turn(replace(task, first_entry=task.first_entry + results, bytes_left=left), left)
            if "end" in message:
                return _Turn(None, message["end"]["bytes_left"])
        except TimeoutError:
            self._reap()
            yield PictureRefused(422, upload, f"takes longer than {self._limits.decode_seconds:g} s to decode")
        except OSError:  # ConnectionResetError or a broken pipe: the decoder has died
            self._reap()
            yield PictureRefused(
                422, upload, f"cannot be decoded: its decoder died of it (exit {self._process.returncode})"
            )
        return _Turn(None, task.bytes_left)

    def _receive(self, seconds: float | None = None) -> dict[str, Any]:
        """Return the decoder's next message. Raises TimeoutError after `seconds`, by default those for a picture."""
        if not self._pipe.poll(self._limits.decode_seconds if seconds is None else seconds):
            raise TimeoutError
        message: dict[str, Any] = json.loads(self._receive_bytes())
        return message

    def _receive_bytes(self) -> bytes:
        try:
            return self._pipe.recv_bytes()
        except EOFError as error:
            raise ConnectionResetError from error

    def _result(self, message: dict[str, Any]) -> _Result:
        if "thumbnail" in message:
            return Thumbnail(self._receive_bytes())
        if "picture" in message:
            return DecodedPicture(png=self._receive_bytes(), **message["picture"])
        if "skipped" in message:
            return SkippedFile(**message["skipped"])
        refused = message["refused"]
        return PictureRefused(refused["status"], UploadedFile(content=b"", **refused["file"]), refused["reason"])

    def _reap(self) -> None:
        """Kill a decoder that has died or hangs, and wait for its exit code."""
        self.alive = False
        self.kill()
        self._process.wait()
        log.warning("decoder_lost", exit_code=self._process.returncode)

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Wait for the killed process and close the socket."""
        self._process.wait()
        self._pipe.close()


def _descriptor(upload: UploadFile) -> int:
    """Return the descriptor of the upload's file; a small upload, still in memory, is written to the disk first."""
    spool: Any = upload.file
    spool.rollover()
    spool.flush()
    descriptor: int = spool.fileno()
    return descriptor
