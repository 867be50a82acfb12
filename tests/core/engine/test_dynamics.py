"""What Langevin dynamics and denoising are on a confined density, and with a lattice that lies anew in each step."""

from itertools import product

import pytest
import torch
from nets import case, every_case

from core.engine.dynamics import Dynamics, roll_to_random_phase
from core.engine.reference import run_chains
from core.pictures.colour_box import ColourBox
from core.recipe.denoising import MAX_PHASES, denoise
from core.theory.decoding import basis, reconstruct
from core.theory.langevin import langevin_step

EXACT = {"rtol": 1e-9, "atol": 1e-9}
ON_THE_TORUS = [
    case("torus_every_2", [(3, 4, 2), (2, 3, 1)], (8, 6), "torus", channels=2, reference_std=1.5),
    case("torus_every_3", [(3, 5, 3)], (9, 6), "torus", reference_std=0.7),
    case("torus_every_4", [(3, 3, 2), (3, 3, 2)], (8, 12), "torus", top="category"),
]
every_torus = pytest.mark.parametrize("case", ON_THE_TORUS, ids=lambda case: case.name)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def box(channels, low=-1.0, high=0.5):
    """Another one for each channel."""
    shift = torch.arange(channels, dtype=torch.float64)[:, None, None]
    return ColourBox(low + shift, high + 2 * shift)


def gradient_over_all_places(one):
    """By autograd: of f's mean over all places of the lattice."""
    images, stride = one.images.clone().requires_grad_(), one.net.architecture.total_stride
    scores = [
        one.net.score(images.roll(place, dims=(2, 3)), "torus").sum() for place in product(range(stride), repeat=2)
    ]
    return torch.autograd.grad(torch.stack(scores).mean(), images)[0]


def test_a_box_holds_each_channel_between_its_own_limits_and_leaves_what_lies_within():
    images = 4 * torch.randn(5, 3, 6, 6, generator=seeded(), dtype=torch.float64)
    one = box(3)
    held = one.project(images)
    for channel in range(3):
        low, high = one.low[channel].item(), one.high[channel].item()
        torch.testing.assert_close(held[:, channel], images[:, channel].clamp(low, high), rtol=0, atol=0)
        assert held[:, channel].min() == low
        assert held[:, channel].max() == high
    assert torch.equal(one.project(held), held)


def test_a_widened_box_reaches_further_on_both_sides():
    one = box(2).widened(0.25)
    assert torch.equal(one.low, box(2).low - 0.25)
    assert torch.equal(one.high, box(2).high + 0.25)


@every_case
def test_eq19_chains_in_a_box_are_projected_after_each_step_and_never_leave_it(case):
    confined = box(case.images.shape[1])
    dynamics = Dynamics(0.5, case.boundary, confined)
    images, generator = case.images, seeded()
    for steps in range(1, 6):
        seen = run_chains(case.net, case.images, steps, dynamics, seeded())
        images = langevin_step(case.net, images, 0.5, generator, boundary=case.boundary)
        images = torch.where(
            images > confined.high, confined.high, torch.where(images < confined.low, confined.low, images)
        )
        torch.testing.assert_close(seen, images, **EXACT)
        assert (seen >= confined.low).all()
        assert (seen <= confined.high).all()


@every_case
def test_eq19_a_box_that_no_chain_reaches_changes_nothing(case):
    limit = torch.full((case.images.shape[1], 1, 1), 1e6, dtype=torch.float64)
    free = run_chains(case.net, case.images, 3, Dynamics(0.5, case.boundary), seeded())
    dynamics = Dynamics(0.5, case.boundary, ColourBox(-limit, limit))
    confined = run_chains(case.net, case.images, 3, dynamics, seeded())
    assert torch.equal(free, confined)


def test_with_stride_one_the_lattice_lies_everywhere_already():
    one, generator = case("one", [(3, 3, 1)], (6, 7), "torus"), seeded(3)
    assert roll_to_random_phase(one.images, 1, generator) is one.images
    assert torch.equal(generator.get_state(), seeded(3).get_state())
    still, moved = (
        run_chains(one.net, one.images, 4, Dynamics(0.5, "torus", random_lattice=random_lattice), seeded(3))
        for random_lattice in (False, True)
    )
    assert torch.equal(moved, still)


@pytest.mark.parametrize("stride", [2, 3])
def test_pictures_move_to_every_place_of_the_lattice_alike(stride):
    images = torch.arange(2.0 * 36).view(2, 1, 6, 6)
    places = {images.roll(place, dims=(2, 3)).numpy().tobytes(): 0 for place in product(range(stride), repeat=2)}
    generator = seeded()
    for _ in range(100 * len(places)):
        places[roll_to_random_phase(images, stride, generator).numpy().tobytes()] += 1  # KeyError: moved elsewhere
    assert min(places.values()) > 50  # five standard deviations below the hundred of each


@every_torus
def test_eq19_with_a_random_lattice_each_step_moves_the_pictures_first(case):
    stride = case.net.architecture.total_stride
    moved = run_chains(case.net, case.images, 4, Dynamics(0.5, "torus", random_lattice=True), seeded(7))
    images, generator, places = case.images, seeded(7), set()
    for _ in range(4):
        down, right = torch.randint(stride, (2,), generator=generator).tolist()
        places.add((down, right))
        images = langevin_step(case.net, images.roll((down, right), dims=(2, 3)), 0.5, generator, boundary="torus")
    assert len(places) > 1
    torch.testing.assert_close(moved, images, **EXACT)


@every_torus
def test_with_a_random_lattice_the_drift_is_on_average_the_gradient_over_all_places(case):
    """Unbiased: the mean of a step's drift over the places, each moved back."""
    stride, quiet, epsilon = case.net.architecture.total_stride, torch.zeros_like(case.images), 0.5
    drift = torch.zeros_like(case.images)
    for down, right in product(range(stride), repeat=2):
        moved = case.images.roll((down, right), dims=(2, 3))
        step = langevin_step(case.net, moved, epsilon, noise=quiet, boundary="torus") - moved
        drift += step.roll((-down, -right), dims=(2, 3)) / stride**2
    expected = -(epsilon**2) / 2 * (case.images / case.variance - gradient_over_all_places(case))
    torch.testing.assert_close(drift, expected, **EXACT)


@every_case
def test_denoising_is_tweedies_formula(case):
    """I + s² ∇ log p(I), the gradient by autograd of the energy."""
    images = case.images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(case.net.energy(images, case.boundary).sum(), images)
    before = case.images.clone()
    for noise_std in (0.2, 1.3):
        expected = case.images - noise_std**2 * gradient
        torch.testing.assert_close(denoise(case.net, case.images, noise_std, case.boundary), expected, **EXACT)
    assert torch.equal(case.images, before)


@every_case
def test_denoising_of_no_noise_is_the_picture_and_of_the_references_the_reconstruction(case):
    sigma = case.net.architecture.reference_std
    assert torch.equal(denoise(case.net, case.images, 0.0, case.boundary), case.images)
    expected = reconstruct(case.net, case.images, case.boundary)
    torch.testing.assert_close(denoise(case.net, case.images, sigma, case.boundary), expected, **EXACT)


@pytest.mark.parametrize("noise_std", [0.5, 1.4, 2.0])
def test_theorem1_where_all_units_are_active_denoising_is_the_gaussians_posterior_mean(noise_std):
    """Noisy pictures N(μ, σ²), μ = σ²B, are clean ones N(μ, σ² - s²) under s: E[clean | I] = μ + (1 - s²/σ²)(I - μ).

    By the normal equations of the joint Gaussian, μ from two filters laid over the picture by hand.
    """
    one = case("all_active", [(2, 3, 1)], (5, 6), "valid", reference_std=2.0)
    with torch.no_grad():
        one.net.biases[0].fill_(100.0)
    mean = torch.zeros(1, 1, 5, 6, dtype=torch.float64)
    for top, left in product(range(3), range(4)):
        mean[..., top : top + 3, left : left + 3] += 4 * one.net.weights[0].detach().sum(dim=0)
    clean_variance, noise_variance = 4 - noise_std**2, noise_std**2
    gain = clean_variance / (clean_variance + noise_variance)
    expected = mean + gain * (one.images - mean)
    torch.testing.assert_close(denoise(one.net, one.images, noise_std), expected, **EXACT)


@every_torus
@pytest.mark.parametrize("noise_std", [0.6, 1.1])
def test_denoising_with_a_random_lattice_goes_by_all_its_places(case, noise_std):
    assert case.net.architecture.total_stride <= MAX_PHASES
    gradient = gradient_over_all_places(case)
    expected = case.images + noise_std**2 * (gradient - case.images / case.variance)
    denoised = denoise(case.net, case.images, noise_std, "torus", random_lattice=True)
    torch.testing.assert_close(denoised, expected, **EXACT)
    assert not torch.allclose(denoised, denoise(case.net, case.images, noise_std, "torus"))


def test_denoising_with_a_random_lattice_does_not_know_where_the_lattice_lies():
    one = ON_THE_TORUS[1]
    here = denoise(one.net, one.images, 0.5, "torus", random_lattice=True)
    there = denoise(one.net, one.images.roll((1, 2), dims=(2, 3)), 0.5, "torus", random_lattice=True)
    torch.testing.assert_close(there, here.roll((1, 2), dims=(2, 3)), **EXACT)


@pytest.mark.parametrize(("stride", "places"), [(5, (0, 2, 4)), (6, (0, 2, 4)), (8, (0, 2, 4, 6))])
def test_of_a_wide_lattice_a_few_places_stand_for_all(stride, places):
    one = case("wide", [(3, 9, stride)], (2 * stride, stride), "torus")
    assert len(places) <= MAX_PHASES
    total = torch.zeros_like(one.images)
    for place in product(places, repeat=2):
        back = tuple(-by for by in place)
        total += basis(one.net, one.images.roll(place, dims=(2, 3)), "torus").roll(back, dims=(2, 3))
    expected = one.images + 0.25 * (total / len(places) ** 2 - one.images)
    torch.testing.assert_close(denoise(one.net, one.images, 0.5, "torus", random_lattice=True), expected, **EXACT)
