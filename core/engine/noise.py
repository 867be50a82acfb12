"""White noise, drawn by several generators, which may draw at once: a single one is a tenth of a step's time."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

STREAMS = 4  # whatever the threads: the same seed gives the same noise on every machine
_SEEDS = 2**32  # that the processor's generator tells apart
_AT_ONCE = ThreadPoolExecutor(STREAMS, thread_name_prefix="noise")  # its threads start when they are first needed


class Noise:
    """Z ~ N(0, 1), independent and identically distributed, whatever the layout of what is filled.

    On the processor `generator` seeds so many Mersenne Twisters, each of which fills a part of its own. Elsewhere the
    device's own counter-based generator is fast enough.
    """

    def __init__(self, generator: torch.Generator, streams: int = STREAMS) -> None:
        self._streams = [generator]
        if generator.device.type == "cpu":
            seeds = torch.randint(_SEEDS, (streams,), generator=generator).tolist()
            self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]

    def fill(self, flat: Tensor, strength: float = 1.0) -> None:
        """Draw anew every element of `flat` (K,), contiguous: `strength` times Z."""
        parts = flat.tensor_split(len(self._streams))
        if len(parts) == 1 or torch.get_num_threads() == 1:
            for part, stream in zip(parts, self._streams, strict=True):
                part.normal_(std=strength, generator=stream)
        else:
            list(_AT_ONCE.map(lambda part, by: part.normal_(std=strength, generator=by), parts, self._streams))


def noise_per_picture(generator: torch.Generator, count: int) -> list[Noise]:
    """Of `count` pictures, whichever are drawn at once. Few pictures have several streams each."""
    return [Noise(generator, 1 if count >= STREAMS else STREAMS) for _ in range(count)]
