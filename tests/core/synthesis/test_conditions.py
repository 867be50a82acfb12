"""Langevin dynamics under conditions (core/synthesis/conditions.py)."""

import weakref
from dataclasses import dataclass, replace

import pytest
import torch
from nets import random_net
from torch import Tensor

from core.engine import FastEngine, ReferenceEngine, tiling
from core.engine.dynamics import Dynamics
from core.engine.reference import run_chains
from core.pictures.colour_box import ColourBox
from core.schemas.geometry import round_up
from core.synthesis.conditions import (
    MAX_DENSE_SIDE,
    Condition,
    Guide,
    KnownPixels,
    Periodic,
    run_steps,
    run_under_conditions,
)
from core.theory.boundary import continue_periodically, crop
from core.theory.decoding import basis
from core.theory.langevin import langevin_step
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet

STRIDE, SIGMA, EPSILON = 3, 2.0, 0.6
NET = random_net(Architecture((ConvLayer(4, 5, STRIDE), ConvLayer(2, 3)), 1, SIGMA), seed=1)
DYNAMICS = Dynamics(EPSILON, "torus")


def generator():
    return torch.Generator().manual_seed(5)


def chains_of(side=24):
    return torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@dataclass(frozen=True)
class Pull(Condition):
    """The log density of a Gaussian about `mean`, with its gradient by autograd."""

    mean: float

    def drift(self, chains: Tensor) -> Tensor:
        with torch.enable_grad():
            at = chains.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(-(at - self.mean).square().sum() / 2, at)
        return gradient


def test_without_conditions_and_phases_the_steps_are_the_engines():
    found = run_under_conditions(ReferenceEngine(), NET, chains_of(), 3, DYNAMICS, generator())
    assert torch.equal(found, run_chains(NET, chains_of(), 3, DYNAMICS, generator()))


def test_a_drift_is_added_in_place():
    """A large canvas takes much memory: with a drift there are two of them, and the drift, at a time."""
    made: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def step(chains: Tensor, *_: object) -> Tensor:
        alive.append(sum(one() is not None for one in made))
        made.append(weakref.ref(moved := chains + 1))
        return moved

    @dataclass(frozen=True)
    class Same(Condition):
        def drift(self, chains: Tensor) -> Tensor:
            return torch.ones_like(chains)

        def constrain(self, chains: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
            assert chains is made[-1]()
            return chains

    found = run_steps(step, chains_of(), 3, 2.0, generator(), (Same(),))
    torch.testing.assert_close(found, chains_of() + 9)
    assert alive == [0, 1, 1]


def test_the_drifts_of_all_conditions_join_that_of_eq19_before_the_projection():
    box = ColourBox(torch.full((1, 1, 1), -1.5), torch.full((1, 1, 1), 1.5))
    dynamics = replace(DYNAMICS, box=box)
    found = run_under_conditions(ReferenceEngine(), NET, chains_of(), 3, dynamics, generator(), (Pull(5.0), Pull(1.0)))
    noise, expected = generator(), chains_of()
    for _ in range(3):
        drift = (5.0 - expected) + (1.0 - expected)
        moved = langevin_step(NET, expected, EPSILON, noise, boundary="torus")
        expected = (moved + EPSILON**2 / 2 * drift).clamp(-1.5, 1.5)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_with_random_phases_every_pixel_stays_in_its_place():
    """With a tiny step nothing moves, while the engine alone would roll the chains."""
    dynamics = Dynamics(1e-6, "torus", random_lattice=True)
    found = run_under_conditions(FastEngine(), NET, chains_of(), 5, dynamics, generator())
    torch.testing.assert_close(found, chains_of(), rtol=0, atol=1e-4)
    assert (FastEngine().run(NET, chains_of(), 5, dynamics, generator()) - chains_of()).abs().max() > 0.1


def test_a_canvas_in_tiles_respects_them_alike(monkeypatch):
    for limits in (tiling.MAX_UNTILED_BYTES, tiling.TILE_BYTES):
        monkeypatch.setitem(limits, "cpu", 1)
    monkeypatch.setattr(tiling.Noise, "fill", lambda _, flat, _std: flat.zero_())
    begin, calls = chains_of(120), []
    found = run_under_conditions(ReferenceEngine(), NET, begin, 2, DYNAMICS, generator(), (Pull(1.0),), calls.append)
    expected = chains_of(120)
    for _ in range(2):
        moved = langevin_step(NET, expected, EPSILON, noise=torch.zeros_like(expected), boundary="torus")
        expected = moved + EPSILON**2 / 2 * (1.0 - expected)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert len(calls) > 2
    assert calls == sorted(calls)
    assert calls[-1] == 2
    assert torch.equal(begin, chains_of(120)), "the given chains are not overwritten"


@pytest.mark.parametrize("side", [24, 25])
def test_inside_a_periodic_margin_the_drift_is_that_of_the_torus(side):
    """Also of a torus whose sides are no multiples of the stride: there B is compared with that of 3 x 3 pictures."""
    margin = round_up(NET.architecture.halo + STRIDE, STRIDE)
    images = chains_of(side)
    around = Periodic(margin).constrain(continue_periodically(torch.zeros_like(images), margin), generator())
    assert not around.any()
    around = continue_periodically(images, margin)
    assert torch.equal(Periodic(margin).constrain(around, generator()), around)
    found = crop(basis(NET, around, "valid"), margin)
    if side % STRIDE == 0:
        torch.testing.assert_close(found, basis(NET, images, "torus"), rtol=1e-12, atol=1e-12)
    tiled = images.repeat(1, 1, 3, 3)
    middle = basis(NET, tiled.roll((-side % STRIDE, -side % STRIDE), (2, 3)), "valid")
    first = side + -side % STRIDE
    torch.testing.assert_close(found, middle[..., first : first + side, first : first + side], rtol=1e-12, atol=1e-12)


def test_known_pixels_and_the_periodic_margin_hold_together():
    margin, images = 9, chains_of()
    known = torch.rand(2, 1, 24, 24, generator=generator()) > 0.5
    conditions = (
        KnownPixels(*(continue_periodically(one, margin) for one in (images, known)), noise_std=0.5),
        Periodic(margin),
    )
    begin, dynamics = continue_periodically(images, margin), Dynamics(EPSILON, "valid", random_lattice=True)
    found = run_under_conditions(ReferenceEngine(), NET, begin, 3, dynamics, generator(), conditions)
    assert torch.equal(found, continue_periodically(crop(found, margin), margin)), "also the noise of known pixels"
    changes = (crop(found, margin) - images)[known]
    assert changes.std().item() == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize("limit", [0, MAX_DENSE_SIDE])
@pytest.mark.parametrize("sides", [(12, 15), (9, 8), (40, 30), (22, 13)])
def test_a_guides_drift_is_the_gradient_of_its_log_density(sides, limit, monkeypatch):
    """The term is computed from its definition: the blur as a sum over shifts, the gradient by autograd.

    By Fourier transforms, and by a product with the waves that the blur leaves.
    """
    monkeypatch.setattr("core.synthesis.conditions.MAX_DENSE_SIDE", limit)
    strength, blur = 0.7, 1.5
    chains, picture = (torch.randn(count, 3, *sides, generator=generator(), dtype=torch.float64) for count in (2, 1))
    kernels = []
    for side in sides:
        frequencies = torch.fft.fftfreq(side, dtype=torch.float64)
        waves = torch.cos(2 * torch.pi * frequencies[:, None] * torch.arange(side))
        kernels.append((torch.exp(-((2 * torch.pi * frequencies * blur) ** 2) / 2)[:, None] * waves).mean(dim=0))
    at = chains.clone().requires_grad_()
    blurred = sum(
        down * across * (at - picture).roll((y, x), (2, 3))
        for y, down in enumerate(kernels[0])
        for x, across in enumerate(kernels[1])
    )
    log_density = -strength / (2 * SIGMA**2) * blurred.square().sum()
    (gradient,) = torch.autograd.grad(log_density, at)
    found = Guide(picture, strength, SIGMA, blur).drift(chains)
    torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-12)


def test_a_guide_draws_the_mean_to_that_of_the_two_gaussians():
    """Without filters p is N(0, σ²); a uniform guide G of strength s makes the chains' mean s G / (1 + s)."""
    net = GenerativeConvNet(Architecture((ConvLayer(1, 1),), 1, SIGMA)).double()
    with torch.no_grad():
        net.weights[0].zero_()
    guide = Guide(torch.full((1, 1, 24, 24), 8.0, dtype=torch.float64), 3.0, SIGMA, blur=2.0)
    found = run_under_conditions(FastEngine(), net, torch.zeros_like(chains_of()), 200, DYNAMICS, generator(), (guide,))
    assert found.mean().item() == pytest.approx(6.0, abs=0.2)
    assert found.std().item() == pytest.approx(SIGMA, rel=0.1), "finer structure is left alone"
