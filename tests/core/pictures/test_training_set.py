import weakref
from dataclasses import replace

import pytest
import torch
from nets import seeded

from core.pictures.colour_box import ColourBox
from core.pictures.images import Levels, standardize
from core.pictures.known_pixels import NothingToLearn
from core.pictures.training_set import (
    DEFAULT_MAX_BATCH,
    PICTURES_PER_PATCH_BATCH,
    TrainingSet,
    cut_patches,
    measure_levels,
)


def numbered(count=3, channels=2, height=6, width=7):
    """Return pictures without equal values, so that a patch shows where it was cut."""
    size = count * channels * height * width
    return torch.arange(size, dtype=torch.float64).view(count, channels, height, width)


def place(patch, images):
    """Return picture, row and column of the patch's first value."""
    number, (_, channels, height, width) = int(patch[0, 0, 0]), images.shape
    return number // (channels * height * width), number // width % height, number % width


class Reader:
    """Pictures of 1 x 1 pixels that hold their own index; records which are read."""

    def __init__(self, count):
        self.asked = []
        box = ColourBox(torch.zeros(1, 1, 1), torch.full((1, 1, 1), float(count)))
        self.pictures = TrainingSet(count, 1, 1.0, box, torch.device("cpu"), self.read)

    def read(self, indices):
        self.asked.append(list(indices))
        return torch.tensor(self.asked[-1], dtype=torch.float64).view(-1, 1, 1, 1)


@pytest.mark.parametrize(("count", "size"), [(5, None), (5, 5), (5, 9), (DEFAULT_MAX_BATCH, None)])
def test_a_batch_of_all_pictures_keeps_their_order_and_draws_no_random_number(count, size):
    reader, generator = Reader(count), seeded()
    drawn = reader.pictures.draw(size, generator)
    assert drawn.flatten().tolist() == list(range(count))
    assert torch.equal(generator.get_state(), seeded().get_state())


@pytest.mark.parametrize(("size", "drawn"), [(1, 1), (7, 7), (99, 99), (None, DEFAULT_MAX_BATCH)])
def test_a_smaller_batch_holds_different_pictures_drawn_by_the_generator(size, drawn):
    reader, generator = Reader(100), seeded()
    first, second = (reader.pictures.draw(size, generator).flatten().tolist() for _ in range(2))
    assert len(set(first)) == len(first) == len(second) == drawn
    assert set(first) <= set(range(100))
    assert first != second
    assert Reader(100).pictures.draw(size, seeded()).flatten().tolist() == first
    assert reader.asked == [first, second]  # and no other was read


def test_every_picture_is_drawn_equally_often():
    reader, generator = Reader(10), seeded()
    for _ in range(1000):
        reader.pictures.draw(3, generator)
    times = torch.bincount(torch.tensor(reader.asked).flatten(), minlength=10)
    assert times.sum() == 3000
    assert (times - 300).abs().max() < 75  # five standard deviations


@pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 3), (5, 5)])
def test_every_patch_is_a_part_of_its_picture(height, width):
    images, side = numbered(), height
    patches = cut_patches(images, side, 200, seeded())
    assert patches.shape == (200, 2, height, width)
    places = set()
    for patch in patches:
        which, top, left = place(patch, images)
        assert torch.equal(patch, images[which, :, top : top + side, left : left + side])
        places.add((which, top, left))
    every = {(which, top, left) for which in range(3) for top in range(7 - side) for left in range(8 - side)}
    assert places <= every
    if len(every) < 40:  # then 200 reach each of them
        assert places == every


def test_a_patch_as_large_as_the_picture_is_the_picture():
    images = numbered(count=2, height=4, width=4)
    for patch in cut_patches(images, 4, 20, seeded()):
        assert any(torch.equal(patch, image) for image in images)


def test_patches_are_cut_out_of_a_few_pictures():
    images, asked = numbered(count=50), []

    def read(indices):
        asked.append(list(indices))
        return images[list(indices)]

    pictures = TrainingSet(50, 2, 1.0, TrainingSet.of(images).box, images.device, read)
    assert pictures.draw_patches(3, None, seeded()).shape == (DEFAULT_MAX_BATCH, 2, 3, 3)
    assert pictures.draw_patches(3, 5, seeded()).shape == (5, 2, 3, 3)
    assert [len(indices) for indices in asked] == [PICTURES_PER_PATCH_BATCH, 5]
    patches = pictures.draw_patches(3, 300, seeded(1))
    assert {place(patch, images)[0] for patch in patches} == set(asked[-1])


def test_a_set_in_memory_has_the_std_and_extremes_of_its_pictures():
    images = torch.randn(4, 3, 5, 5, generator=seeded(), dtype=torch.float64) * 20
    pictures = TrainingSet.of(images)
    assert (pictures.count, pictures.channels) == (4, 3)
    assert pictures.std == pytest.approx(images.square().mean().sqrt().item(), rel=1e-12)
    low, high = pictures.box.low, pictures.box.high
    assert pictures.box.axes is None
    assert low.shape == high.shape == (3, 1, 1)
    for channel in range(3):
        assert low[channel].item() == images[:, channel].min()
        assert high[channel].item() == images[:, channel].max()
    assert torch.equal(pictures.read([2, 0]), images[[2, 0]])


def test_the_box_is_that_of_the_levels_or_standardized_black_and_white():
    grey_levels = 90 + 20 * torch.randn(4, 3, 5, 5, generator=seeded())
    images, levels = standardize(grey_levels, contrast=50.0)
    assert TrainingSet.of(images, levels).box is levels.colours
    box = TrainingSet.of(images, replace(levels, colours=None)).box
    ends = levels.standardize(torch.stack([torch.zeros(3, 1, 1), torch.full((3, 1, 1), 255.0)]))
    torch.testing.assert_close(box.low, ends[0])
    torch.testing.assert_close(box.high, ends[1])
    assert (box.low < images).all()
    assert (images < box.high).all()


@pytest.mark.parametrize("contrast", [None, 50.0])
@pytest.mark.parametrize("spread", [0.3, 40.0])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("own_mean", [False, True])
def test_measuring_one_at_a_time_agrees_with_standardizing_all(own_mean, channels, spread, contrast):
    shift = torch.tensor([80.0, 120.0, 160.0])[:channels, None, None]
    images = shift + spread * torch.randn(9, channels, 8, 8, generator=seeded())
    images = images + spread * torch.arange(9.0)[:, None, None, None] / 9  # of different brightness
    expected_images, expected = standardize(images, contrast, own_mean)
    levels, std = measure_levels(images, contrast, own_mean)
    assert isinstance(levels, Levels)
    torch.testing.assert_close(levels.mean, expected.mean, rtol=1e-5, atol=1e-4)
    assert levels.gain == pytest.approx(expected.gain, rel=1e-5)
    assert std == pytest.approx(expected_images.square().mean().sqrt().item(), rel=1e-4, abs=1e-3)
    torch.testing.assert_close(levels.standardize(images, own_mean), expected_images, rtol=1e-4, atol=2e-2)
    means = expected_images.mean(dim=(2, 3) if own_mean else (0, 2, 3))
    torch.testing.assert_close(means, torch.zeros_like(means), rtol=0, atol=1e-2)
    for box in (levels.colours, expected.colours):
        torch.testing.assert_close(box.project(expected_images), expected_images, rtol=1e-4, atol=2e-2)
    widths = [(box.high - box.low).flatten().sort().values for box in (levels.colours, expected.colours)]
    torch.testing.assert_close(*widths, rtol=5e-2, atol=0.5)


@pytest.mark.parametrize("own_mean", [False, True])
@pytest.mark.parametrize("level", [0.0, 1 / 3, 255.0])
def test_pictures_of_one_colour_leave_nothing_to_learn(level, own_mean):
    flat = torch.tensor([level, 120.0, 160.1])[:, None, None].expand(3, 64, 64)
    with pytest.raises(NothingToLearn, match="one colour"):
        measure_levels([flat, flat], 50.0, own_mean)
    faint = flat.clone()
    faint[0, 0, 0] += 1.0  # one grey level in one pixel
    _, std = measure_levels([flat, faint], 50.0, own_mean)
    assert std > 0


def test_measuring_holds_few_pictures_at_a_time():
    alive, most = weakref.WeakSet(), []

    class OneByOne:
        def __iter__(self):
            for index in range(20):
                picture = torch.full((1, 4, 4), float(index))
                alive.add(picture)
                most.append(len(alive))
                yield picture
                del picture

    levels, _ = measure_levels(OneByOne())
    assert len(most) == 40
    assert max(most) <= 3
    assert levels.mean.item() == pytest.approx(9.5)
