"""`python -P -m api.datasets.decoder_process FD`: the process that opens uploaded files, and may die of one.

It is started anew by the API (never forked from it) and answers on the socket FD: for each file a line of JSON and,
where the picture is accepted, our own PNG. Of a long archive it does a part at a time, so that others have their turn.
Nothing that it says is unpickled or run. The system bounds its memory, and the processor time and the time that each
picture may take; without the API it ends.
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

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # its threads' stacks would count as memory

from api.datasets.files import PictureRefused, Task, Upload
from api.datasets.limits import Limits
from api.datasets.picture_reader import accept
from api.datasets.zip_upload import unpack

TURN_SECONDS = 1.0


def main(descriptor: int) -> None:
    pipe = Connection(descriptor)
    limits = Limits(**json.loads(pipe.recv_bytes()))
    _confine(limits)
    _say(pipe, {"ready": True})
    while True:
        try:
            task = Task(**json.loads(pipe.recv_bytes()))
        except EOFError:  # the API is gone, or wants no more of us
            return
        with os.fdopen(recv_handle(pipe), "rb") as file:
            _answer_all(pipe, task, file, limits)


def _confine(limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.decoder_memory_bytes, limits.decoder_memory_bytes))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the API's affair


def _answer_all(pipe: Connection, task: Task, file: BinaryIO, limits: Limits) -> None:
    """For each upload an answer, and a last word."""
    whole = Upload(task.field, task.filename, b"")
    more = None
    _set_time(limits)
    try:
        if task.kind == "archive":
            more = _answer_some(pipe, task, file, limits)
        else:
            file.seek(0)
            _answer(pipe, replace(whole, content=file.read(limits.max_file_bytes + 1)), limits)
    except PictureRefused as error:  # the archive, or an entry on which nothing can follow
        _refuse(pipe, error)
    except MemoryError:
        _refuse(pipe, _too_much(whole, limits))
    _say(pipe, {"end": True} if more is None else {"more": {"left": more}})


def _answer_some(pipe: Connection, task: Task, archive: BinaryIO, limits: Limits) -> int | None:
    """As many of an archive's entries as a turn has time for: how many bytes may still be unpacked, None at its end."""
    ends_at, left = time.monotonic() + TURN_SECONDS, task.left
    for upload in unpack(archive, task, limits):
        _answer(pipe, upload, limits)
        left -= len(upload.content)
        if time.monotonic() >= ends_at:
            return left
    return None


def _answer(pipe: Connection, upload: Upload, limits: Limits) -> None:
    try:
        picture = accept(upload, limits)
    except PictureRefused as error:
        _refuse(pipe, error)
    except MemoryError:
        _refuse(pipe, _too_much(upload, limits))
    else:
        about = {name: value for name, value in vars(picture).items() if name != "png"}
        _say(pipe, {"picture": about})
        pipe.send_bytes(picture.png)
    _set_time(limits)  # for the next entry of an archive


def _refuse(pipe: Connection, error: PictureRefused) -> None:
    upload = {name: value for name, value in asdict(error.upload).items() if name != "content"}
    _say(pipe, {"refused": {"status": error.status, "reason": error.reason, "upload": upload}})


def _too_much(upload: Upload, limits: Limits) -> PictureRefused:
    return PictureRefused(422, upload, f"takes more than {limits.decoder_memory_bytes} bytes of memory to decode")


def _say(pipe: Connection, message: dict[str, object]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)  # how long the API takes to hear it is not our affair
    pipe.send_bytes(json.dumps(message).encode())


def _set_time(limits: Limits) -> None:
    """For what comes next; past it the system ends this process, should the API not have done so."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    processor_seconds = used.ru_utime + used.ru_stime + limits.decode_seconds + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(processor_seconds) + 1, hard))
    signal.setitimer(signal.ITIMER_REAL, 2 * limits.decode_seconds + 1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
