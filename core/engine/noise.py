"""White noise from several generators that can draw at once: a single one takes a tenth of a step's time."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

STREAMS = 4  # independent of the number of threads, so that a seed gives the same noise on every machine
_SEEDS = 2**32  # the processor's generator uses 32 bits of a seed
_POOL = ThreadPoolExecutor(STREAMS, thread_name_prefix="noise")  # threads start at the first use


class Noise:
    """Draws Z ~ N(0, 1), independent and identically distributed.

    On the processor `generator` seeds `streams` Mersenne Twisters, each of which fills a part of the memory. On other
    devices the device's own counter-based generator is fast enough and is used alone.
    """

    def __init__(self, generator: torch.Generator, streams: int = STREAMS) -> None:
        self._streams = [generator]
        if generator.device.type == "cpu":
            seeds = torch.randint(_SEEDS, (streams,), generator=generator).tolist()
            self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]

    def fill(self, flat: Tensor, std: float = 1.0) -> None:
        """Fill `flat` (K,), contiguous, with `std` times Z."""
        parts = flat.tensor_split(len(self._streams))
        if len(parts) == 1 or torch.get_num_threads() == 1:
            for part, stream in zip(parts, self._streams, strict=True):
                part.normal_(std=std, generator=stream)
        else:
            list(_POOL.map(lambda part, stream: part.normal_(std=std, generator=stream), parts, self._streams))


def noise_per_picture(generator: torch.Generator, count: int) -> list[Noise]:
    """Return a `Noise` for each of `count` pictures, so that their noise does not depend on how they are chunked.

    Each has one stream if there are at least STREAMS pictures, else STREAMS.
    """
    return [Noise(generator, 1 if count >= STREAMS else STREAMS) for _ in range(count)]
