"""Run a function on several chunks at once on the processor: one thread each, with its share of PyTorch's threads.

Each thread works through its chunk without waiting for the others after every operation. While one multiplies
matrices another adds or draws noise, which costs no time on processors whose threads share a matrix unit.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def parallel_map(function: Callable[..., Result], *arguments: Sequence[Any]) -> list[Result]:
    """Return [function(*items) for items in zip(*arguments)], computed on several threads, without gradients.

    Raises what `function` raises.
    """
    function = torch.no_grad()(function)  # whether gradients are recorded is set per thread
    threads = torch.get_num_threads()
    workers = min(threads, len(arguments[0]))
    if workers == 1:
        return [function(*items) for items in zip(*arguments, strict=True)]
    return list(_pool(workers, threads // workers).map(function, *arguments))


@functools.cache
def _pool(workers: int, threads_each: int) -> ThreadPoolExecutor:
    """Return a pool of `workers` threads, on each of which PyTorch uses `threads_each` threads."""
    pool, started, own = ThreadPoolExecutor(workers, "parallel_map"), Barrier(workers), torch.get_num_threads()

    def start(_: int) -> None:
        torch.get_num_threads()  # the first call on a thread copies the process's number, so it must precede the next
        torch.set_num_threads(threads_each)
        started.wait()  # keeps a thread from running this twice in the place of another

    list(pool.map(start, range(workers)))
    torch.set_num_threads(own)  # set_num_threads also set the number that new threads of the process start with
    return pool
