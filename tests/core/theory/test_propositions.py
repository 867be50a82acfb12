"""What the paper proves, beyond a line of formula: Theorem 1 across pieces, Propositions 2 and 3.

Proposition 1 is in test_classification.py.
"""

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from nets import CASES, case, every_case, parabolas_of_energy, pixel, pixel_net
from torch.nn import functional

from core.theory.decoding import decode, encode, find_mode, reconstruct, reconstruction_loss
from core.theory.langevin import langevin_step
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet

EXACT = {"rtol": 1e-9, "atol": 1e-9}
TOPS = ["convolutional", "object", "category"]


def inner(one, other):
    return (one * other).sum(dim=(1, 2, 3))


def same_pattern(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# Theorem 1: the pieces, and what happens between two.


@dataclass(frozen=True)
class Crossing:
    """Where a segment leaves a piece: the last picture found within it, the first beyond, and where it was entered."""

    entered: torch.Tensor
    before: torch.Tensor
    after: torch.Tensor


def crossings(case, length, most):
    """The first borders on a segment of `length` σ from the case's picture, each narrowed down to 1e-11 of it.

    A piece is convex, so along the segment its pattern holds up to one place and never again: bisection finds it.
    """
    generator = torch.Generator().manual_seed(17)
    start = case.images[:1]
    direction = torch.randn(start.shape, generator=generator, dtype=start.dtype)
    direction *= length * case.variance**0.5 / direction.abs().max()

    def at(share):
        return start + share * direction

    found, entered = [], 0.0
    while len(found) < most:
        pattern = encode(case.net, at(entered), case.boundary)
        within, beyond = entered, 1.0
        if same_pattern(encode(case.net, at(beyond), case.boundary), pattern):
            break
        while beyond - within > 1e-11:
            middle = (within + beyond) / 2
            if same_pattern(encode(case.net, at(middle), case.boundary), pattern):
                within = middle
            else:
                beyond = middle
        found.append(Crossing(at(entered), at(within), at(beyond)))
        entered = beyond
    return found


def contribution_of_switched(case, before, after):
    """What the units that switch between two pictures add to B and α, by autograd, and the layer in which they lie.

    Σ ± B_k^(l)(x) ∇r and Σ ± B_k^(l)(x) (r - ⟨I, ∇r⟩), r their responses (eq. 1 spelled out).
    """
    image = before.clone().requires_grad_()
    responses, maps = [], []
    below = case.net.extend(image, case.boundary)
    for weight, bias, stride in zip(case.net.weights, case.net.biases, case.net.strides, strict=True):
        responses.append(functional.conv2d(below, weight, bias, stride=stride))
        maps.append(responses[-1].relu())
        below = maps[-1]
    on = [
        later.double() - earlier.double()
        for earlier, later in zip(
            encode(case.net, before, case.boundary), encode(case.net, after, case.boundary), strict=True
        )
    ]
    (layer,) = [index for index, change in enumerate(on) if change.any()]
    (coefficients,) = torch.autograd.grad(case.net.scores_of(maps[-1]).sum(), maps[layer], retain_graph=True)
    weighted = (on[layer] * coefficients.detach() * responses[layer]).sum()
    (basis,) = torch.autograd.grad(weighted, image)
    return basis, weighted.detach() - inner(before, basis), layer


@every_case
def test_theorem1_along_a_long_segment_each_piece_is_linear_and_at_its_border_only_what_switches_changes(case):
    for crossing in crossings(case, length=6.0, most=4):
        here = decode(case.net, crossing.before, case.boundary)
        for share in (0.0, 0.3, 0.9):  # the same α and B all over the piece
            inside = crossing.entered + share * (crossing.before - crossing.entered)
            there = decode(case.net, inside, case.boundary)
            assert same_pattern(there.activations, here.activations)
            torch.testing.assert_close(there.basis, here.basis, **EXACT)
            torch.testing.assert_close(there.offset, here.offset, **EXACT)
            torch.testing.assert_close(
                case.net.score(inside, case.boundary), here.offset + inner(inside, here.basis), **EXACT
            )
        beyond = decode(case.net, crossing.after, case.boundary)
        basis, offset, _ = contribution_of_switched(case, crossing.before, crossing.after)
        torch.testing.assert_close(beyond.basis - here.basis, basis, **EXACT)
        torch.testing.assert_close(beyond.offset - here.offset, offset, rtol=1e-9, atol=1e-8)
        # f is continuous there: both pieces' linear forms say the same
        torch.testing.assert_close(
            beyond.offset + inner(crossing.before, beyond.basis),
            here.offset + inner(crossing.before, here.basis),
            rtol=1e-9,
            atol=1e-8,
        )


@pytest.mark.parametrize("top", TOPS)
def test_theorem1_the_segments_do_cross_borders_of_every_layer_at_which_the_basis_jumps(top):
    layers, jumps = set(), 0
    for one in (one for one in CASES if one.net.architecture.top == top):
        for crossing in crossings(one, length=6.0, most=8):
            basis, _, layer = contribution_of_switched(one, crossing.before, crossing.after)
            layers.add(layer)
            jumps += bool(basis.norm() > 1e-3)
    assert layers >= {0, 1}
    assert jumps >= 20


# Proposition 2: local modes are exactly auto-encoding, as in a Hopfield network.


@pytest.mark.parametrize("top", ["object", "category"])
def test_prop2_find_mode_reports_no_convergence_between_two_pieces(top):
    """An object's ReLU, or a category's negative weight, can make the energy least on a border, where no mean lies."""
    net = _two_slopes(top)
    assert reconstruct(net, pixel(0.5)).item() == pytest.approx(2.0)
    assert reconstruct(net, pixel(1.5)).item() == pytest.approx(-1.0)
    modes = find_mode(net, pixel(0.5))
    torch.testing.assert_close(modes.images, pixel(1.0))
    assert not modes.converged.any()
    assert modes.residual.item() > 0.5


@pytest.mark.parametrize("top", ["object", "category"])
def test_prop2_find_mode_reports_an_early_stop(top):
    stopped = [
        find_mode(one.net, one.images, max_steps=0, boundary=one.boundary)
        for one in CASES
        if one.net.architecture.top == top
    ]
    assert all(modes.steps == 0 and not modes.converged.any() for modes in stopped)


def _two_slopes(top):
    """f(x) = 2x up to 1, falling by one a pixel beyond, as an object's or as a category's score (x > 0, σ = 1)."""
    shape = pixel_net((1.0, 0.0, 2.0), (1.0, -1.0, -3.0))
    covered = (1, 1) if top == "object" else None
    net = GenerativeConvNet(Architecture((ConvLayer(2, 1),), channels=1, top=top, top_size=covered)).double()
    with torch.no_grad():
        net.weights[0].copy_(shape.weights[0])
        net.biases[0].copy_(shape.biases[0])
        if net.category_weights is not None:
            net.category_weights.copy_(shape.weights[1].flatten())
        else:
            net.weights[1].copy_(shape.weights[1])
            net.biases[1].zero_()
    return net


STEP_SIZE = 8.0  # = σ, grey levels


def learn_by_contrastive_divergence(net, images, iterations=300, rate=0.01):
    """Eq. 22 and no more: each iteration one Langevin step from the pictures, Adam up the difference of the scores."""
    generator = torch.Generator().manual_seed(5)
    optimizer = torch.optim.Adam(net.parameters(), betas=(0.5, 0.99))
    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (iteration + 1) / 30) * 0.02 ** (iteration / iterations)
        observed = images + 10 * torch.randn(images.shape, generator=generator)
        synthesized = langevin_step(net, observed, STEP_SIZE, generator)
        optimizer.zero_grad()
        (net.score(synthesized) - net.score(observed)).mean().backward()
        optimizer.step()


def memories(count=4, size=16):
    """Smooth patterns of 50 grey levels, each far from every other."""
    coarse = torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(7))
    images = functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    images *= 50 / images.std(dim=(1, 2, 3), keepdim=True)
    return images - images.mean()


@pytest.mark.parametrize(
    ("layers", "near"),
    [
        ((ConvLayer(16, 16),), 0.3),
        ((ConvLayer(24, 16), ConvLayer(12, 1)), 0.1),
    ],
    ids=["prototype", "two layers"],
)
def test_prop2_after_one_step_contrastive_divergence_noisy_pictures_return_to_their_originals(layers, near):
    """Hopfield's memory (sec. 6): from a picture under noise the dynamics finds a mode beside that picture.

    Distances are in units of a picture's size; between two pictures there is more than one.
    """
    images = memories()
    size = images.flatten(1).norm(dim=1).mean()
    apart = torch.cdist(images.flatten(1), images.flatten(1)) / size + 2 * torch.eye(len(images))
    assert apart.min() > 1
    noise = 25 * torch.randn(images.shape, generator=torch.Generator().manual_seed(3))
    net = GenerativeConvNet(Architecture(layers, channels=1, reference_std=STEP_SIZE), torch.Generator().manual_seed(2))

    def fallen():
        modes = find_mode(net, images + noise)
        return modes, torch.cdist(modes.images.flatten(1), images.flatten(1)) / size

    _, unlearned = fallen()
    assert unlearned.min() > 0.9  # before learning every picture falls to about nothing
    learn_by_contrastive_divergence(net, images)
    modes, distance = fallen()
    assert modes.converged.all()
    assert torch.equal(distance.argmin(dim=1), torch.arange(len(images)))
    assert distance.diag().max() < near


# Proposition 3: one-step contrastive divergence reconstructs.


def gradient_of_reconstruction(case, images):
    parameters = list(case.net.parameters())
    loss = reconstruction_loss(case.net, images, case.boundary).sum()
    return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)


def basis_of_weights(case, images):
    """B as a function of w, by autograd of the score, its graph kept."""
    images = images.clone().requires_grad_()
    score = case.net.score(images, case.boundary).sum()
    return torch.autograd.grad(score, images, create_graph=True)[0]


@every_case
def test_eq23_the_reconstruction_gradient_is_minus_the_error_times_the_basis_gradient(case):
    """∂/∂w ½‖I - σ²B‖² = -σ² ⟨I - σ²B, ∂B/∂w⟩."""
    basis = basis_of_weights(case, case.images)
    error = (case.images - case.variance * basis).detach()
    weighted = -case.variance * (error * basis).sum()
    expected = torch.autograd.grad(weighted, list(case.net.parameters()), allow_unused=True, materialize_grads=True)
    for one, other in zip(gradient_of_reconstruction(case, case.images), expected, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


@every_case
def test_eq23_the_loss_is_half_the_squared_reconstruction_error(case):
    """The error is σ² times the energy's slope, which the energies of pictures beside it tell, without B."""
    image = case.images[:1]
    slope, _ = parabolas_of_energy(case, image)
    expected = (case.variance * slope).square().sum() / 2
    torch.testing.assert_close(
        reconstruction_loss(case.net, image, case.boundary), expected[None], rtol=1e-7, atol=1e-7
    )


def test_eq23_the_reconstruction_loss_falls_along_its_gradient_while_the_pattern_holds():
    one = case("one", [(3, 3, 2), (2, 2, 1)], (9, 9), "valid", reference_std=1.5)
    gradient = gradient_of_reconstruction(one, one.images)
    before = reconstruction_loss(one.net, one.images).sum().item()
    pattern, rate = encode(one.net, one.images), 1e-7
    with torch.no_grad():
        for parameter, slope in zip(one.net.parameters(), gradient, strict=True):
            parameter -= rate * slope
    assert same_pattern(encode(one.net, one.images), pattern)
    fall = before - reconstruction_loss(one.net, one.images).sum().item()
    assert fall == pytest.approx(rate * sum(slope.square().sum().item() for slope in gradient), rel=1e-4)


def contrastive_gradient(case, images, step_size, noise):
    """∂f(I_obs)/∂w - ∂f(I_syn)/∂w, I_syn one Langevin step from I_obs, in the mean over the noise and its negative."""
    parameters = list(case.net.parameters())
    step = partial(langevin_step, case.net, images, step_size, boundary=case.boundary)
    synthesized = [step(noise=noise), step(noise=-noise)]
    difference = case.net.score(images, case.boundary) - sum(
        case.net.score(one, case.boundary) / 2 for one in synthesized
    )
    return torch.autograd.grad(difference.sum(), parameters), synthesized


def within_one_piece(case, images, noise):
    """The largest step size of a halving series whose steps, along the noise and against it, change no pattern."""
    pattern, step_size = encode(case.net, images, case.boundary), 1.0

    def keeps(sign):
        moved = langevin_step(case.net, images, step_size, noise=sign * noise, boundary=case.boundary)
        return same_pattern(encode(case.net, moved, case.boundary), pattern)

    while not (keeps(1) and keeps(-1)):
        step_size /= 2
    return step_size


@every_case
def test_eq24_prop3_the_expected_gradient_of_one_step_contrastive_divergence_is_that_of_reconstruction(case):
    """E_Z[∂f(I_obs)/∂w - ∂f(I_syn)/∂w] = -ε²/2σ⁴ ∂/∂w ½‖I_obs - σ²B‖², for every weight and bias.

    On one piece ∂f/∂w is linear in I, so that the mean over Z and -Z is the expectation exactly. A bias is in α alone,
    which I_obs and I_syn share: its gradient is zero, as the reconstruction's is.
    """
    images = case.images[:1]
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(29), dtype=images.dtype)
    step_size = within_one_piece(case, images, noise)
    assert step_size > 1e-6
    found, _ = contrastive_gradient(case, images, step_size, noise)
    factor = -(step_size**2) / (2 * case.variance**2)
    expected = gradient_of_reconstruction(case, images)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, factor * other, rtol=1e-9, atol=1e-12)
    biases = {id(bias) for bias in case.net.biases}
    for parameter, one in zip(case.net.parameters(), expected, strict=True):
        assert id(parameter) not in biases or not one.any()


def test_eq24_prop3_the_gradients_compared_are_far_from_zero_and_proportional_by_the_constant():
    """The proposition's tolerance above would pass for gradients of nothing; here most cases have some."""
    ratios = []
    for one in CASES:
        images = one.images[:1]
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(29), dtype=images.dtype)
        step_size = within_one_piece(one, images, noise)
        expected = torch.cat([slope.flatten() for slope in gradient_of_reconstruction(one, images)])
        found = torch.cat([slope.flatten() for slope in contrastive_gradient(one, images, step_size, noise)[0]])
        if step_size**2 * expected.norm() > 1e-7:
            ratios.append((found @ expected / expected.square().sum() / step_size**2 * -2 * one.variance**2).item())
    assert len(ratios) > len(CASES) // 2
    assert ratios == pytest.approx([1.0] * len(ratios), rel=1e-6)


def test_prop3_needs_the_pattern_to_hold():
    """With steps that change it the expected gradient is another: in most cases by more than a tenth."""
    apart = 0
    for one in CASES:
        images = one.images[:1]
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(29), dtype=images.dtype)
        step_size = one.variance**0.5
        found, _ = contrastive_gradient(one, images, step_size, noise)
        factor = -(step_size**2) / (2 * one.variance**2)
        expected = [factor * slope for slope in gradient_of_reconstruction(one, images)]
        error = sum((a - b).square().sum() for a, b in zip(found, expected, strict=True)) ** 0.5
        apart += bool(error > 0.1 * sum(slope.square().sum() for slope in expected) ** 0.5)
    assert apart > len(CASES) // 2


def test_prop3_holds_in_the_mean_over_ordinary_noise():
    """Biases so large that one piece is all there is: 4000 independent steps, within 4.5 standard errors."""
    one = case("one", [(2, 3, 2)], (5, 5), "valid", reference_std=2.0)
    with torch.no_grad():
        one.net.biases[0].fill_(200.0)
    count, step_size = 4000, 1.0
    images = one.images[:1].expand(count, -1, -1, -1)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(31), dtype=images.dtype)
    synthesized = langevin_step(one.net, images, step_size, noise=noise)
    assert all(activation.all() for activation in encode(one.net, synthesized))
    difference = one.net.score(images[:1]).sum() - one.net.score(synthesized).mean()
    found, _ = torch.autograd.grad(difference, list(one.net.parameters()))
    expected = -(step_size**2) / (2 * one.variance**2) * gradient_of_reconstruction(one, images[:1])[0]
    error = step_size * (4 / count) ** 0.5  # of the sum of ε Z over the filter's four positions
    assert (found - expected).abs().max() < 4.5 * error
    assert expected.abs().max() > 10 * error
