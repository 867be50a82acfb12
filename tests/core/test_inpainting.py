"""Painting what is unknown of a picture (core/inpainting.py)."""

import pytest
import torch
from nets import random_net

from core.inpainting import fill_in, inpaint
from core.langevin import langevin_step
from core.model import Architecture, ConvLayer, GenerativeConvNet


def generator(seed=5):
    return torch.Generator().manual_seed(seed)


def a_case(channels=1, size=(9, 11)):
    """A net, pictures, and about a third of them unknown."""
    net = random_net(Architecture((ConvLayer(4, 3), ConvLayer(2, 3)), channels, 2.0), seed=1)
    images = 3 * torch.randn(2, channels, *size, generator=generator(), dtype=torch.float64)
    return net, images, torch.rand(2, 1, *size, generator=generator()) > 0.3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("boundary", ["valid", "padded"])
def test_known_pixels_stay_exactly_and_all_others_move(channels, boundary):
    net, images, known = a_case(channels)
    garbled = torch.where(known, images, torch.full_like(images, float("nan")))
    painted = inpaint(net, garbled, known, steps=3, step_size=0.7, generator=generator(), boundary=boundary)
    assert torch.equal(painted[known.expand_as(images)], images[known.expand_as(images)])
    assert painted.isfinite().all(), "what `images` holds where it is unknown does not matter"
    assert (painted != fill_in(images, known))[~known.expand_as(images)].all()


def test_eq19_moves_the_unknown_pixels_and_the_known_are_put_back_after_each_step():
    net, images, known = a_case()
    told = []
    start = torch.randn(images.shape, generator=generator(8), dtype=torch.float64)
    painted = inpaint(
        net, images, known, steps=4, step_size=0.7, generator=generator(), start=start,
        after_step=lambda step, state: told.append((step, state)),
    )  # fmt: skip
    expected, noise = torch.where(known, images, start), generator()
    for _ in range(4):
        expected = torch.where(known, images, langevin_step(net, expected, 0.7, noise))
    assert torch.equal(painted, expected)
    assert [step for step, _ in told] == [1, 2, 3, 4]
    assert torch.equal(told[-1][1], painted)


def test_what_the_hook_raises_ends_the_run():
    net, images, known = a_case()
    with pytest.raises(KeyboardInterrupt):
        inpaint(net, images, known, steps=10**9, step_size=0.1, generator=generator(), after_step=stop)


def stop(step, _):
    if step == 3:
        raise KeyboardInterrupt


def test_the_unknown_is_drawn_from_its_conditional_density():
    """One linear filter with a high bias: p is the Gaussian N(σ² B, σ²) on one piece, so known pixels tell nothing."""
    net = GenerativeConvNet(Architecture((ConvLayer(1, 1),), channels=1, reference_std=2.0)).double()
    with torch.no_grad():
        net.weights[0].fill_(0.5)
        net.biases[0].fill_(100.0)
    known = torch.zeros(2000, 1, 1, 2, dtype=torch.bool)
    known[..., 0] = True
    images = torch.full((2000, 1, 1, 2), 7.0, dtype=torch.float64)
    step_size = 0.8
    drawn = inpaint(net, images, known, steps=100, step_size=step_size, generator=generator())[..., 1]
    assert drawn.mean().item() == pytest.approx(4 * 0.5, abs=0.2)
    assert drawn.var().item() == pytest.approx(4 / (1 - step_size**2 / 16), rel=0.1)


def test_a_start_of_the_surroundings_is_between_them():
    images = torch.zeros(1, 1, 8, 8)
    images[..., 4:] = 10.0
    known = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    known[..., 2:6, 2:6] = False
    filled = fill_in(images, known)
    assert torch.equal(filled[known], images[known])
    inside = filled[0, 0, 2:6, 2:6]
    assert (inside >= 0).all()
    assert (inside <= 10).all()
    assert (inside[:, 0] < 5).all()
    assert (inside[:, -1] > 5).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (16, 16), (13, 29)])
def test_one_known_pixel_fills_the_picture_and_none_leaves_it_at_its_mean(size):
    known = torch.zeros(2, 1, *size, dtype=torch.bool)
    known[0, 0, size[0] // 2, 0] = True
    images = torch.full((2, 3, *size), 6.0)
    filled = fill_in(images, known)
    assert torch.allclose(filled[0], torch.full((3, *size), 6.0))
    assert torch.equal(filled[1], torch.zeros(3, *size))
