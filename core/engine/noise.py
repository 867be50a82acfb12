"""White noise from several generators that can draw at once: a single one takes a tenth of a step's time."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

STREAMS = 4  # independent of the number of threads, so that a seed gives the same noise on every machine
_SEEDS = 2**32  # the processor's generator uses 32 bits of a seed
_POOL = ThreadPoolExecutor(STREAMS, thread_name_prefix="noise")  # threads start at the first use


class Noise:
    """Draws Z ~ N(0, 1), independent and identically distributed.

    On the processor `generator` seeds `streams` Mersenne Twisters, each of which fills a part of the memory. On other
    devices the device's own counter-based generator is fast enough and is used alone.
    skipped: numbers of pictures whose noise is drawn and thrown away before and after each filling, on such devices.
    """

    def __init__(self, generator: torch.Generator, streams: int = STREAMS, skipped: tuple[int, int] = (0, 0)) -> None:
        self._streams, self._skipped = [generator], (0, 0)
        if generator.device.type == "cpu":
            seeds = torch.randint(_SEEDS, (streams,), generator=generator).tolist()
            self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        else:
            self._skipped = skipped

    def fill(self, flat: Tensor, std: float = 1.0) -> None:
        """Fill `flat` (K,), contiguous, with `std` times Z."""
        before, after = self._skipped
        self._skip(before, flat)
        self._fill(flat, std)
        self._skip(after, flat)

    def _skip(self, pictures: int, flat: Tensor) -> None:
        for _ in range(pictures):
            torch.empty_like(flat).normal_(generator=self._streams[0])

    def _fill(self, flat: Tensor, std: float) -> None:
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


@dataclass(frozen=True)
class Share:
    """The pictures that one of several processes computes: `count` of `whole`, from number `first` on."""

    first: int
    count: int
    whole: int

    @property
    def end(self) -> int:
        """The number of the first picture beyond the share."""
        return self.first + self.count


def noise_of_share(generator: torch.Generator, share: Share) -> list[Noise]:
    """Return the `Noise` of each picture of a share: what `noise_per_picture` gives it among the whole.

    The generator ends as if the noise of all pictures had been drawn.
    """
    streams = 1 if share.whole >= STREAMS else STREAMS
    last = share.count - 1
    found: list[Noise] = []
    for index in range(share.whole):
        place = index - share.first
        skipped = (share.first if place == 0 else 0, share.whole - share.end if place == last else 0)
        one = Noise(generator, streams, skipped)
        if 0 <= place < share.count:
            found.append(one)
    return found
