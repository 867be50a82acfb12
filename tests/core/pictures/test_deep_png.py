import numpy as np
import pytest
import torch

from core.pictures.deep_png import read_samples
from core.pictures.images import write_picture

SIDE = 16


def samples(seed: int, channels: int, bits: int) -> torch.Tensor:
    drawn = np.random.default_rng(seed).integers(0, 2**bits, (channels, SIDE, SIDE))
    return torch.from_numpy(drawn.astype(f"u{bits // 8}"))


@pytest.mark.parametrize("channels", [1, 3])
def test_files_of_16_bits_keep_every_bit(channels):
    pixels = samples(1, channels, 16)
    assert np.array_equal(read_samples(write_picture(pixels)), pixels.permute(1, 2, 0).numpy())
