"""`python -P -m api.datasets.decoder_process FD`: a process that decodes uploaded files for the API.

Decoding runs in a process of its own because a malicious file may crash it or exhaust its memory. The API starts it
anew (a fork would share the API's memory) and talks to it over the socket FD in JSON, so nothing that it sends is
unpickled. For each file it sends one message and, if the picture is accepted, the PNG that it encoded. Of a long
archive it decodes only what fits into TURN_SECONDS, then returns the rest, so that other uploads get their turn.
The operating system limits its memory, and the time for each picture. It exits when the API closes the socket.
"""

import json
import os
import resource
import signal
import sys
import time
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import BinaryIO

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the stacks of its threads would count as memory

from api.datasets.files import DecodeTask, PictureRefused, SkippedFile, UploadedFile
from api.datasets.limits import Limits
from api.datasets.map_reader import read_map
from api.datasets.picture_reader import read_picture
from api.datasets.zip_upload import unpack
from core.pictures.thumbnails import read_thumbnail

TURN_SECONDS = 1.0


def main(descriptor: int) -> None:
    pipe = Connection(descriptor)
    limits = Limits(**json.loads(pipe.recv_bytes()))
    _confine(limits)
    _send(pipe, {"ready": True})
    while True:
        try:
            task = DecodeTask(**json.loads(pipe.recv_bytes()))
        except EOFError:  # the API has ended or stopped this decoder
            return
        with os.fdopen(recv_handle(pipe), "rb") as file:
            _handle(pipe, task, file, limits)


def _confine(limits: Limits) -> None:
    """Limit this process's memory, and ignore Ctrl-C, which the API handles."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.decoder_memory_bytes, limits.decoder_memory_bytes))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _handle(pipe: Connection, task: DecodeTask, file: BinaryIO, limits: Limits) -> None:
    """Send the result of each picture, then {"end": ...}, or {"more": ...} if entries of an archive are left."""
    upload = UploadedFile(task.field, task.filename, b"")
    last: dict[str, object] = {"end": {"bytes_left": task.bytes_left}}
    _restart_timers(limits)
    try:
        if task.kind == "archive":
            last = _decode_entries(pipe, task, file, limits)
        elif task.kind == "thumbnail":
            _shrink(pipe, upload, file)
        else:
            file.seek(0)
            _decode(pipe, replace(upload, content=file.read(limits.max_file_bytes + 1)), limits, task)
    except PictureRefused as error:  # the archive, or an entry after which no other can be read
        _send_refusal(pipe, error)
    except MemoryError:
        _send_refusal(pipe, _out_of_memory(upload, limits))
    _send(pipe, last)


def _decode_entries(pipe: Connection, task: DecodeTask, archive: BinaryIO, limits: Limits) -> dict[str, object]:
    """Decode entries for TURN_SECONDS. Returns the last message, with how many bytes may still be unpacked."""
    ends_at, bytes_left = time.monotonic() + TURN_SECONDS, task.bytes_left

    def announce(upload: UploadedFile) -> None:
        _send(pipe, {"entry": _without_content(upload)})
        _restart_timers(limits)

    for item in unpack(archive, task, limits, announce):
        if isinstance(item, SkippedFile):
            _send(pipe, {"skipped": asdict(item)})
            continue
        _decode(pipe, item, limits, task)
        bytes_left -= len(item.content)
        if time.monotonic() >= ends_at:
            return {"more": {"bytes_left": bytes_left}}
    return {"end": {"bytes_left": bytes_left}}


def _decode(pipe: Connection, upload: UploadedFile, limits: Limits, task: DecodeTask) -> None:
    role = (task.roles or {}).get(upload.filename)
    try:
        picture = read_map(upload, limits, role) if role else read_picture(upload, limits)
    except PictureRefused as error:
        _send_refusal(pipe, error)
    except MemoryError:
        _send_refusal(pipe, _out_of_memory(upload, limits))
    else:
        _send(pipe, {"picture": {name: value for name, value in vars(picture).items() if name != "png"}})
        pipe.send_bytes(picture.png)
    _restart_timers(limits)  # for the next entry of an archive


def _shrink(pipe: Connection, upload: UploadedFile, file: BinaryIO) -> None:
    """Send the thumbnail of a stored picture. Raises PictureRefused."""
    try:
        webp = read_thumbnail(file)
    except MemoryError:
        raise
    except Exception as error:  # Pillow documents OSError for broken files, but raises almost anything
        raise PictureRefused(422, upload, f"a broken picture: {error}") from error
    _send(pipe, {"thumbnail": {}})
    pipe.send_bytes(webp)


def _send_refusal(pipe: Connection, error: PictureRefused) -> None:
    _send(pipe, {"refused": {"status": error.status, "reason": error.reason, "file": _without_content(error.file)}})


def _without_content(upload: UploadedFile) -> dict[str, str | None]:
    return {"field": upload.field, "filename": upload.filename, "archive": upload.archive}


def _out_of_memory(upload: UploadedFile, limits: Limits) -> PictureRefused:
    return PictureRefused(
        422, upload, f"too large: decoding it takes more than {limits.decoder_memory_bytes} bytes of memory"
    )


def _send(pipe: Connection, message: dict[str, object]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)  # the time until the API reads it does not count
    pipe.send_bytes(json.dumps(message).encode())


def _restart_timers(limits: Limits) -> None:
    """Give the next picture its time. After it the kernel kills this process, if the API has not done so before."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    processor_seconds = used.ru_utime + used.ru_stime + limits.decode_seconds + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(processor_seconds) + 1, hard))
    signal.setitimer(signal.ITIMER_REAL, 2 * limits.decode_seconds + 1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
