"""Denoising by Tweedie's formula, also averaged over stride phases (core/recipe/denoising.py)."""

from itertools import product

import pytest
import torch
from nets import case, every_case

from core.recipe.denoising import MAX_PHASES, denoise
from core.theory.decoding import basis, reconstruct

EXACT = {"rtol": 1e-9, "atol": 1e-9}
ON_THE_TORUS = [
    case("torus_every_2", [(3, 4, 2), (2, 3, 1)], (8, 6), "torus", channels=2, reference_std=1.5),
    case("torus_every_3", [(3, 5, 3)], (9, 6), "torus", reference_std=0.7),
    case("torus_every_4", [(3, 3, 2), (3, 3, 2)], (8, 12), "torus", top="category"),
]
every_torus = pytest.mark.parametrize("case", ON_THE_TORUS, ids=lambda case: case.name)


def gradient_over_all_phases(one):
    """Return the gradient of f's mean over all stride phases, by autograd."""
    images, stride = one.images.clone().requires_grad_(), one.net.architecture.total_stride
    scores = [
        one.net.score(images.roll(phase, dims=(2, 3)), "torus").sum() for phase in product(range(stride), repeat=2)
    ]
    return torch.autograd.grad(torch.stack(scores).mean(), images)[0]


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
def test_without_noise_denoising_is_the_picture_and_with_noise_of_sigma_the_reconstruction(case):
    sigma = case.net.architecture.reference_std
    assert torch.equal(denoise(case.net, case.images, 0.0, case.boundary), case.images)
    expected = reconstruct(case.net, case.images, case.boundary)
    torch.testing.assert_close(denoise(case.net, case.images, sigma, case.boundary), expected, **EXACT)


@pytest.mark.parametrize("noise_std", [0.5, 1.4, 2.0])
def test_theorem1_if_all_units_are_active_denoising_is_the_gaussians_posterior_mean(noise_std):
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
def test_with_random_lattice_denoising_uses_the_gradient_over_all_phases(case, noise_std):
    assert case.net.architecture.total_stride <= MAX_PHASES
    gradient = gradient_over_all_phases(case)
    expected = case.images + noise_std**2 * (gradient - case.images / case.variance)
    denoised = denoise(case.net, case.images, noise_std, "torus", random_lattice=True)
    torch.testing.assert_close(denoised, expected, **EXACT)
    assert not torch.allclose(denoised, denoise(case.net, case.images, noise_std, "torus"))


def test_with_random_lattice_denoising_does_not_depend_on_the_phase():
    one = ON_THE_TORUS[1]
    here = denoise(one.net, one.images, 0.5, "torus", random_lattice=True)
    rolled = denoise(one.net, one.images.roll((1, 2), dims=(2, 3)), 0.5, "torus", random_lattice=True)
    torch.testing.assert_close(rolled, here.roll((1, 2), dims=(2, 3)), **EXACT)


@pytest.mark.parametrize(("stride", "phases"), [(5, (0, 2, 4)), (6, (0, 2, 4)), (8, (0, 2, 4, 6))])
def test_of_a_large_stride_only_a_few_phases_are_averaged(stride, phases):
    one = case("wide", [(3, 9, stride)], (2 * stride, stride), "torus")
    assert len(phases) <= MAX_PHASES
    total = torch.zeros_like(one.images)
    for phase in product(phases, repeat=2):
        back = tuple(-by for by in phase)
        total += basis(one.net, one.images.roll(phase, dims=(2, 3)), "torus").roll(back, dims=(2, 3))
    expected = one.images + 0.25 * (total / len(phases) ** 2 - one.images)
    torch.testing.assert_close(denoise(one.net, one.images, 0.5, "torus", random_lattice=True), expected, **EXACT)
