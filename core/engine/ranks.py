"""The processes of one training: rank 0, which learns, and others that compute shares of its pictures.

Rank 0 starts the others, tells them by a pipe each what to compute, and hears from them when it is done. Pictures,
weights and gradients go by torch.distributed: over gloo on processors, over NCCL on GPUs. A transfer begins when all
ranks are ready for it, so that one may compute for much longer than another. All of them are processes of one machine,
and none listens on its network.
"""

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from core.engine.precision import use_gpu
from core.runtime.processes import die_with_parent

START_SECONDS = 120.0  # until a process that was started is left out; it imports torch first
TRANSFER_SECONDS = 60.0  # of one transfer between processes that are all ready for it
STALL_SECONDS = 600.0  # beyond rank 0's own share, until a process that does not answer is taken for lost
POLL_SECONDS = 0.1
GO_ON = "go on"
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"

Receive = Callable[[], Any]
Answer = Callable[[object], None]
Serve = Callable[[Receive, Answer, torch.device], None]  # see `started_ranks`

log = logging.getLogger(__name__)


class ProcessLost(RuntimeError):
    """A process that computes a share has ended or does not answer. `left`: how many processes are left."""

    def __init__(self, message: str, left: int) -> None:
        super().__init__(message)
        self.left = left


@dataclass(frozen=True)
class Membership:
    """What makes a process a rank of a group of `size` that meets in the file `store`."""

    rank: int
    size: int
    store: str


@dataclass(frozen=True)
class _Other:
    """Rank 0's handle on another rank."""

    process: SpawnProcess
    pipe: Connection

    def send(self, message: object) -> None:
        self.pipe.send_bytes(pickle.dumps(message))  # `Connection.send` would pass tensors as shared memory

    def receive(self) -> Any:
        return pickle.loads(self.pipe.recv_bytes())


class Ranks:
    """Rank 0's handle on the group. Its collective operations raise ProcessLost if another rank is lost."""

    def __init__(self, others: Sequence[_Other], check_interrupt: Callable[[], None], stall_seconds: float) -> None:
        self._others, self._check_interrupt, self._stall_seconds = others, check_interrupt, stall_seconds

    @property
    def size(self) -> int:
        """The number of processes, this one included."""
        return 1 + len(self._others)

    def request(self, message: object) -> None:
        """Send a message to all other ranks. Raises ProcessLost if one is lost."""
        for rank, other in enumerate(self._others, start=1):
            try:
                other.send(message)
            except OSError as error:
                raise self._lost(rank) from error

    def answers(self) -> list[Any]:
        """Wait until all other ranks have answered, let them go on, and return their answers.

        Calls `check_interrupt` meanwhile. Raises the error of a rank that failed.
        """
        found = [self._answer(rank, other) for rank, other in enumerate(self._others, start=1)]
        self.request(GO_ON)
        return found

    @contextmanager
    def transfer(self) -> Iterator[None]:
        """Within it, raise ProcessLost for what torch.distributed raises if a process is lost."""
        try:
            yield
        except RuntimeError as error:
            lost = (rank for rank, other in enumerate(self._others, start=1) if self._has_ended(other))
            raise self._lost(next(lost, None), str(error)) from error

    def _answer(self, rank: int, other: _Other) -> Any:
        until = time.monotonic() + self._stall_seconds
        while not other.pipe.poll(POLL_SECONDS):
            self._check_interrupt()
            if time.monotonic() > until:
                raise self._lost(rank, f"it made no step for {self._stall_seconds:g} s")
        try:
            answer = other.receive()
        except (EOFError, OSError) as error:
            raise self._lost(rank) from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _has_ended(self, other: _Other) -> bool:
        other.process.join(timeout=1)  # a connection closes a little before its process has ended
        return not other.process.is_alive()

    def _lost(self, rank: int | None, reason: str = "") -> ProcessLost:
        if rank is not None and self._has_ended(other := self._others[rank - 1]):
            reason = _how_it_ended(other.process.exitcode)
        which = f"one of {self.size} processes" if rank is None else f"process {rank + 1} of {self.size}"
        return ProcessLost(f"{which} was lost: {reason}", self.size - 1)


@contextmanager
def started_ranks(
    devices: Sequence[torch.device],
    serve: Serve,
    *,
    check_interrupt: Callable[[], None] = lambda: None,
    stall_seconds: float = STALL_SECONDS,
) -> Iterator[Ranks]:
    """Start a process for each of `devices` but the first, which is this process's, and form a group of them all.

    A process that cannot use its device is left out. `serve(receive, answer, device)` is called in each: a function
    that can be imported, which answers requests until `receive` or `answer` raises EOFError. `answer` returns once
    rank 0 and all others are ready too (`Ranks.answers`). The processes end with the context, or with this process.
    """
    context = multiprocessing.get_context("spawn")
    others: list[_Other] = []
    with tempfile.TemporaryDirectory(prefix="genconvnet-ranks-") as folder:
        try:
            for device in devices[1:]:
                pipe, theirs = context.Pipe()
                process = context.Process(
                    target=_main, args=(theirs, os.getpid(), device, serve), name="genconvnet-rank"
                )
                process.start()
                theirs.close()
                others.append(_Other(process, pipe))
            ready = [other for other in others if _is_ready(other, check_interrupt)]
            for rank, other in enumerate(ready, start=1):
                other.send(Membership(rank, 1 + len(ready), str(Path(folder) / "store")))
            ranks = Ranks(ready, check_interrupt, stall_seconds)
            if ready:
                with ranks.transfer():
                    _join(Membership(0, ranks.size, str(Path(folder) / "store")), devices[0])
            yield ranks
        except BaseException:
            for other in others:
                other.process.kill()  # it may be in the middle of a share, and keeps nothing
            raise
        finally:
            _leave([*others])


def _is_ready(other: _Other, check_interrupt: Callable[[], None]) -> bool:
    """Wait until a process has started. Return False if it cannot compute, and end it."""
    until = time.monotonic() + START_SECONDS
    reason = f"it did not start within {START_SECONDS:g} s"
    while time.monotonic() < until:
        check_interrupt()
        if not other.pipe.poll(POLL_SECONDS):
            continue
        try:
            answer = other.receive()
        except (EOFError, OSError):
            other.process.join()
            reason = _how_it_ended(other.process.exitcode)
            break
        if not isinstance(answer, Exception):
            return True
        reason = f"{type(answer).__name__}: {answer}"
        break
    log.warning("a process is left out of the training: %s", reason)
    other.process.kill()
    return False


def _leave(others: Sequence[_Other]) -> None:
    for other in others:
        other.pipe.close()  # an idle process ends when it reads the end of its pipe
    for other in others:
        other.process.join(timeout=5)
        other.process.kill()
        other.process.join()
        other.process.close()
    if dist.is_initialized():
        if dist.get_backend() == dist.Backend.NCCL:
            dist.distributed_c10d._get_default_group().abort()  # a kernel may wait for a process that has ended
        dist.destroy_process_group()


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"it ended with exit code {exit_code}"
    if exit_code == -signal.SIGKILL:
        return "it was killed, perhaps because memory ran out"
    return f"it was ended by {signal.Signals(-exit_code).name}"


def _join(member: Membership, device: torch.device) -> None:
    """Join the group, and wait for all its ranks."""
    # Without these names gloo and NCCL would listen on the network, to anyone.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
    os.environ.setdefault("NCCL_SOCKET_IFNAME", LOOPBACK)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=dist.FileStore(member.store, member.size),  # type: ignore[attr-defined]
        rank=member.rank,
        world_size=member.size,
        timeout=timedelta(seconds=TRANSFER_SECONDS),
        device_id=device if device.type == "cuda" else None,
    )


def _main(
    pipe: Connection,
    parent: int,
    device: torch.device,
    serve: Serve,
) -> None:
    """Serve as another rank until the pipe's other end is closed."""
    die_with_parent(parent=parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: rank 0 ends this process

    def receive() -> Any:
        return pickle.loads(pipe.recv_bytes())

    def send(message: object) -> None:
        pipe.send_bytes(pickle.dumps(message))

    def answer(message: object) -> None:
        send(message)
        word = receive()
        assert word == GO_ON

    try:
        _prepare(device)
        send(True)
    except Exception as error:  # drivers raise exceptions of any type; rank 0 says why this process is left out
        send(RuntimeError(f"{device}: {error}"))
        return
    try:
        _join(receive(), device)
        serve(receive, answer, device)
    except (EOFError, ConnectionError):  # rank 0 has closed the pipe, or has ended
        return
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _prepare(device: torch.device) -> None:
    """Make `device` this process's. Raises what its driver raises if it cannot be used."""
    torch.set_num_interop_threads(1)
    if device.type == "cuda":
        use_gpu(device)
    torch.zeros(1, device=device)
