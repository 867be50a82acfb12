"""Run a function on several chunks at once on the processor: one thread each, with its share of PyTorch's threads.

Each thread works through its chunk without waiting for the others after every operation. While one multiplies
matrices another adds or draws noise, which costs no time on processors whose threads share a matrix unit.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Barrier
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

SMALL = 1 << 19  # numbers: an operation on them takes some 0.1 ms, and to wake a thread half as long

_own = threading.local()  # pools: each thread that calls has its own, so that calls on a pool's threads may call again


def parallel_map(
    function: Callable[..., Result], *arguments: Sequence[Any], threads_each: int | None = None
) -> list[Result]:
    """Return [function(*items) for items in zip(*arguments)], computed on several threads, without gradients.

    threads_each: threads that PyTorch uses on each of them; by default their share of its threads. A single item is
    computed on the calling thread, with all of its threads. Raises what `function` raises.
    """
    function = torch.no_grad()(function)  # whether gradients are recorded is set per thread
    items, own_threads = list(zip(*arguments, strict=True)), torch.get_num_threads()
    workers = min(own_threads, len(items))
    if workers <= 1:
        return [function(*item) for item in items]
    threads_each = threads_each or own_threads // workers
    results: dict[int, Result] = {}
    waiting = iter(range(len(items)))

    def work() -> None:
        for index in waiting:
            results[index] = function(*items[index])

    # The caller works too: a thread that sleeps meanwhile would be woken late.
    others = [_pool(workers - 1, threads_each).submit(work) for _ in range(workers - 1)]
    try:
        with threads(threads_each):
            work()
    finally:
        wait(others)
    for other in others:
        other.result()
    return [results[index] for index in range(len(items))]


def serial_if_small(values: Tensor) -> AbstractContextManager[None]:
    """Let PyTorch use one thread in this block, if it is about tensors so small that waking others costs more."""
    return threads(1) if values.numel() < SMALL else nullcontext()


def _pool(workers: int, threads_each: int) -> ThreadPoolExecutor:
    """Return this thread's pool of `workers` threads, on each of which PyTorch uses `threads_each` threads."""
    pools: dict[tuple[int, int], ThreadPoolExecutor] = _own.__dict__.setdefault("pools", {})
    if (found := pools.get((workers, threads_each))) is not None:
        return found
    pool, started = ThreadPoolExecutor(workers, "parallel_map"), Barrier(workers)

    def start(_: int) -> None:
        torch.get_num_threads()  # the first call on a thread copies the process's number, so it must precede the next
        torch.set_num_threads(threads_each)
        started.wait()  # keeps a thread from running this twice in the place of another

    with threads(torch.get_num_threads()):  # set_num_threads also sets what new threads of the process start with
        list(pool.map(start, range(workers)))
    pools[workers, threads_each] = pool
    return pool


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use `count` threads on this thread, and restore its number afterwards."""
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
