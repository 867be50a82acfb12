"""Turns and flips of pictures."""

import math
from typing import get_args

import pytest
import torch

from core.pictures.orientations import (
    NormalChannels,
    evenly_spread_angles,
    turned,
    turned_at_random,
    turned_by,
    turned_by_random_angles,
    turned_each,
)
from core.schemas.orientations import Orientation, turnable_side, turned_side

ALL = get_args(Orientation)
CORNERS = torch.tensor([[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ("0", [[1, 2], [3, 4]]),
        ("90", [[2, 4], [1, 3]]),
        ("180", [[4, 3], [2, 1]]),
        ("270", [[3, 1], [4, 2]]),
        ("flipped-0", [[2, 1], [4, 3]]),
        ("flipped-90", [[1, 3], [2, 4]]),
        ("flipped-180", [[3, 4], [1, 2]]),
        ("flipped-270", [[4, 2], [3, 1]]),
    ],
)
def test_a_picture_is_flipped_and_then_turned_anticlockwise(orientation, expected):
    assert turned(CORNERS, orientation).tolist() == expected


def test_each_picture_has_an_orientation_of_its_own():
    shown = turned_each(CORNERS.expand(8, 1, 2, 2), ALL)
    assert [one[0].tolist() for one in shown] == [turned(CORNERS, one).tolist() for one in ALL]


def test_a_single_orientation_draws_no_random_numbers():
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    images = torch.randn(3, 1, 4, 4)
    assert torch.equal(turned_at_random(images, ("0",), generator), images)
    assert torch.equal(turned_at_random(images, ("90",), generator), images.rot90(1, dims=(2, 3)))
    assert torch.equal(generator.get_state(), before)


def test_several_orientations_are_equally_likely():
    shown = turned_at_random(
        CORNERS.expand(4000, 1, 2, 2), ("0", "180", "flipped-90"), torch.Generator().manual_seed(1)
    )
    counts = [(shown == turned(CORNERS, one)).all(dim=(1, 2, 3)).sum().item() for one in ("0", "180", "flipped-90")]
    assert sum(counts) == 4000
    assert all(abs(count - 4000 / 3) < 150 for count in counts)  # five standard deviations


def noise(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [16, 17])
def test_right_angles_are_those_that_move_pixels(size):
    images = noise(1, 3, size, size)
    normals = NormalChannels(1, (3.0, -2.0))
    for quarters in range(4):
        found = turned_by(images, torch.tensor([quarters * math.pi / 2], dtype=torch.float64), size, normals)
        expected = turned(images, str(90 * quarters), normals)
        inside = (..., slice(2, -2), slice(2, -2))
        torch.testing.assert_close(found[inside], expected[inside], rtol=0, atol=1e-11)


def test_a_plane_turned_by_any_angle_is_the_turned_plane():
    """Up to a tenth of a pixel's slope, which is the bicubic kernel's own error on planes."""
    angles = evenly_spread_angles(7)
    size, side = turnable_side(12), 12

    def plane(right_by, up_by, side):
        steps = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
        return right_by * steps - up_by * steps[:, None]

    found = turned_by(plane(3.0, 5.0, size).expand(7, 1, size, size), angles, side)
    for angle, one in zip(angles.tolist(), found, strict=True):
        cos, sin = math.cos(angle), math.sin(angle)
        expected = plane(3 * cos - 5 * sin, 3 * sin + 5 * cos, side)
        torch.testing.assert_close(one[0], expected, rtol=0, atol=0.1 * math.hypot(3, 5))


def test_normals_turn_with_the_picture():
    normals = NormalChannels(0, (10.0, 20.0))
    tilted = torch.tensor([13.0, 24.0, 7.0], dtype=torch.float64)[:, None, None].expand(1, 3, 20, 20)  # 3 right, 4 up
    angle = torch.tensor([math.radians(30)], dtype=torch.float64)
    found = turned_by(tilted, angle, 8, normals)[0, :, 4, 4]
    cos, sin = math.cos(math.radians(30)), math.sin(math.radians(30))
    assert found.tolist() == pytest.approx([10 + 3 * cos - 4 * sin, 20 + 3 * sin + 4 * cos, 7.0])


@pytest.mark.parametrize("side", [2, 3, 7, 12, 33])
def test_the_middle_of_a_turnable_square_is_known_at_every_angle(side):
    size = turnable_side(side)
    angles = evenly_spread_angles(720)
    assert (size - side) % 2 == 0
    assert not turned_by(torch.zeros(720, 1, size, size), angles, side).isnan().any()
    smaller = torch.zeros(720, 1, size - 4, size - 4)
    assert turned_by(smaller, angles, side).isnan().any()
    assert turned_side(size) == side
    assert (size + 1 - turned_side(size + 1)) % 2 == 0


def test_what_is_unknown_is_turned_and_the_corners_beyond_the_picture_are_unknown():
    images = torch.zeros(1, 1, 41, 41)
    images[..., 20, 35] = torch.nan  # right of the middle
    unknown = turned_by(images, torch.tensor([math.pi / 4]), 41)[0, 0].isnan()
    up_right = 20 - round(15 / math.sqrt(2)), 20 + round(15 / math.sqrt(2))
    assert unknown[up_right]
    assert unknown[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert not unknown[12:29, 12:29].any()


def test_angles_are_spread_evenly_and_follow_from_the_generator():
    pole = torch.zeros(2000, 1, 25, 25)
    pole[..., 11:14, 16:19] = 1.0  # right of the middle
    found = turned_by_random_angles(pole, 15, torch.Generator().manual_seed(1))
    again = turned_by_random_angles(pole, 15, torch.Generator().manual_seed(1))
    assert torch.equal(found, again)
    steps = torch.arange(15.0) - 7
    right, up = (found[:, 0] * steps).sum((1, 2)), (found[:, 0] * -steps[:, None]).sum((1, 2))
    counts = torch.histc(torch.atan2(up, right), bins=8, min=-math.pi, max=math.pi)
    assert (counts - 250).abs().max() < 75  # five standard deviations
