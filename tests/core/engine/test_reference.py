"""The reference engine: chains run by the plain equations."""

import pytest
import torch
from nets import blank_net, case, every_case, random_net, seeded, stationary_variance

from core.engine import reference
from core.engine.dynamics import Dynamics
from core.engine.reference import run_chains
from core.theory.decoding import decode
from core.theory.langevin import langevin_step
from core.theory.model import Architecture, ConvLayer


def test_with_a_generator_the_global_one_is_not_used():
    one = case("one", [(3, 3, 2)], (9, 9), "valid")
    before = torch.get_rng_state()
    run_chains(one.net, one.images, 3, Dynamics(0.3), seeded())
    assert torch.equal(torch.get_rng_state(), before)


@every_case
def test_run_chains_is_the_step_repeated(case):
    chains = run_chains(case.net, case.images, 4, Dynamics(0.3, case.boundary), seeded(5))
    images, generator = case.images, seeded(5)
    for _ in range(4):
        images = langevin_step(case.net, images, 0.3, generator, boundary=case.boundary)
    assert torch.equal(chains, images)


def test_run_chains_of_no_steps_returns_the_start():
    one = case("one", [(3, 3, 2)], (9, 9), "valid")
    assert torch.equal(run_chains(one.net, one.images, 0, Dynamics(0.3), seeded()), one.images)


def test_run_chains_does_not_change_the_start_and_keeps_no_graph():
    one = case("one", [(3, 3, 2)], (9, 9), "valid")
    before = one.images.clone()
    assert not run_chains(one.net, one.images, 2, Dynamics(0.3), seeded()).requires_grad
    assert torch.equal(one.images, before)


def test_the_callback_is_called_after_every_step_and_can_stop_the_run(monkeypatch):
    one = case("one", [(3, 3, 2)], (9, 9), "valid")
    calls, taken = [], []

    class EnoughError(Exception):
        pass

    def spy(*given, **settings):
        taken.append(langevin_step(*given, **settings))
        return taken[-1]

    def callback(step):
        calls.append((step, taken[-1].clone()))
        if step == 3:
            raise EnoughError

    monkeypatch.setattr(reference, "langevin_step", spy)
    with pytest.raises(EnoughError):
        run_chains(one.net, one.images, 10, Dynamics(0.3), seeded(2), after_step=callback)
    assert [step for step, _ in calls] == [1, 2, 3]
    assert len(taken) == 3
    assert torch.equal(calls[-1][1], run_chains(one.net, one.images, 3, Dynamics(0.3), seeded(2)))


@pytest.mark.parametrize(("reference_std", "step_size"), [(1.0, 1.0), (1.0, 0.5), (3.0, 4.0)])
def test_without_filters_the_chains_converge_to_the_reference_with_the_known_discretisation_variance(
    reference_std, step_size
):
    """Zero weights: N(0, σ² / (1 - ε² / 4σ²)). From 10^5 independent pixels its standard error is 0.45 %.

    The relaxation a^n after n steps is below e^-12; the tolerances are 4.5 standard errors of a correct program.
    """
    contraction = abs(1 - step_size**2 / (2 * reference_std**2))
    steps = int(12 / -torch.log(torch.tensor(contraction)).item()) + 1
    count = 100_000
    chains = run_chains(
        blank_net(reference_std),
        torch.zeros(1, 1, 250, 400, dtype=torch.float64),
        steps,
        Dynamics(step_size),
        seeded(17),
    )
    expected = stationary_variance(reference_std, step_size)
    assert chains.mean().abs() < 4.5 * (expected / count) ** 0.5
    assert chains.var().item() == pytest.approx(expected, rel=4.5 * (2 / count) ** 0.5)
    kurtosis = (chains / chains.std()).pow(4).mean().item()
    assert kurtosis == pytest.approx(3, abs=4.5 * (24 / count) ** 0.5)


def test_theorem1_if_all_units_stay_active_the_chains_are_gaussian_about_their_reconstruction():
    """Biases so large that no unit ever switches off: one piece, N(σ²B, σ²), met by 500 chains of 9 x 9 pixels."""
    reference_std, step_size = 2.0, 1.5
    net = random_net(
        Architecture((ConvLayer(3, 3, 2), ConvLayer(2, 2)), channels=1, reference_std=reference_std), seed=4
    )
    with torch.no_grad():
        net.weights[1].abs_()
        for bias in net.biases:
            bias.fill_(200.0)
    chains = run_chains(net, torch.zeros(500, 1, 9, 9, dtype=torch.float64), 40, Dynamics(step_size), seeded(23))
    decoding = decode(net, chains)
    assert all(activation.all() for activation in decoding.activations)
    mean = reference_std**2 * decoding.basis[0]
    variance = stationary_variance(reference_std, step_size)
    distance = (chains.mean(dim=0) - mean).abs().max()
    assert distance < 5 * (variance / len(chains)) ** 0.5
    assert mean.abs().max() > 1
    spread = (chains - mean).square().mean().item()
    assert spread == pytest.approx(variance, rel=4.5 * (2 / chains.numel()) ** 0.5)


def test_above_two_sigma_the_dynamics_diverges():
    """|1 - ε² / 2σ²| < 1 if and only if ε < 2σ, the bound of the settings."""
    stable, diverged = (
        run_chains(blank_net(1.0), torch.zeros(1, 1, 8, 8, dtype=torch.float64), 400, Dynamics(step_size), seeded(1))
        .abs()
        .max()
        for step_size in (1.9, 2.1)
    )
    assert stable < 30
    assert diverged > 1e6
