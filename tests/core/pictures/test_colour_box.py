"""The box that chains may be confined to (core/pictures/colour_box.py)."""

import pytest
import torch

from core.pictures.colour_box import ColourBox
from core.pictures.images import Levels
from core.recipe.presets import PRESETS
from core.schemas.model_file import BrokenFile
from core.synthesis.trained_model import TrainedModel, load_model, save_model
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=3, channels=3):
    """Colours along a slanted line, and a little beside it."""
    line = torch.randn(count, 1, 9, 7, generator=seeded(), dtype=torch.float64) * 40
    shares = torch.tensor([1.0, -0.7, 0.4], dtype=torch.float64)[:channels, None, None]
    beside = torch.randn(count, channels, 9, 7, generator=seeded(1), dtype=torch.float64)
    return line * shares + beside


def box_of(images):
    colours = images.movedim(1, 0).flatten(1)
    return ColourBox.enclosing(images, colours @ colours.T)


def test_it_holds_its_pictures_and_is_far_narrower_than_their_channels_own_extremes():
    images = pictures()
    box = box_of(images)
    torch.testing.assert_close(box.project(images), images, rtol=0, atol=1e-9)
    widths = (box.high - box.low).flatten()
    own = images.amax(dim=(0, 2, 3)) - images.amin(dim=(0, 2, 3))
    assert widths.prod() < own.prod() / 100
    torch.testing.assert_close(box.axes @ box.axes.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_what_it_holds_is_the_nearest_picture_in_the_box():
    """Nearest: no corner, face or inner point of the box lies nearer; checked by many random points of it."""
    box, far = box_of(pictures()), 200 * torch.randn(1, 3, 4, 4, generator=seeded(2), dtype=torch.float64)
    held = box.project(far)
    assert torch.allclose(box.project(held), held, atol=1e-9)
    assert not torch.allclose(held, far)
    for seed in range(200):
        share = torch.rand(3, 4, 4, generator=seeded(seed), dtype=torch.float64)
        inside = torch.einsum("ac,ahw->chw", box.axes, box.low + share * (box.high - box.low))
        assert ((far[0] - inside).square().sum(dim=0) >= (far[0] - held[0]).square().sum(dim=0) - 1e-9).all()


def test_pixels_may_lie_along_any_number_of_further_dimensions():
    box, images = box_of(pictures()), 100 * torch.randn(2, 3, 4, 5, 6, generator=seeded(3), dtype=torch.float64)
    assert torch.allclose(box.project(images).flatten(2), box.project(images.flatten(2)[..., None])[..., 0])


def test_grey_pictures_have_one_axis():
    images = pictures(channels=1)
    box = box_of(images)
    assert box.axes.abs().item() == 1
    assert box.widened(2.0).high - box.high == 2.0


def a_model(colours):
    params = PRESETS["quick"].model_copy(update={"seed": 1})
    net = GenerativeConvNet(architecture_of(params, 3), seeded())
    return TrainedModel(net, Levels(torch.full((3,), 120.0), 1.5, colours), torch.zeros(1, 3, 96, 96), params)


def test_a_model_keeps_the_box_of_its_colours_and_one_from_before_there_were_any_has_black_and_white():
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
    ids=["empty", "skewed", "of other channels", "not a number"],
)
def test_a_model_whose_box_is_none_is_refused(broken):
    with pytest.raises(BrokenFile, match="are no box of 3 channels"):
        load_model(save_model(a_model(broken)))
