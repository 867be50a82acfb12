"""The walk of a picture down to its attractor (Prop. 2), as pictures."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """A picture of a walk. step: the number of steps up to it; walked: the length of the path up to it."""

    step: int
    walked: float
    pixels: Tensor


class Walk:
    """Frames of a walk, from its first picture to its last, about equally far apart along the path.

    However many steps the walk has, at most 2 x `count` + 1 pictures are held.
    to_pixels: (C, H, W), in the model's grey levels -> the pixels to keep.
    """

    def __init__(self, count: int, to_pixels: Callable[[Tensor], Tensor]) -> None:
        self._count, self._to_pixels = count, to_pixels
        self._held: list[Frame] = []
        self._latest: Tensor | None = None
        self._step = self._moved_at = 0
        self._walked = self._spacing = 0.0

    def add(self, picture: Tensor) -> None:
        """Add the picture (C, H, W) at the start, or after the next step. It must not be changed afterwards."""
        if self._latest is not None:
            self._step += 1
            distance = (picture - self._latest).norm().item()
            if not distance:
                return
            self._walked += distance
            self._moved_at = self._step
        self._latest = picture
        if not self._held or self._walked >= self._held[-1].walked + self._spacing:
            self._held.append(self._latest_frame())
        if len(self._held) > 2 * self._count:
            self._thin()

    def frames(self) -> list[Frame]:
        """Return at most `count` frames, the first and the last picture among them; fewer if the walk was shorter."""
        if not self._held:
            return []
        found = self._held if self._held[-1].step == self._moved_at else [*self._held, self._latest_frame()]
        chosen = set()
        for number in range(self._count):
            wanted = self._walked * number / (self._count - 1)
            chosen.add(min(range(len(found)), key=lambda index: abs(found[index].walked - wanted)))
        return [found[index] for index in sorted(chosen)]

    def _latest_frame(self) -> Frame:
        assert self._latest is not None
        return Frame(self._moved_at, self._walked, self._to_pixels(self._latest))

    def _thin(self) -> None:
        """Hold only frames that are farther apart than now."""
        self._spacing = self._walked / self._count
        kept = self._held[:1]
        for frame in self._held[1:]:
            if frame.walked >= kept[-1].walked + self._spacing:
                kept.append(frame)
        self._held = kept
