"""Turns and flips of pictures."""

from typing import get_args

import pytest
import torch

from core.pictures.orientations import turned, turned_at_random, turned_each
from core.schemas.learning import Orientation

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
