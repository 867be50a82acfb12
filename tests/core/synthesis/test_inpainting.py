"""Painting the unknown pixels of pictures (core/synthesis/inpainting.py)."""

import pytest
import torch
from nets import random_net

from core.engine.dynamics import Dynamics, random_phase
from core.recipe.fine_detail import filtered
from core.synthesis import inpainting
from core.synthesis.inpainting import (
    inpaint,
    inside_seam,
    share_of_photograph,
    smooth_fill,
    start_across_seam,
    start_from_chains,
)
from core.theory.langevin import langevin_step
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet


def generator(seed=5):
    return torch.Generator().manual_seed(seed)


def a_case(channels=1, size=(9, 11)):
    """Return a net, pictures, and which of their pixels are known, about two thirds."""
    net = random_net(Architecture((ConvLayer(4, 3), ConvLayer(2, 3)), channels, 2.0), seed=1)
    images = 3 * torch.randn(2, channels, *size, generator=generator(), dtype=torch.float64)
    return net, images, torch.rand(2, 1, *size, generator=generator()) > 0.3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("boundary", ["valid", "padded"])
def test_known_pixels_stay_and_all_others_move(channels, boundary):
    net, images, known = a_case(channels)
    garbled = torch.where(known, images, torch.full_like(images, float("nan")))
    painted = inpaint(net, garbled, known, steps=3, dynamics=Dynamics(0.7, boundary), generator=generator())
    assert torch.equal(painted[known.expand_as(images)], images[known.expand_as(images)])
    assert painted.isfinite().all(), "the unknown pixels of `images` are not used"
    assert (painted != smooth_fill(images, known))[~known.expand_as(images)].all()


def test_eq19_moves_the_unknown_pixels_and_the_known_are_put_back_after_each_step():
    net, images, known = a_case()
    calls = []
    start = torch.randn(images.shape, generator=generator(8), dtype=torch.float64)
    painted = inpaint(
        net,
        images,
        known,
        steps=4,
        dynamics=Dynamics(0.7),
        generator=generator(),
        start=start,
        after_step=calls.append,
    )
    expected, noise = torch.where(known, images, start), generator()
    for _ in range(4):
        expected = torch.where(known, images, langevin_step(net, expected, 0.7, noise))
    assert torch.equal(painted, expected)
    assert calls == [1, 2, 3, 4]


def test_what_is_painted_has_the_fine_detail_of_the_model_and_what_is_known_stays():
    net, images, known = a_case(size=(16, 16))
    kernel = torch.randn(5, 5, generator=generator(2), dtype=torch.float64)

    def painted(**given):
        return inpaint(net, images, known, steps=2, dynamics=Dynamics(0.7, "torus"), generator=generator(), **given)

    pasted = filtered(painted(noise_std=0.4), kernel)
    assert torch.equal(painted(detail_filter=kernel), torch.where(known, images, filtered(painted(), kernel)))
    found = painted(noise_std=0.4, detail_filter=kernel)
    assert torch.equal(found[known.expand_as(images)], images[known.expand_as(images)])
    assert (found - pasted)[~known.expand_as(images)].abs().max() > 0.01, "known pixels around are denoised"


def test_an_exception_of_the_callback_ends_the_run():
    net, images, known = a_case()
    with pytest.raises(KeyboardInterrupt):
        inpaint(net, images, known, steps=10**9, dynamics=Dynamics(0.1), generator=generator(), after_step=stop)


def stop(step):
    if step == 3:
        raise KeyboardInterrupt


def test_unknown_pixels_are_drawn_from_their_conditional_density():
    """One linear filter with a high bias: p is the Gaussian N(σ² B, σ²) on one piece whatever is known."""
    net = GenerativeConvNet(Architecture((ConvLayer(1, 1),), channels=1, reference_std=2.0)).double()
    with torch.no_grad():
        net.weights[0].fill_(0.5)
        net.biases[0].fill_(100.0)
    known = torch.zeros(2000, 1, 1, 2, dtype=torch.bool)
    known[..., 0] = True
    images = torch.full((2000, 1, 1, 2), 7.0, dtype=torch.float64)
    step_size = 0.8
    drawn = inpaint(net, images, known, steps=100, dynamics=Dynamics(step_size), generator=generator())[..., 1]
    assert drawn.mean().item() == pytest.approx(4 * 0.5, abs=0.2)
    assert drawn.var().item() == pytest.approx(4 / (1 - step_size**2 / 16), rel=0.1)


def test_a_smooth_fill_lies_between_the_surrounding_values():
    images = torch.zeros(1, 1, 8, 8)
    images[..., 4:] = 10.0
    known = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    known[..., 2:6, 2:6] = False
    filled = smooth_fill(images, known)
    assert torch.equal(filled[known], images[known])
    inside = filled[0, 0, 2:6, 2:6]
    assert (inside >= 0).all()
    assert (inside <= 10).all()
    assert (inside[:, 0] < 5).all()
    assert (inside[:, -1] > 5).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (16, 16), (13, 29)])
def test_one_known_pixel_fills_the_picture_and_none_leaves_it_zero(size):
    known = torch.zeros(2, 1, *size, dtype=torch.bool)
    known[0, 0, size[0] // 2, 0] = True
    images = torch.full((2, 3, *size), 6.0)
    filled = smooth_fill(images, known)
    assert torch.allclose(filled[0], torch.full((3, *size), 6.0))
    assert torch.equal(filled[1], torch.zeros(3, *size))


def with_hole(height, width, rows, columns):
    known = torch.ones(1, 1, height, width, dtype=torch.bool)
    known[..., rows, columns] = False
    return known


@pytest.mark.parametrize("shift", [(0, 0), (3, 6), (21, 12)])
def test_a_picture_cut_out_of_a_chain_is_continued_exactly(monkeypatch, shift):
    monkeypatch.setattr(inpainting, "BEST_FITS", 1)
    chains = torch.randn(3, 2, 24, 24, generator=generator())
    picture = chains[1:2].roll(shift, (2, 3)).repeat(1, 1, 2, 2)[..., :30, :40]
    known = with_hole(30, 40, slice(5, 14), slice(20, 31))
    started = start_from_chains(picture, known, chains, generator(), stride=3)
    assert torch.equal(started, picture)


def test_patches_keep_the_stride_phase_and_leave_known_pixels():
    """A chain's pixels hold their own index."""
    stride, size = 3, 24
    rows, columns = torch.arange(size)[:, None], torch.arange(size)[None, :]
    chains = torch.stack([(m * size * size + rows * size + columns).double()[None] for m in range(2)])
    images = torch.full((2, 1, 40, 50), -1.0, dtype=torch.float64)
    known = with_hole(40, 50, slice(1, 40), slice(7, 50)).repeat(2, 1, 1, 1)
    known[1] = True
    started = start_from_chains(images, known, chains, generator(), stride)
    assert (started[known] == -1).all()
    down, across = torch.meshgrid(torch.arange(40), torch.arange(50), indexing="ij")
    origin = started[0, 0].long()
    hole = ~known[0, 0]
    assert (origin[hole] >= 0).all()
    assert torch.equal((origin % size**2 // size - down)[hole] % stride, torch.zeros_like(origin[hole]))
    assert torch.equal((origin % size - across)[hole] % stride, torch.zeros_like(origin[hole]))


def test_without_a_stride_chains_keep_their_position_and_a_best_fit_is_drawn(monkeypatch):
    chains = torch.randn(9, 1, 12, 12, generator=generator())
    known = with_hole(12, 12, slice(2, 9), slice(3, 12))
    started = start_from_chains(chains[4:5] + 0.01, known, chains, generator())
    origins = [m for m in range(9) if torch.equal(started[~known], chains[m : m + 1][~known])]
    errors = ((chains - chains[4]).square() * known[0]).sum(dim=(1, 2, 3))
    assert origins[0] in errors.argsort()[: inpainting.BEST_FITS]
    monkeypatch.setattr(inpainting, "BEST_FITS", 1)
    started = start_from_chains(chains[4:5] + 0.01, known, chains, generator())
    assert torch.equal(started[~known], chains[4:5][~known])


def test_across_a_seam_begin_patches_of_the_pictures_inside_and_elsewhere_the_picture_itself():
    """A picture's pixels hold their own index."""
    height, width, band = 40, 50, 12
    images = torch.arange(2.0 * height * width).view(2, 1, height, width)
    started = start_across_seam(images, band, generator())
    near = ~inside_seam(height, width, band // 4)
    assert torch.equal(started[..., ~near], images[..., ~near])
    rolled, moved = (one.roll((height // 2, width // 2), (2, 3)) for one in (started, images))
    assert (rolled != moved)[..., near.roll((height // 2, width // 2), (0, 1))].float().mean() > 0.9
    right = (rolled[..., 1:] - rolled[..., :-1]) == 1
    assert right[..., width // 2 - 1].float().mean() > 0.7, "a patch crosses the seam"
    origin = (rolled.long() % width)[..., width // 2 - band // 4 : width // 2 + band // 4]
    runs = (origin[..., 1:] - origin[..., :-1])[..., 5:30, :]
    assert (runs != 1 - width).all(), "no patch was taken across the picture's edge"
    noisy = start_across_seam(images, band, generator(), noise_std=5.0)
    assert (noisy - started).std() == pytest.approx(5.0, rel=0.1)


def test_the_photograph_is_faded_in_towards_the_inner_edge_of_a_seams_band():
    share = share_of_photograph(50, 60, 12)
    assert torch.equal(share == 1, inside_seam(50, 60, 12))
    assert torch.equal(share == 0, ~inside_seam(50, 60, 3))
    assert share[25, 2:13].tolist() == pytest.approx([step / 10 for step in range(11)])
    assert torch.equal(share, share.flip(0))
    assert torch.equal(share, share.flip(1))


def test_the_best_fits_lie_apart():
    errors = torch.tensor([[[1.0, 2.0, 9.0, 9.0], [3.0, 9.0, 9.0, 8.0]], [[9.0, 9.0, 9.0, 9.0], [9.0, 9.0, 4.0, 9.0]]])
    assert inpainting._best_fits(errors, apart=1) == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 1, 2)]
    assert inpainting._best_fits(errors, apart=2) == [(0, 0, 0), (1, 1, 2), (0, 1, 3), (1, 0, 0)]
    assert inpainting._best_fits(errors[:1, :, :2], apart=2) == [(0, 0, 0)]


def test_squared_errors_are_summed_over_the_known_pixels():
    chains = torch.randn(2, 3, 7, 7, generator=generator(), dtype=torch.float64)
    target = torch.randn(3, 5, 4, generator=generator(1), dtype=torch.float64)
    done = torch.rand(1, 5, 4, generator=generator(2)) > 0.4
    found = inpainting._squared_errors(chains, target, done)
    constant = (target.square() * done).sum()
    for chain, down, across in ((0, 0, 0), (1, 3, 2), (1, 6, 6)):
        patch = chains[chain].roll((-down, -across), (1, 2))[:, :5, :4]
        assert found[chain, down, across].item() + constant == pytest.approx(((patch - target).square() * done).sum())


def test_chains_of_a_few_pixels_suffice():
    known = with_hole(16, 16, slice(0, 16), slice(4, 16))
    chains = torch.randn(1, 1, 2, 2, generator=generator())
    assert start_from_chains(torch.zeros(1, 1, 16, 16), known, chains, generator(), stride=2).isfinite().all()
    assert torch.equal(
        start_from_chains(torch.ones(1, 1, 4, 4), known[..., :4, :4], chains, generator(), 2), torch.ones(1, 1, 4, 4)
    )


def test_with_random_phases_the_known_pixels_stay_in_place():
    """By hand: the picture is rolled, stepped and rolled back."""
    net = random_net(Architecture((ConvLayer(3, 4, 2),), channels=1, reference_std=2.0), seed=4)
    images = torch.randn(1, 1, 12, 12, generator=generator(6), dtype=torch.float64)
    known = torch.rand(1, 1, 12, 12, generator=generator(8)) < 0.5
    ours, theirs = generator(7), generator(7)
    dynamics = Dynamics(0.5, random_lattice=True)
    painted = inpaint(net, images, known, steps=3, dynamics=dynamics, generator=ours, start=images)
    expected = images
    for _ in range(3):
        shift = random_phase(2, theirs)
        moved = langevin_step(net, expected.roll(shift, (2, 3)), 0.5, theirs).roll((-shift[0], -shift[1]), (2, 3))
        expected = torch.where(known, images, moved)
    torch.testing.assert_close(painted, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(painted[known], images[known])
