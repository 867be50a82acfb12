"""Uploaded pictures read in the test's own process."""

from dataclasses import dataclass, replace

import numpy as np
from support import pictures

from api.datasets.files import UploadedFile
from api.datasets.limits import Limits
from api.datasets.picture_reader import read_picture
from api.settings import ApiSettings

LIMITS = Limits.of(ApiSettings())


@dataclass(frozen=True)
class ReadPicture:
    """A picture as it is stored. pixels: (H, W), or (H, W, C) with alpha or colours."""

    pixels: np.ndarray
    mode: str
    notes: list[str]

    @property
    def rgba(self) -> np.ndarray:
        """The pixels as (H, W, 4)."""
        grey = self.mode in ("L", "LA")
        levels = self.pixels.reshape(*self.pixels.shape[:2], -1)
        colours = np.repeat(levels[..., :1], 3, axis=2) if grey else levels[..., :3]
        opaque = np.full((*levels.shape[:2], 1), 255, np.uint8)
        return np.concatenate([colours, levels[..., -1:] if self.mode.endswith("A") else opaque], axis=2)


def read(content: bytes, **limits: int) -> ReadPicture:
    """Read a picture as the API's decoders do, by default settings but for `limits`. Raises PictureRefused."""
    found = read_picture(UploadedFile("images", "a", content), replace(LIMITS, **limits))
    return ReadPicture(pictures.pixels(found.png), found.mode, found.notes)
