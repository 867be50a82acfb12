"""log Z by annealed importance sampling, against closed forms and quadrature."""

import math

import pytest
import torch
from nets import BOUNDARIES, case, random_net

from core.decoding import decode
from core.model import Architecture, ConvLayer, GenerativeConvNet
from core.partition import LogPartition, _Annealing, _Chains, _estimate, log_density, log_partition


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


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


def always_on(top="convolutional", top_size=None):
    """Biases so large that no unit ever switches off: f = α + ⟨I, B⟩ everywhere."""
    shape = Architecture((ConvLayer(3, 3, 2), ConvLayer(2, 2)), 1, reference_std=1.3, top=top, top_size=top_size)
    net = random_net(shape, seed=4)
    with torch.no_grad():
        for weight in net.weights[1:]:
            weight.abs_()
        for bias in net.biases:
            bias.fill_(100.0)
    return net


def gaussian_log_partition(net, size, boundary):
    """E_q exp(α + ⟨I, B⟩) = exp(α + σ² ‖B‖² / 2), where one piece is all there is."""
    blank = torch.zeros(1, 1, *size, dtype=torch.float64)
    decoding = decode(net, blank, boundary)
    assert all(activation.all() for activation in decoding.activations)
    variance = net.architecture.reference_std**2
    return (decoding.offset + variance * decoding.basis.square().sum() / 2).item()


@pytest.mark.parametrize(("weight", "bias", "reference_std"), [(1.0, 0.5, 1.0), (-2.0, -1.0, 1.5), (3.0, -4.0, 1.0)])
@pytest.mark.parametrize(("temperatures", "steps"), [(10, 1), (40, 1), (10, 3)])
def test_one_pixels_log_z_is_the_closed_form_within_its_error(weight, bias, reference_std, temperatures, steps):
    net = pixel_net(weight, bias, reference_std)
    found = log_partition(net, (1, 1), generator=seeded(1), chains=600, temperatures=temperatures, steps=steps)
    assert found.standard_error < 0.12
    assert found.value == pytest.approx(pixel_log_partition(net), abs=4 * found.standard_error)


def test_the_mean_weight_is_z_whatever_the_schedule():
    """Exact in expectation: many estimates from few chains and three temperatures, averaged as Z, not as log Z."""
    net = pixel_net(1.5, -1.0)
    annealing = _Annealing(net, "valid", seeded(2), temperatures=3, steps=1, interrupt=lambda: None)
    weights = annealing.log_weights((40_000, 1, 1, 1), [1.2, 0.9, 0.5]).exp()
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
    line = torch.linspace(-10, 10, 801, dtype=torch.float64)
    pixels = torch.cartesian_prod(line, line).view(-1, 1, 1, 2)
    area = math.log((line[1] - line[0]).item() ** 2)
    with torch.no_grad():
        expected = (log_density(one.net, pixels, 0.0, boundary).logsumexp(dim=0) + area).item()
    assert 0.3 < abs(expected) < 8
    found = log_partition(one.net, (1, 2), boundary=boundary, generator=seeded(3), chains=400, temperatures=30)
    assert found.standard_error < 0.15
    assert found.value == pytest.approx(expected, abs=4 * found.standard_error)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("top", ["convolutional", "object", "category"])
def test_where_all_units_stay_active_log_z_is_that_of_the_gaussian(top, boundary):
    size = (8, 8)
    shape = Architecture((ConvLayer(3, 3, 2), ConvLayer(2, 2)), 1)
    side = {"valid": 8, "torus": 8 + shape.halo, "padded": 8 + 2 * shape.halo}[boundary]
    top_size = (shape.map_sizes(side)[-1],) * 2 if top == "object" else None
    net = always_on(top, top_size)
    scale = 0.1 if top == "object" else 0.3  # so that annealing has not too far to go
    with torch.no_grad():
        (net.category_weights if top == "category" else net.weights[-1]).mul_(scale)
    expected = gaussian_log_partition(net, size, boundary)
    found = log_partition(net, size, boundary=boundary, generator=seeded(4), chains=100, temperatures=60)
    assert found.value == pytest.approx(expected, abs=4 * found.standard_error + 1e-9 * abs(expected))


def test_on_one_piece_every_transition_is_taken_and_leaves_the_gaussian_as_it_is():
    """ε of any size: from N(σ² β B, σ²) straight back into it."""
    net, beta = always_on(), 0.4
    annealing = _Annealing(net, "valid", seeded(5), temperatures=1, steps=1, interrupt=lambda: None)
    decoding = decode(net, torch.zeros(1, 1, 9, 9, dtype=torch.float64))
    mean, std = beta * 1.3**2 * decoding.basis, 1.3
    start = mean + std * torch.randn(4000, 1, 9, 9, generator=seeded(6), dtype=torch.float64)
    chains = annealing._look(start)
    for step_size in (0.3, 1.0, 2**0.5 * std):
        moved, acceptance = annealing._transition(chains, beta, step_size)
        assert acceptance == pytest.approx(1, abs=1e-6)
        deviation = (moved.images - mean) / std
        assert deviation.mean().abs() < 4.5 / deviation.numel() ** 0.5
        assert deviation.var().item() == pytest.approx(1, abs=4.5 * (2 / deviation.numel()) ** 0.5)
        covariance = ((start - mean) * (moved.images - mean)).mean().item() / std**2
        expected = 1 - step_size**2 / (2 * std**2)  # the autoregression of eq. 19
        assert covariance == pytest.approx(expected, abs=5 / deviation.numel() ** 0.5)


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_a_transition_leaves_the_tempered_density_invariant_across_pieces(beta):
    """One pixel of three pieces: samples by quadrature of q exp(β f), moved once, still have its quantiles.

    Without the Metropolis test they would not: that is checked too.
    """
    net = GenerativeConvNet(Architecture((ConvLayer(2, 1),), 1)).double()
    with torch.no_grad():
        net.weights[0].copy_(torch.tensor([2.0, -1.8]).view(2, 1, 1, 1))
        net.biases[0].copy_(torch.tensor([-0.5, -1.0]))
    line = torch.linspace(-9, 9, 60_001, dtype=torch.float64).view(-1, 1, 1, 1)
    with torch.no_grad():
        cumulative = (beta * net.score(line) - line.flatten() ** 2 / 2).exp().cumsum(dim=0)
    cumulative /= cumulative[-1].clone()
    count = 40_000
    drawn = torch.searchsorted(cumulative, torch.rand(count, generator=seeded(7), dtype=torch.float64))
    annealing = _Annealing(net, "valid", seeded(8), temperatures=1, steps=1, interrupt=lambda: None)
    chains = annealing._look(line[drawn])
    for step_size in (1.4, 0.8):
        chains, acceptance = annealing._transition(chains, beta, step_size)
        assert 0.3 < acceptance < 0.995

    def distance(images):
        """Kolmogorov and Smirnov's, in its standard units: above 1.95 in one of a thousand."""
        ranks = cumulative[torch.searchsorted(line.flatten(), images.flatten().sort().values).clamp(max=60_000)]
        return (ranks - torch.linspace(0, 1, count, dtype=torch.float64)).abs().max().item() * count**0.5

    assert distance(chains.images) < 2.2
    mean = beta * chains.basis
    uncorrected = mean + 0.02 * (chains.images - mean) + (1 - 0.02**2) ** 0.5 * annealing._noise((count, 1, 1, 1))
    assert distance(uncorrected) > 3


def test_the_net_without_filters_is_the_reference_itself():
    found = log_partition(pixel_net(0.0, -1.0), (1, 1), generator=seeded(), chains=3, temperatures=2)
    assert found == LogPartition(0.0, 0.0, pytest.approx(3.0))


def test_the_jackknife_is_the_usual_error_where_weights_are_alike_and_larger_where_one_outweighs_all():
    alike = 0.1 * torch.randn(200, generator=seeded(1), dtype=torch.float64)
    usual = alike.exp().std().item() / alike.exp().mean().item() / 200**0.5
    assert _estimate(alike).standard_error == pytest.approx(usual, rel=0.02)
    assert _estimate(alike).effective_samples == pytest.approx(200 / 1.01, rel=0.01)
    apart = torch.tensor([0.0, -30.0, -40.0, -60.0], dtype=torch.float64)
    assert _estimate(apart).value == pytest.approx(-math.log(4))
    assert _estimate(apart).effective_samples == pytest.approx(1)
    assert _estimate(apart).standard_error > 10


def test_the_estimate_does_not_overflow():
    found = _estimate(torch.tensor([5000.0, 5000.0 + math.log(3)], dtype=torch.float64))
    assert found.value == pytest.approx(5000 + math.log(2))


def test_the_generator_decides_the_estimate():
    one = case("one", [(3, 3, 2)], (6, 6), "torus")
    first, same, other = (
        log_partition(one.net, (6, 6), boundary="torus", generator=seeded(seed), chains=4, temperatures=5)
        for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other


def test_the_global_generator_has_no_say_and_the_net_stays_as_it_is():
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
    assert len(calls) == 2 * 3  # the pilot's and those that count


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"chains": 1}, "chains >= 2"),
        ({"temperatures": 0}, "temperatures >= 1"),
        ({"steps": 0}, "steps >= 1"),
        ({"size": (2, 2)}, "smaller than the net's window"),
    ],
)
def test_refused_settings_say_what_is_asked(settings, what):
    net = GenerativeConvNet(Architecture((ConvLayer(2, 3),), 1))
    with pytest.raises(ValueError, match=what):
        log_partition(net, settings.pop("size", (5, 5)), generator=seeded(), **settings)


def test_single_precision_gives_the_estimate_of_double_precision():
    one = case("one", [(6, 3, 2), (4, 3, 1)], (10, 10), "torus", reference_std=8.0, channels=3)
    with torch.no_grad():
        one.net.weights[0].div_(8)
    settings = {"boundary": "torus", "chains": 16, "temperatures": 40}
    double = log_partition(one.net, (10, 10), generator=seeded(1), **settings)
    single = log_partition(one.net.float(), (10, 10), generator=seeded(2), **settings)
    assert single.value == pytest.approx(double.value, abs=4 * (single.standard_error + double.standard_error))


def test_chains_carry_the_score_and_basis_of_their_pictures():
    one = case("one", [(3, 3, 2), (2, 2, 1)], (9, 9), "valid")
    annealing = _Annealing(one.net, "valid", seeded(), temperatures=1, steps=1, interrupt=lambda: None)
    with torch.no_grad():
        chains = annealing._look(one.images)
        for _ in range(5):
            chains, _ = annealing._transition(chains, 0.7, 0.9)
    assert isinstance(chains, _Chains)
    decoding = decode(one.net, chains.images)
    torch.testing.assert_close(chains.basis, decoding.basis)
    torch.testing.assert_close(chains.score, one.net.score(chains.images))
