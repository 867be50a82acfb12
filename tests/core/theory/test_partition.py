"""log Z by annealed importance sampling, against closed forms and quadrature."""

import math
from itertools import pairwise

import pytest
import torch
from nets import BOUNDARIES, TOPS, case, each_once, random_net, seeded

from core.theory.decoding import decode
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet
from core.theory.partition import Annealing, LogPartition, estimate, log_density, log_partition, spread


def pixel_net(weight, bias, reference_std=1.0):
    """One pixel x, f(x) = max(0, w x + b)."""
    net = GenerativeConvNet(Architecture((ConvLayer(1, 1),), 1, reference_std)).double()
    with torch.no_grad():
        net.weights[0].fill_(weight)
        net.biases[0].fill_(bias)
    return net


def pixel_log_partition(net):
    """r = w x + b ~ N(b, s²), s = |w| σ: E exp max(0, r) = Φ(-b / s) + exp(b + s² / 2) Φ(b / s + s)."""
    bias, spread = net.biases[0].item(), net.weights[0].abs().item() * net.architecture.reference_std
    off, on = torch.special.ndtr(torch.tensor([-bias / spread, bias / spread + spread], dtype=torch.float64)).tolist()
    return math.log(off + math.exp(bias + spread**2 / 2) * on)


def annealing_of(net, seed, *, start_std=None, temperatures=1, steps=3):
    std = start_std or net.architecture.reference_std
    return Annealing(net, "valid", seeded(seed), std, temperatures, steps, interrupt=lambda: None)


def always_on(top="convolutional", top_size=None, channels=1):
    """Biases so large that no unit ever switches off: f = α + ⟨I, B⟩ everywhere."""
    shape = Architecture((ConvLayer(3, 3, 2), ConvLayer(2, 2)), channels, 1.3, top, top_size)
    net = random_net(shape, seed=4)
    with torch.no_grad():
        for weight in net.weights[1:]:
            weight.abs_()
        for bias in net.biases:
            bias.fill_(100.0)
    return net


def gaussian_log_partition(net, size, boundary):
    """E_q exp(α + ⟨I, B⟩) = exp(α + σ² ‖B‖² / 2), where one piece is all there is."""
    blank = torch.zeros(1, net.architecture.channels, *size, dtype=torch.float64)
    decoding = decode(net, blank, boundary)
    assert all(activation.all() for activation in decoding.activations)
    variance = net.architecture.reference_std**2
    return (decoding.offset + variance * decoding.basis.square().sum() / 2).item()


@pytest.mark.parametrize(("weight", "bias", "reference_std"), [(1.0, 0.5, 1.0), (-2.0, -1.0, 1.5), (3.0, -4.0, 1.0)])
@pytest.mark.parametrize(("temperatures", "steps"), [(10, 1), (40, 1), (10, 3)])
def test_one_pixels_log_z_is_the_closed_form_within_its_error(weight, bias, reference_std, temperatures, steps):
    net = pixel_net(weight, bias, reference_std)
    found = log_partition(net, (1, 1), generator=seeded(1), chains=600, temperatures=temperatures, steps=steps)
    assert found.standard_error < 0.35
    assert found.value == pytest.approx(pixel_log_partition(net), abs=4 * found.standard_error)


@pytest.mark.parametrize("start_std", [1.0, 2.5])
def test_the_mean_weight_is_z_whatever_the_schedule(start_std):
    """Exact in expectation: many estimates from few chains and three temperatures, averaged as Z, not as log Z."""
    net = pixel_net(1.5, -1.0)
    annealing = annealing_of(net, seed=1, start_std=start_std, temperatures=3)
    weights = annealing.log_weights((10_000, 1, 1, 1), [0.5, 0.4, 0.3]).exp().detach()
    error = weights.std().item() / len(weights) ** 0.5
    assert error < 0.05
    assert weights.mean().item() == pytest.approx(math.exp(pixel_log_partition(net)), abs=4 * error)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_estimate_agrees_with_quadrature_over_two_pixels(boundary):
    """Two pixels of a net of two layers with many pieces; the density then integrates to one."""
    layers = [(4, 1, 1), (3, 1, 1)] if boundary == "valid" else [(4, 2, 1), (3, 1, 1)]
    one = case("two pixels", layers, (1, 2), boundary, reference_std=1.4, seed=8)
    with torch.no_grad():
        one.net.weights[-1].mul_({"valid": 1.0, "torus": 2.0, "padded": 1.0}[boundary])
    line = torch.linspace(-10, 10, 151, dtype=torch.float64)
    pixels = torch.cartesian_prod(line, line).view(-1, 1, 1, 2)
    area = math.log((line[1] - line[0]).item() ** 2)
    with torch.no_grad():
        expected = (log_density(one.net, pixels, 0.0, boundary).logsumexp(dim=0) + area).item()
    assert 0.3 < abs(expected) < 8
    found = log_partition(one.net, (1, 2), boundary=boundary, generator=seeded(3), chains=200, temperatures=20)
    assert found.standard_error < 0.15
    assert found.value == pytest.approx(expected, abs=4 * found.standard_error)


@each_once("top, boundary", TOPS, BOUNDARIES)
def test_where_all_units_stay_active_log_z_is_that_of_the_gaussian(top, boundary):
    size = (8, 8)
    shape = Architecture((ConvLayer(3, 3, 2), ConvLayer(2, 2)), 1)
    side = {"valid": 8, "torus": 8 + shape.halo, "padded": 8 + 2 * shape.halo}[boundary]
    top_size = (shape.map_sizes(side)[-1],) * 2 if top == "object" else None
    net = always_on(top, top_size, channels=2)
    scale = 0.1 if top == "object" else 0.2  # so that annealing has not too far to go
    with torch.no_grad():
        (net.category_weights if top == "category" else net.weights[-1]).mul_(scale)
    expected = gaussian_log_partition(net, size, boundary)
    found = log_partition(net, size, boundary=boundary, generator=seeded(4), chains=30, temperatures=20)
    assert found.value == pytest.approx(expected, abs=4 * found.standard_error + 1e-9 * abs(expected))


def test_annealing_goes_from_white_noise_to_the_model_and_each_pieces_variance_falls_by_the_same_factor():
    annealing = annealing_of(pixel_net(1.0, 0.0, 2.0), 0, start_std=10.0, temperatures=8)
    assert annealing.betas[0] == 0
    assert annealing.betas[-1] == pytest.approx(1)
    assert annealing.precision(0) == pytest.approx(1 / 10**2)
    assert annealing.precision(1) == pytest.approx(1 / 2**2)
    precisions = [annealing.precision(beta) for beta in annealing.betas]
    factors = [later / earlier for earlier, later in pairwise(precisions)]
    assert factors == pytest.approx([25 ** (1 / 8)] * 8)
    from_the_reference = annealing_of(pixel_net(1.0, 0.0, 2.0), 0, temperatures=4)
    assert from_the_reference.betas == [0, 0.25, 0.5, 0.75, 1]  # q exp(β f)


def test_a_models_spread_is_sigma_about_its_modes():
    net = always_on()
    decoding = decode(net, torch.zeros(1, 1, 9, 9, dtype=torch.float64))
    mode = 1.3**2 * decoding.basis
    expected = (1.3**2 + mode.square().mean().item()) ** 0.5
    assert expected > 1.5
    assert spread(net, (2, 1, 9, 9), "valid", seeded()) == pytest.approx(expected)
    assert spread(pixel_net(0.0, 1.0, 3.0), (2, 1, 4, 4), "valid", seeded()) == pytest.approx(3.0)


@pytest.mark.parametrize("start_std", [1.3, 4.0])
@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_on_one_piece_a_transition_leaves_the_gaussian_as_it_is(beta, start_std):
    """From N(β B / λ, 1 / λ) back into it, whatever the step; a small one goes along a circle about the mean."""
    net = always_on()
    annealing = annealing_of(net, 5, start_std=start_std, steps=4)
    precision = annealing.precision(beta)
    mean = beta / precision * decode(net, torch.zeros(1, 1, 9, 9, dtype=torch.float64)).basis
    std = precision**-0.5
    start = mean + std * torch.randn(500, 1, 9, 9, generator=seeded(6), dtype=torch.float64)
    chains = annealing.evaluate(start)
    for step_size in (0.1, 0.4, 1.0):
        moved, acceptance = annealing.transition(chains, beta, step_size)
        assert acceptance > {0.1: 0.98, 0.4: 0.8, 1.0: 0.1}[step_size]
        deviation = (moved.images - mean) / std
        error = deviation.numel() ** -0.5
        assert deviation.mean().abs() < 4.5 * error
        assert deviation.var().item() == pytest.approx(1, abs=4.5 * 2**0.5 * error)
        if step_size == 0.1:
            correlation = ((start - mean) * (moved.images - mean)).mean().item() / std**2
            assert correlation == pytest.approx(math.cos(4 * step_size), abs=0.02)


@pytest.mark.parametrize("start_std", [1.0, 3.0])
@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_a_transition_leaves_the_tempered_density_invariant_across_pieces(beta, start_std):
    """One pixel of three pieces: samples by quadrature of the density at β, moved twice, still have its quantiles.

    Without the Metropolis test they would not: that is checked too.
    """
    net = GenerativeConvNet(Architecture((ConvLayer(2, 1),), 1)).double()
    with torch.no_grad():
        net.weights[0].copy_(torch.tensor([2.0, -1.8]).view(2, 1, 1, 1))
        net.biases[0].copy_(torch.tensor([-0.5, -1.0]))
    annealing = annealing_of(net, 8, start_std=start_std)
    line = torch.linspace(-14, 14, 20_001, dtype=torch.float64).view(-1, 1, 1, 1)
    with torch.no_grad():
        cumulative = (beta * net.score(line) - annealing.precision(beta) * line.flatten() ** 2 / 2).exp().cumsum(dim=0)
    cumulative /= cumulative[-1].clone()
    count = 12_000
    drawn = torch.searchsorted(cumulative, torch.rand(count, generator=seeded(7), dtype=torch.float64))
    chains = annealing.evaluate(line[drawn])

    def distance(images):
        """Kolmogorov and Smirnov's, in its standard units: above 1.95 in one of a thousand."""
        ranks = cumulative[torch.searchsorted(line.flatten(), images.flatten().sort().values).clamp(max=20_000)]
        return (ranks - torch.linspace(0, 1, count, dtype=torch.float64)).abs().max().item() * count**0.5

    with pytest.MonkeyPatch.context() as without_test:
        without_test.setattr(torch, "rand", lambda shape, **_: torch.full(shape, -1.0))
        always_taken, _ = annealing.transition(chains, beta, 1.4)
    for step_size in (1.4, 1.0):
        chains, acceptance = annealing.transition(chains, beta, step_size)
        assert 0.3 < acceptance < 0.98
    assert distance(chains.images) < 2.2
    assert distance(always_taken.images) > 3


def test_a_diverging_picture_is_rejected():
    """Where the energy is no number, the chain stays where it is."""
    annealing = annealing_of(pixel_net(1.0, 0.0), 3)
    chains = annealing.initial_chains((5, 1, 1, 1))
    moved, acceptance = annealing.transition(chains, 1.0, math.nan)
    assert acceptance == 0
    assert torch.equal(moved.images, chains.images)


def test_the_net_without_filters_is_the_reference_itself():
    found = log_partition(pixel_net(0.0, -1.0), (1, 1), generator=seeded(), chains=3, temperatures=2)
    assert found == LogPartition(0.0, pytest.approx(0.0, abs=1e-12), pytest.approx(3.0))


def test_the_jackknife_is_the_usual_error_where_weights_are_alike_and_larger_where_one_outweighs_all():
    alike = 0.1 * torch.randn(200, generator=seeded(1), dtype=torch.float64)
    usual = alike.exp().std().item() / alike.exp().mean().item() / 200**0.5
    assert estimate(alike).standard_error == pytest.approx(usual, rel=0.02)
    assert estimate(alike).effective_samples == pytest.approx(200 / 1.01, rel=0.01)
    apart = torch.tensor([0.0, -30.0, -40.0, -60.0], dtype=torch.float64)
    assert estimate(apart).value == pytest.approx(-math.log(4))
    assert estimate(apart).effective_samples == pytest.approx(1)
    assert estimate(apart).standard_error > 10


def test_the_jackknife_leaves_out_each_chain_in_turn():
    weights = torch.tensor([3.0, 3.0, 45.0, -2.0, 7.5], dtype=torch.float64)
    others = [
        weights[[j for j in range(5) if j != left_out]].logsumexp(0).item() - math.log(4) for left_out in range(5)
    ]
    mean = sum(others) / 5
    expected = math.sqrt(4 / 5 * sum((one - mean) ** 2 for one in others))
    assert estimate(weights).standard_error == pytest.approx(expected, rel=1e-12)
    assert math.isfinite(estimate(torch.zeros(100_000, dtype=torch.float64)).standard_error), "in linear memory"


def test_the_estimate_does_not_overflow():
    found = estimate(torch.tensor([5000.0, 5000.0 + math.log(3)], dtype=torch.float64))
    assert found.value == pytest.approx(5000 + math.log(2))


def test_the_generator_determines_the_estimate():
    one = case("one", [(3, 3, 2)], (6, 6), "torus")
    first, same, other = (
        log_partition(one.net, (6, 6), boundary="torus", generator=seeded(seed), chains=4, temperatures=5)
        for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other


def test_the_global_generator_and_the_net_are_left_alone():
    one = case("one", [(3, 3, 2)], (7, 7), "valid")
    before, weights = torch.get_rng_state(), one.net.weights[0].clone()
    log_partition(one.net, (7, 7), generator=seeded(), chains=2, temperatures=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.net.weights[0], weights)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in one.net.parameters())


def test_the_work_can_be_interrupted_at_each_transition():
    class StopNowError(Exception):
        pass

    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 7:
            raise StopNowError

    with pytest.raises(StopNowError):
        log_partition(pixel_net(1.0, 0.0), (1, 1), generator=seeded(), chains=4, temperatures=5, interrupt=stop)
    assert len(calls) == 7
    calls.clear()
    log_partition(
        pixel_net(1.0, 0.0), (1, 1), generator=seeded(), chains=4, temperatures=3, interrupt=lambda: calls.append(1)
    )
    assert len(calls) == 2 * 3 * 8  # of the pilot's steps and of those that count


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"chains": 1}, "chains >= 2"),
        ({"temperatures": 0}, "temperatures >= 1"),
        ({"steps": 0}, "steps >= 1"),
        ({"size": (2, 2)}, "smaller than the net's window"),
    ],
)
def test_refused_settings_name_the_requirement(settings, what):
    net = GenerativeConvNet(Architecture((ConvLayer(2, 3),), 1))
    with pytest.raises(ValueError, match=what):
        log_partition(net, settings.pop("size", (5, 5)), generator=seeded(), **settings)


def test_single_precision_gives_the_estimate_of_double_precision():
    one = case("one", [(6, 3, 2), (4, 3, 1)], (10, 10), "torus", reference_std=8.0, channels=3)
    with torch.no_grad():
        one.net.weights[0].div_(8)
    settings = {"boundary": "torus", "chains": 8, "temperatures": 20}
    double = log_partition(one.net, (10, 10), generator=seeded(1), **settings)
    single = log_partition(one.net.float(), (10, 10), generator=seeded(2), **settings)
    assert single.value == pytest.approx(double.value, abs=4 * (single.standard_error + double.standard_error))


def test_chains_carry_the_score_and_basis_of_their_pictures():
    one = case("one", [(3, 3, 2), (2, 2, 1)], (9, 9), "valid")
    annealing = annealing_of(one.net, seed=0, temperatures=1)
    with torch.no_grad():
        chains = annealing.evaluate(one.images)
        for _ in range(5):
            chains, _ = annealing.transition(chains, 0.7, 0.9)
    decoding = decode(one.net, chains.images)
    torch.testing.assert_close(chains.basis, decoding.basis)
    torch.testing.assert_close(chains.score, one.net.score(chains.images))
