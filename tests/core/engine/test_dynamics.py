"""Langevin dynamics in a colour box and with random stride phases (core/engine/dynamics.py and reference.py)."""

from itertools import product

import pytest
import torch
from nets import case, every_case, seeded

from core.engine.dynamics import Dynamics, roll_to_random_phase
from core.engine.reference import run_chains
from core.pictures.colour_box import ColourBox
from core.theory.langevin import langevin_step

EXACT = {"rtol": 1e-9, "atol": 1e-9}
ON_THE_TORUS = [
    case("torus_every_2", [(3, 4, 2), (2, 3, 1)], (8, 6), "torus", channels=2, reference_std=1.5),
    case("torus_every_3", [(3, 5, 3)], (9, 6), "torus", reference_std=0.7),
    case("torus_every_4", [(3, 3, 2), (3, 3, 2)], (8, 12), "torus", top="category"),
]
every_torus = pytest.mark.parametrize("case", ON_THE_TORUS, ids=lambda case: case.name)


def box(channels, low=-1.0, high=0.5):
    """Return a box along the channels, with other limits for each."""
    shift = torch.arange(channels, dtype=torch.float64)[:, None, None]
    return ColourBox(low + shift, high + 2 * shift)


@every_case
def test_eq19_chains_in_a_box_are_projected_after_each_step(case):
    confined = box(case.images.shape[1])
    dynamics = Dynamics(0.5, case.boundary, confined)
    images, generator = case.images, seeded()
    for steps in range(1, 6):
        chains = run_chains(case.net, case.images, steps, dynamics, seeded())
        images = langevin_step(case.net, images, 0.5, generator, boundary=case.boundary)
        images = torch.where(
            images > confined.high, confined.high, torch.where(images < confined.low, confined.low, images)
        )
        torch.testing.assert_close(chains, images, **EXACT)
        assert (chains >= confined.low).all()
        assert (chains <= confined.high).all()


@every_case
def test_eq19_a_box_that_no_chain_reaches_changes_nothing(case):
    limit = torch.full((case.images.shape[1], 1, 1), 1e6, dtype=torch.float64)
    free = run_chains(case.net, case.images, 3, Dynamics(0.5, case.boundary), seeded())
    dynamics = Dynamics(0.5, case.boundary, ColourBox(-limit, limit))
    confined = run_chains(case.net, case.images, 3, dynamics, seeded())
    assert torch.equal(free, confined)


def test_with_stride_one_there_is_a_single_phase_and_nothing_is_drawn():
    one, generator = case("one", [(3, 3, 1)], (6, 7), "torus"), seeded(3)
    assert roll_to_random_phase(one.images, 1, generator)[0] is one.images
    assert torch.equal(generator.get_state(), seeded(3).get_state())
    fixed, random = (
        run_chains(one.net, one.images, 4, Dynamics(0.5, "torus", random_lattice=random_lattice), seeded(3))
        for random_lattice in (False, True)
    )
    assert torch.equal(random, fixed)


@pytest.mark.parametrize("stride", [2, 3])
def test_every_phase_is_drawn_equally_often(stride):
    images = torch.arange(2.0 * 36).view(2, 1, 6, 6)
    counts = {images.roll(phase, dims=(2, 3)).numpy().tobytes(): 0 for phase in product(range(stride), repeat=2)}
    generator = seeded()
    for _ in range(100 * len(counts)):
        counts[roll_to_random_phase(images, stride, generator)[0].numpy().tobytes()] += 1  # KeyError: another roll
    assert min(counts.values()) > 50  # five standard deviations below 100


@every_torus
def test_eq19_with_random_phases_the_pictures_are_rolled_before_each_step(case):
    stride = case.net.architecture.total_stride
    rolled = run_chains(case.net, case.images, 4, Dynamics(0.5, "torus", random_lattice=True), seeded(7))
    images, generator, phases = case.images, seeded(7), set()
    for _ in range(4):
        down, right = torch.randint(stride, (2,), generator=generator).tolist()
        phases.add((down, right))
        images = langevin_step(case.net, images.roll((down, right), dims=(2, 3)), 0.5, generator, boundary="torus")
    assert len(phases) > 1
    torch.testing.assert_close(rolled, images, **EXACT)


@every_torus
def test_with_random_phases_the_drift_is_an_unbiased_estimate_of_the_gradient_over_all_phases(case):
    """The mean over all phases of the drift, rolled back, against autograd's gradient of f's mean over all phases."""
    stride, no_noise, epsilon = case.net.architecture.total_stride, torch.zeros_like(case.images), 0.5
    drift, images = torch.zeros_like(case.images), case.images.clone().requires_grad_()
    scores = []
    for down, right in product(range(stride), repeat=2):
        rolled = case.images.roll((down, right), dims=(2, 3))
        step = langevin_step(case.net, rolled, epsilon, noise=no_noise, boundary="torus") - rolled
        drift += step.roll((-down, -right), dims=(2, 3)) / stride**2
        scores.append(case.net.score(images.roll((down, right), dims=(2, 3)), "torus").sum())
    (gradient,) = torch.autograd.grad(torch.stack(scores).mean(), images)
    expected = -(epsilon**2) / 2 * (case.images / case.variance - gradient)
    torch.testing.assert_close(drift, expected, **EXACT)
