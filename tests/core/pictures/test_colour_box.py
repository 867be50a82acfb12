"""A box around the colours of the training pictures (core/pictures/colour_box.py)."""

import pytest
import torch
from nets import seeded

from core.pictures.colour_box import ColourBox
from core.pictures.images import Levels
from core.recipe.presets import PRESETS
from core.schemas.model_file import BrokenFile
from core.synthesis.trained_model import TrainedModel, load_model, save_model
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet


def pictures(count=3, channels=3):
    """Return pictures whose colours lie near a slanted line."""
    line = torch.randn(count, 1, 9, 7, generator=seeded(), dtype=torch.float64) * 40
    shares = torch.tensor([1.0, -0.7, 0.4], dtype=torch.float64)[:channels, None, None]
    off_the_line = torch.randn(count, channels, 9, 7, generator=seeded(1), dtype=torch.float64)
    return line * shares + off_the_line


def box_of(images):
    colours = images.movedim(1, 0).flatten(1)
    return ColourBox.enclosing(images, colours @ colours.T)


def test_the_box_contains_its_pictures_and_is_far_smaller_than_the_channels_extremes():
    images = pictures()
    box = box_of(images)
    torch.testing.assert_close(box.project(images), images, rtol=0, atol=1e-9)
    widths = (box.high - box.low).flatten()
    own = images.amax(dim=(0, 2, 3)) - images.amin(dim=(0, 2, 3))
    assert widths.prod() < own.prod() / 100
    torch.testing.assert_close(box.axes @ box.axes.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_projected_pixel_is_the_nearest_point_of_the_box():
    """Checked against many random points of the box."""
    box, far = box_of(pictures()), 200 * torch.randn(1, 3, 4, 4, generator=seeded(2), dtype=torch.float64)
    projected = box.project(far)
    assert torch.allclose(box.project(projected), projected, atol=1e-9)
    assert not torch.allclose(projected, far)
    for seed in range(200):
        share = torch.rand(3, 4, 4, generator=seeded(seed), dtype=torch.float64)
        inside = torch.einsum("ac,ahw->chw", box.axes, box.low + share * (box.high - box.low))
        assert ((far[0] - inside).square().sum(dim=0) >= (far[0] - projected[0]).square().sum(dim=0) - 1e-9).all()


def test_pictures_may_have_any_number_of_further_dimensions():
    box, images = box_of(pictures()), 100 * torch.randn(2, 3, 4, 5, 6, generator=seeded(3), dtype=torch.float64)
    assert torch.allclose(box.project(images).flatten(2), box.project(images.flatten(2)[..., None])[..., 0])


@pytest.mark.parametrize("oblique", [True, False])
def test_a_box_of_blocks_projects_each_pixel_of_a_block(oblique):
    images = 100 * torch.randn(2, 3, 4, 5, 6, generator=seeded(3), dtype=torch.float64)
    box = box_of(pictures())
    box = box if oblique else ColourBox(box.low, box.high)
    blocks = images.flatten(1, 2)  # channel by channel, four pixels each
    torch.testing.assert_close(box.of_blocks(4).project(blocks).view_as(images), box.project(images))


def test_without_axes_each_channel_is_clamped_to_its_own_limits():
    images = 4 * torch.randn(5, 3, 6, 6, generator=seeded(), dtype=torch.float64)
    shift = torch.arange(3, dtype=torch.float64)[:, None, None]
    box = ColourBox(-1.0 + shift, 0.5 + 2 * shift)
    projected = box.project(images)
    for channel in range(3):
        low, high = box.low[channel].item(), box.high[channel].item()
        assert torch.equal(projected[:, channel], images[:, channel].clamp(low, high))
    assert torch.equal(box.project(projected), projected)


def test_a_widened_box_is_larger_at_both_ends():
    box = box_of(pictures())
    assert torch.equal(box.widened(0.25).low, box.low - 0.25)
    assert torch.equal(box.widened(0.25).high, box.high + 0.25)


def test_grey_pictures_have_one_axis():
    images = pictures(channels=1)
    box = box_of(images)
    assert box.axes.abs().item() == 1
    assert box.widened(2.0).high - box.high == 2.0


def a_model(colours):
    params = PRESETS["quick"].model_copy(update={"seed": 1})
    net = GenerativeConvNet(architecture_of(params, 3), seeded())
    return TrainedModel(net, Levels(torch.full((3,), 120.0), 1.5, colours), torch.zeros(1, 3, 96, 96), params)


def test_a_model_file_keeps_the_box_and_an_old_one_without_it_has_black_to_white():
    box = box_of(pictures().float())
    kept = load_model(save_model(a_model(box))).levels.colours
    for name in ("low", "high", "axes"):
        assert torch.equal(getattr(kept, name), getattr(box, name))
    old = load_model(save_model(a_model(None))).levels
    assert old.colours is None
    assert old.box.axes is None
    assert old.box.low.flatten().tolist() == [-180.0] * 3


@pytest.mark.parametrize(
    "broken",
    [
        ColourBox(torch.ones(3, 1, 1), torch.zeros(3, 1, 1), torch.eye(3)),
        ColourBox(torch.zeros(3, 1, 1), torch.ones(3, 1, 1), torch.ones(3, 3)),
        ColourBox(torch.zeros(1, 1, 1), torch.ones(1, 1, 1), torch.eye(1)),
        ColourBox(torch.full((3, 1, 1), float("nan")), torch.ones(3, 1, 1), torch.eye(3)),
    ],
    ids=["empty", "skewed", "wrong number of channels", "not a number"],
)
def test_a_model_file_with_an_invalid_box_is_refused(broken):
    with pytest.raises(BrokenFile, match="are not a box of 3 channels"):
        load_model(save_model(a_model(broken)))
