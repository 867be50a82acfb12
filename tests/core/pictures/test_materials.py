"""The maps of a material as channels, and as files again."""

from typing import get_args

import numpy as np
import pytest
import torch

from core.pictures.images import Levels, write_picture
from core.pictures.materials import normal_channels, read_maps, split_maps, unit_normals
from core.pictures.orientations import turned
from core.pictures.training_set import measure_levels
from core.schemas.materials import MaterialMap
from core.schemas.orientations import Orientation

ALBEDO = MaterialMap(role="albedo", channels=3, bits=8)
NORMAL = MaterialMap(role="normal", channels=3, bits=16)
HEIGHT = MaterialMap(role="height", channels=1, bits=16)
MAPS = (ALBEDO, NORMAL, HEIGHT)
SIDE = 16


def samples(seed: int, channels: int, bits: int) -> torch.Tensor:
    drawn = np.random.default_rng(seed).integers(0, 2**bits, (channels, SIDE, SIDE))
    return torch.from_numpy(drawn.astype(f"u{bits // 8}"))


def test_maps_become_channels_and_the_same_files_again():
    files = [samples(1, 3, 8), samples(2, 1, 16)]
    maps = (ALBEDO, HEIGHT)
    levels = read_maps([write_picture(pixels) for pixels in files], maps, SIDE)
    assert levels.shape == (4, SIDE, SIDE)
    torch.testing.assert_close(levels[3], files[1][0].float() / 257)
    again = split_maps(levels, maps)
    assert [pixels.dtype for pixels in again] == [torch.uint8, torch.uint16]
    assert all(torch.equal(one.int(), other.int()) for one, other in zip(again, files, strict=True))


def test_normals_are_of_unit_length_when_read_smaller_and_when_written():
    read = read_maps([write_picture(samples(3, 3, 16))], (NORMAL,), SIDE // 2)
    drawn = 255 * torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    drawn[:, 0, 0] = 127.5  # no direction
    (written,) = split_maps(drawn, (NORMAL,))
    for levels, tolerance in ((read, 1e-5), (written.float() / 257, 1e-4)):
        length = (levels / 127.5 - 1).norm(dim=0)
        torch.testing.assert_close(length, torch.ones_like(length), rtol=0, atol=tolerance)
    assert written[:, 0, 0].tolist() == [32768, 32768, 65535]
    direction, found = ((levels.float() / 127.5 - 1)[:, 5, 5] for levels in (drawn, written.float() / 257))
    torch.testing.assert_close(found, direction / direction.norm(), rtol=0, atol=1e-4)


def normals_of(height: torch.Tensor) -> torch.Tensor:
    """Return the normals (3, S, S) of a periodic height (1, S, S) in float64: x right, y up."""
    right = (height.roll(-1, 2) - height.roll(1, 2)) / 2
    up = (height.roll(1, 1) - height.roll(-1, 1)) / 2
    return unit_normals((torch.cat([-right, -up, torch.ones_like(height)]) + 1) * 127.5)


@pytest.mark.parametrize("orientation", get_args(Orientation))
def test_turned_normals_are_those_of_the_turned_height(orientation):
    height = torch.randn(1, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    levels = Levels(torch.tensor([9.0, 100.0, 120.0, 200.0]), 1.3, shares=torch.tensor([2.0, 0.7, 0.7, 0.7]))
    maps = (HEIGHT, NORMAL)
    standardized = levels.standardize(torch.cat([height, normals_of(height)])[None])
    found = turned(standardized, orientation, normal_channels(maps, levels.mean, levels.gains))
    moved = turned(height, orientation)
    expected = torch.cat([moved, normals_of(moved)])
    torch.testing.assert_close(levels.to_grey_levels(found)[0], expected, rtol=0, atol=1e-4)


def test_each_map_is_stretched_to_the_contrast_and_keeps_the_proportions_of_its_channels():
    random = torch.Generator().manual_seed(1)
    strengths = torch.tensor([40.0, 20.0, 10.0, 2.0])[:, None, None]
    pictures = [128 + strengths * torch.randn(4, 64, 64, generator=random) for _ in range(2)]
    levels, std = measure_levels(pictures, 50.0, groups=(3, 1))
    standardized = levels.standardize(torch.stack(pictures))
    of_maps = [part.square().mean().sqrt().item() for part in standardized.split([3, 1], dim=1)]
    assert of_maps == pytest.approx([50.0, 50.0], rel=1e-4)
    assert std == pytest.approx(50.0, rel=1e-4)
    assert len({round(gain, 4) for gain in levels.gains[:3].tolist()}) == 1
    torch.testing.assert_close(levels.to_grey_levels(standardized), torch.stack(pictures))
    torch.testing.assert_close(levels.box.project(standardized), standardized, rtol=0, atol=1e-3)
