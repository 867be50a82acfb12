"""Pictures of more than 8 bits are converted some rows at a time, and scaled down on the way."""

import numpy as np
import pytest
from numpy.typing import NDArray

from api.datasets.formats.deep import BAND_ROWS, deep_picture

HEIGHT, WIDTH = 2 * BAND_ROWS + 21, 10
RNG = np.random.default_rng(3)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("reduction", [1, 2, 3])
def test_each_pixel_is_the_mean_of_those_it_stands_for(channels: int, reduction: int) -> None:
    samples = RNG.integers(0, 65536, (HEIGHT, WIDTH, channels), np.uint16)
    asked: list[tuple[int, int]] = []

    def rows(top: int, bottom: int) -> NDArray[np.uint16]:
        asked.append((top, bottom))
        return samples[top:bottom]

    picture = deep_picture((WIDTH, HEIGHT), 1 if channels < 3 else 3, None, rows, reduction)
    assert picture.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    assert picture.size == (-(-WIDTH // reduction), -(-HEIGHT // reduction))
    assert [top for top, _ in asked] == list(range(0, HEIGHT, BAND_ROWS * reduction))
    assert asked[-1][1] == HEIGHT
    if channels in (1, 3):  # with alpha, Pillow weighs colours by it
        height, width = HEIGHT // reduction, WIDTH // reduction  # blocks that are whole
        whole = samples[: height * reduction, : width * reduction].astype(float) / 257
        means = whole.reshape(height, reduction, width, reduction, channels).mean(axis=(1, 3))
        found = np.asarray(picture).reshape(*picture.size[::-1], channels)
        assert np.abs(found[:height, :width] - means).max() <= 1.01
