import pytest
import torch
from nets import (
    BOUNDARIES,
    CASES,
    TOPS,
    case,
    each_once,
    every_case,
    parabolas_of_energy,
    pixel,
    pixel_net,
    random_case,
)

from core.theory.decoding import basis, decode, deconvolve, encode, find_mode, reconstruct

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def inner(one, other):
    return (one * other).sum(dim=(1, 2, 3))


def gradient_of_score(case, images):
    images = images.clone().requires_grad_()
    return torch.autograd.grad(case.net.score(images, case.boundary).sum(), images)[0]


def same_pattern(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@every_case
def test_eq17_score_is_offset_plus_inner_product_with_basis(case):
    decoding = decode(case.net, case.images, case.boundary)
    linear = decoding.offset + inner(case.images, decoding.basis)
    torch.testing.assert_close(case.net.score(case.images, case.boundary), linear, **EXACT)


@every_case
def test_eq16_basis_is_the_gradient_of_the_score_that_autograd_finds(case):
    decoding = decode(case.net, case.images, case.boundary)
    torch.testing.assert_close(decoding.basis, gradient_of_score(case, case.images), **EXACT)
    assert decoding.basis.shape == case.images.shape


@every_case
def test_eq13_activations_are_where_filter_response_and_bias_exceed_zero(case):
    activations = encode(case.net, case.images, case.boundary)
    below = case.net.extend(case.images, case.boundary)
    for stride, weight, bias, activation in zip(
        case.net.strides, case.net.weights, case.net.biases, activations, strict=True
    ):
        windows = below.unfold(2, weight.shape[2], stride).unfold(3, weight.shape[3], stride)
        response = torch.einsum("nihwab,kiab->nkhw", windows, weight) + bias.view(1, -1, 1, 1)
        assert activation.dtype == torch.bool
        assert torch.equal(activation, response > 0)
        below = activation * response  # eq. 14
    assert same_pattern(activations, decode(case.net, case.images, case.boundary).activations)


@every_case
def test_eq15_score_is_linear_in_every_layers_maps(case):
    """f = α_l + ⟨B^(l), F^(l) * I⟩ at each l, with B^(l) and α_l run down from the top in the test."""
    maps = [case.net.extend(case.images, case.boundary), *case.net.feature_maps(case.images, case.boundary)]
    score = case.net.score(case.images, case.boundary)
    coefficients, offset = torch.ones_like(maps[-1]), torch.zeros_like(score)
    if case.net.category_weights is not None:
        coefficients = coefficients * case.net.category_weights.view(1, -1, 1, 1)
    for level in reversed(range(len(case.net.weights))):
        torch.testing.assert_close(offset + inner(coefficients, maps[level + 1]), score, **EXACT)
        coefficients = coefficients * (maps[level + 1] > 0)
        offset = offset + inner(coefficients, case.net.biases[level].view(1, -1, 1, 1))
        coefficients = deconvolve(
            coefficients, case.net.weights[level], case.net.strides[level], maps[level].shape[-2:]
        )
    torch.testing.assert_close(offset + inner(coefficients, maps[0]), score, **EXACT)
    decoding = decode(case.net, case.images, case.boundary)
    torch.testing.assert_close(decoding.offset, offset, **EXACT)
    torch.testing.assert_close(decoding.basis, case.net.fold_back(coefficients, case.boundary), **EXACT)


@every_case
def test_basis_alone_is_the_basis_of_the_full_decoding(case):
    torch.testing.assert_close(
        basis(case.net, case.images, case.boundary), decode(case.net, case.images, case.boundary).basis, **EXACT
    )


@every_case
def test_theorem1_on_one_piece_the_score_is_linear_and_the_energy_that_of_a_gaussian(case):
    """Along a segment inside one piece: the same pattern, α and B, and energy ‖I - σ²B‖² / 2σ² + constant (eq. 18)."""
    start = case.images[:1]
    generator = torch.Generator().manual_seed(7)
    direction = torch.randn(start.shape, generator=generator, dtype=start.dtype)
    decoding = decode(case.net, start, case.boundary)
    length = 1.0
    while not same_pattern(encode(case.net, start + length * direction, case.boundary), decoding.activations):
        length /= 2
    assert length > 1e-6

    def distance_term(images):
        return (images - case.variance * decoding.basis).square().sum(dim=(1, 2, 3)) / (2 * case.variance)

    constant = case.net.energy(start, case.boundary) - distance_term(start)
    for share in (0.1, 0.35, 0.5, 0.8, 1.0):
        inside = start + share * length * direction
        there = decode(case.net, inside, case.boundary)
        assert same_pattern(there.activations, decoding.activations)  # a piece is convex
        torch.testing.assert_close(there.basis, decoding.basis, **EXACT)
        torch.testing.assert_close(there.offset, decoding.offset, **EXACT)
        linear = decoding.offset + inner(inside, decoding.basis)
        torch.testing.assert_close(case.net.score(inside, case.boundary), linear, **EXACT)
        torch.testing.assert_close(case.net.energy(inside, case.boundary), constant + distance_term(inside), **EXACT)


def test_opposite_pictures_lie_in_different_pieces():
    """The linearity above is not that of the whole space: far away the basis differs."""
    changed = [
        not torch.allclose(
            basis(one.net, one.images[:1], one.boundary), basis(one.net, -one.images[:1], one.boundary), atol=1e-6
        )
        for one in CASES
    ]
    assert sum(changed) > len(changed) // 2


@every_case
def test_eq20_reconstruction_is_where_the_density_of_the_piece_is_largest(case):
    """Along each pixel the energy of the piece is a parabola of curvature 1/σ², whose vertex lies at σ²B.

    The energies of pictures beside it tell so, without B.
    """
    image = case.images[:1]
    slope, curvature = parabolas_of_energy(case, image)
    torch.testing.assert_close(curvature, torch.full_like(curvature, 1 / case.variance), rtol=1e-4, atol=0)
    vertex = image[0] - case.variance * slope
    torch.testing.assert_close(reconstruct(case.net, image, case.boundary)[0], vertex, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("size", [(5, 5), (6, 7), (7, 5)])
def test_eq16_deconvolution_is_the_transpose_of_the_convolution(size):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 2, 3, 3, generator=generator, dtype=torch.float64)
    images = torch.randn(1, 2, *size, generator=generator, dtype=torch.float64)
    maps = torch.nn.functional.conv2d(images, weight, stride=2)
    coefficients = torch.randn(maps.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(
        inner(maps, coefficients), inner(images, deconvolve(coefficients, weight, 2, images.shape[2:])), **EXACT
    )


def test_decoding_builds_no_autograd_graph():
    one = case("one", [(3, 3, 2)], (9, 9), "valid")
    assert one.net.weights[0].requires_grad
    decoding = decode(one.net, one.images)
    assert not decoding.basis.requires_grad
    assert not decoding.offset.requires_grad
    assert not find_mode(one.net, one.images).images.requires_grad


@each_once("top, boundary", TOPS, BOUNDARIES)
def test_prop2_a_converged_mode_is_its_own_reconstruction_and_a_local_energy_minimum(top, boundary):
    generator = torch.Generator().manual_seed(11)
    converged = 0
    cases = [one for one in CASES if one.boundary == boundary and one.net.architecture.top == top]
    for one in [*cases, *(random_case(300 + seed, boundary, top) for seed in range(6))]:
        modes = find_mode(one.net, one.images, max_steps=100, tolerance=1e-9, boundary=boundary)
        found = modes.images[modes.converged]
        if not len(found):
            continue
        converged += found.flatten(1).any(dim=1).sum().item()  # a blank mode, B = 0, counts for little
        mean = one.variance * decode(one.net, found, boundary).basis
        assert (found - mean).flatten(1).norm(dim=1).le(1e-6 * found.flatten(1).norm(dim=1)).all()
        energy = one.net.energy(found, boundary)
        for size in (1e-4, 1e-5):  # within the piece, whose border may lie near
            for _ in range(5):
                direction = torch.randn(found.shape, generator=generator, dtype=found.dtype)
                direction /= direction.flatten(1).norm(dim=1)[:, None, None, None]  # a shorter step is lost in rounding
                away = size * one.variance**0.5 * direction
                assert (one.net.energy(found + away, boundary) > energy).all(), one.name
    assert converged >= 4


@every_case
def test_prop2_the_energy_never_rises_on_the_way_to_a_mode(case):
    energy = case.net.energy(case.images, case.boundary)
    for steps in range(1, 8):
        images = find_mode(case.net, case.images, max_steps=steps, tolerance=1e-9, boundary=case.boundary).images
        lower = case.net.energy(images, case.boundary)
        assert (lower <= energy + 1e-12 * (1 + energy.abs())).all()
        energy = lower


def test_find_mode_reports_that_it_was_stopped_early():
    one = next(one for one in CASES if find_mode(one.net, one.images, boundary=one.boundary).steps > 3)
    stopped = find_mode(one.net, one.images, max_steps=1, boundary=one.boundary)
    assert stopped.steps == 1
    assert not stopped.converged.all()
    at_once = find_mode(one.net, one.images, max_steps=0, boundary=one.boundary)
    assert torch.equal(at_once.images, one.images)
    assert not at_once.converged.any()


@every_case
def test_find_mode_returns_the_residual_of_its_pictures(case):
    modes = find_mode(case.net, case.images, max_steps=60, boundary=case.boundary)
    mean = reconstruct(case.net, modes.images, case.boundary)
    size = modes.images.flatten(1).norm(dim=1)
    distance = (modes.images - mean).flatten(1).norm(dim=1)
    torch.testing.assert_close(modes.residual, torch.where(size > 0, distance / size, distance), rtol=1e-9, atol=1e-15)
    assert torch.equal(modes.converged, modes.residual <= 1e-6)
    assert modes.steps <= 60


def test_find_mode_does_not_change_its_argument():
    one = case("one", [(3, 3, 2)], (9, 9), "valid")
    before = one.images.clone()
    find_mode(one.net, one.images)
    assert torch.equal(one.images, before)


def test_find_mode_takes_one_step_to_the_mean_of_a_piece_that_holds_it():
    """f(x) = max(0, 3x): from x = 1 the mean 3 lies in the same piece."""
    modes = find_mode(pixel_net((1.0, 0.0, 3.0)), pixel(1.0))
    assert modes.converged.all()
    assert modes.steps == 1
    torch.testing.assert_close(modes.images, pixel(3.0))


def test_find_mode_returns_to_full_steps_after_a_halved_one():
    """Slope 4 below 1, 2 up to 3, then -20: from 0.4 the jump to 4 is refused, half of it lands beside the mean 2."""
    net = pixel_net((1.0, 50.0, 4.0), (1.0, -1.0, -2.0), (1.0, -3.0, -22.0))
    modes = find_mode(net, pixel(0.4))
    torch.testing.assert_close(modes.images, pixel(2.0))
    assert modes.converged.all()
    assert modes.steps == 3


def test_find_mode_reports_no_convergence_on_the_border_of_two_pieces():
    """f(x) = 2x below 1, falling beyond: the energy is least at the border 1, where neither mean, 2 or -1, is."""
    net = pixel_net((1.0, 0.0, 2.0), (1.0, -1.0, -3.0))
    modes = find_mode(net, pixel(0.5))
    torch.testing.assert_close(modes.images, pixel(1.0))
    assert not modes.converged.any()
    assert modes.residual.item() > 0.5
    for away in (-1e-3, 1e-3):
        assert net.energy(pixel(1.0 + away)) > net.energy(pixel(1.0))


def test_find_mode_does_not_jump_over_a_dip_to_a_mean_of_higher_energy():
    """f has slope 4 below 1, -6 up to 3, and 4 again: the mean 4 is its own reconstruction, but at higher energy."""
    net = pixel_net((1.0, 50.0, 4.0), (1.0, -1.0, -10.0), (1.0, -3.0, 10.0))
    assert reconstruct(net, pixel(0.0)) == reconstruct(net, pixel(4.0)) == 4.0
    assert net.energy(pixel(4.0)) > net.energy(pixel(0.0))
    modes = find_mode(net, pixel(0.0))
    assert net.energy(modes.images) <= net.energy(pixel(0.0))


def test_find_mode_judges_each_picture_of_a_batch_by_itself():
    net = pixel_net((1.0, 0.0, 2.0), (1.0, -1.0, -3.0), (-1.0, -3.0, 5.0))
    modes = find_mode(net, torch.cat([pixel(0.5), pixel(-1.0), pixel(-4.0)]))
    assert modes.converged.tolist() == [False, True, True]
    torch.testing.assert_close(modes.images.flatten(), torch.tensor([1.0, 0.0, -5.0], dtype=torch.float64))


def test_find_mode_of_a_blank_model_is_the_blank_picture():
    """With no active unit B = 0: the reference itself, whose mode is zero."""
    modes = find_mode(pixel_net((1.0, -10.0, 1.0)), pixel(2.0))
    assert modes.converged.all()
    assert torch.equal(modes.images, pixel(0.0))


def test_find_mode_calls_after_step_and_stops_if_it_raises():
    case, told = CASES[0], []
    modes = find_mode(case.net, case.images, boundary=case.boundary, after_step=told.append)
    assert told == list(range(1, modes.steps + 1))
    assert told

    def stop(step):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_mode(case.net, case.images, tolerance=0.0, boundary=case.boundary, after_step=stop)
