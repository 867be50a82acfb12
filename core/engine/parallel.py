"""Pictures beside each other on the processor: each thread of ours takes some, with its share of PyTorch's threads.

No thread waits for the others after every operation, and while one multiplies matrices another adds or draws: on
processors whose threads share a matrix unit, that time costs nothing.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def each(do: Callable[..., Result], *parts: Sequence[Any]) -> list[Result]:
    """[do(one of each of `parts`)], without gradients; what one raises is raised."""
    do = torch.no_grad()(do)  # every thread has a switch of its own
    threads = torch.get_num_threads()
    beside = min(threads, len(parts[0]))
    if beside == 1:
        return [do(*one) for one in zip(*parts, strict=True)]
    return list(_pool(beside, threads // beside).map(do, *parts))


@functools.cache
def _pool(count: int, share: int) -> ThreadPoolExecutor:
    """`count` threads, on each of which PyTorch uses `share`."""
    pool, met, own = ThreadPoolExecutor(count, "beside"), Barrier(count), torch.get_num_threads()

    def begin(_: int) -> None:
        torch.get_num_threads()  # a thread takes over the number of all when it first asks: later than we say ours
        torch.set_num_threads(share)
        met.wait()  # else one thread might begin twice

    list(pool.map(begin, range(count)))
    torch.set_num_threads(own)  # what threads of others begin with is the number that was said last
    return pool
