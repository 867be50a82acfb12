"""Langevin dynamics under conditions (core/synthesis/conditions.py)."""

from dataclasses import dataclass, replace

import torch
from nets import random_net
from torch import Tensor

from core.engine import FastEngine, ReferenceEngine, tiling
from core.engine.dynamics import Dynamics
from core.engine.reference import run_chains
from core.pictures.colour_box import ColourBox
from core.synthesis.conditions import Condition, run_in_place
from core.theory.langevin import langevin_step
from core.theory.model import Architecture, ConvLayer

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
    found = run_in_place(ReferenceEngine(), NET, chains_of(), 3, DYNAMICS, generator())
    assert torch.equal(found, run_chains(NET, chains_of(), 3, DYNAMICS, generator()))


def test_the_drifts_of_all_conditions_join_that_of_eq19_before_the_projection():
    box = ColourBox(torch.full((1, 1, 1), -1.5), torch.full((1, 1, 1), 1.5))
    dynamics = replace(DYNAMICS, box=box)
    found = run_in_place(ReferenceEngine(), NET, chains_of(), 3, dynamics, generator(), (Pull(5.0), Pull(1.0)))
    noise, expected = generator(), chains_of()
    for _ in range(3):
        drift = (5.0 - expected) + (1.0 - expected)
        moved = langevin_step(NET, expected, EPSILON, noise, boundary="torus")
        expected = (moved + EPSILON**2 / 2 * drift).clamp(-1.5, 1.5)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_with_random_phases_every_pixel_stays_in_its_place():
    """With a tiny step nothing moves, while the engine alone would roll the chains."""
    dynamics = Dynamics(1e-6, "torus", random_lattice=True)
    found = run_in_place(FastEngine(), NET, chains_of(), 5, dynamics, generator())
    torch.testing.assert_close(found, chains_of(), rtol=0, atol=1e-4)
    assert (FastEngine().run(NET, chains_of(), 5, dynamics, generator()) - chains_of()).abs().max() > 0.1


def test_a_canvas_in_tiles_respects_them_alike(monkeypatch):
    for limits in (tiling.MAX_UNTILED_BYTES, tiling.TILE_BYTES):
        monkeypatch.setitem(limits, "cpu", 1)
    monkeypatch.setattr(tiling.Noise, "fill", lambda _, flat, _std: flat.zero_())
    begin, calls = chains_of(120), []
    found = run_in_place(ReferenceEngine(), NET, begin, 2, DYNAMICS, generator(), (Pull(1.0),), calls.append)
    expected = chains_of(120)
    for _ in range(2):
        moved = langevin_step(NET, expected, EPSILON, noise=torch.zeros_like(expected), boundary="torus")
        expected = moved + EPSILON**2 / 2 * (1.0 - expected)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert len(calls) > 2
    assert calls == sorted(calls)
    assert calls[-1] == 2
    assert torch.equal(begin, chains_of(120)), "the given chains are not overwritten"
