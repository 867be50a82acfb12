"""Run a function on several chunks at once on the processor: one thread each, with its share of PyTorch's threads.

Each thread works through its chunk without waiting for the others after every operation. While one multiplies
matrices another adds or draws noise, which costs no time on processors whose threads share a matrix unit.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

SMALL = 1 << 19  # numbers: an operation on them takes some 0.1 ms, and to wake a thread half as long

# Of each thread. pool: its own, so that what runs on a pool may call again. blocks: how many of `threads` it is in.
_own = threading.local()


def parallel_map(
    function: Callable[..., Result], *arguments: Sequence[Any], threads_each: int | None = None
) -> list[Result]:
    """Return [function(*items) for items in zip(*arguments)], computed on several threads, without gradients.

    threads_each: threads that PyTorch uses on each of them; by default their share of its threads. A single item is
    computed on the calling thread. Raises what `function` raises.
    """
    function = torch.no_grad()(function)  # whether gradients are recorded is set per thread
    items, own_threads = list(zip(*arguments, strict=True)), torch.get_num_threads()
    workers = max(1, min(own_threads, len(items)))
    results: dict[int, Result] = {}
    waiting = iter(range(len(items)))

    def work() -> None:
        with threads(threads_each or own_threads // workers):
            for index in waiting:
                results[index] = function(*items[index])

    others: list[Future[None]] = []
    try:
        others += [_pool().submit(work) for _ in range(workers - 1)]
        work()  # the caller works too: a thread that sleeps meanwhile would be woken late
    finally:
        wait(others)
    for other in others:
        other.result()
    return [results[index] for index in range(len(items))]


def serial_if_small(values: Tensor) -> AbstractContextManager[None]:
    """Let PyTorch use one thread in this block, if it is about tensors so small that waking others costs more."""
    return threads(1) if values.numel() < SMALL else nullcontext()


def _pool() -> ThreadPoolExecutor:
    """Return this thread's pool. It starts a thread when all that it has are busy."""
    if not hasattr(_own, "pool"):
        _own.pool = ThreadPoolExecutor(os.cpu_count(), "parallel_map")
    pool: ThreadPoolExecutor = _own.pool
    return pool


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use `count` threads on this thread, and restore its number afterwards."""
    before = torch.get_num_threads()  # also lets a new thread copy the process's number, which must come first
    if count != before:
        torch.set_num_threads(count)
    _own.blocks = _blocks() + 1
    try:
        yield
    finally:
        _own.blocks -= 1
        torch.set_num_threads(before)


def set_threads(count: int) -> bool:
    """Let PyTorch use `count` threads on this thread from now on, and return True if it used another number.

    Within `threads` nothing changes: what is computed there may depend on its number.
    """
    if _blocks() or count == torch.get_num_threads():
        return False
    torch.set_num_threads(count)
    return True


def _blocks() -> int:
    return getattr(_own, "blocks", 0)
