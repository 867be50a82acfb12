"""The fast engine's net on blocks against the reference engine (core/engine/blocked.py, core/engine/fast.py)."""

import copy
from dataclasses import replace

import pytest
import torch
from engines import (
    ENGINE_CASES,
    every_engine_case,
    in_double_precision,
    in_single_precision,
    layout_of,
    relative,
    seeded,
)
from hypothesis import given, settings
from nets import Case, case, random_cases, random_net, top_size

from core.engine import FastEngine, ReferenceEngine
from core.engine.blocked import BlockedNet
from core.engine.fast import CUDA_CHANNEL_ALIGNMENT
from core.engine.precision import reproducible_cudnn
from core.theory.decoding import encode, top_down
from core.theory.model import Architecture, ConvLayer, convolve, positions


def assert_same_gradient(found, expected, tolerance):
    assert len(found.parameters) == len(expected.parameters)
    for one, other in zip(found.parameters, expected.parameters, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        assert relative(one, other) <= tolerance
    assert found.score == pytest.approx(expected.score, rel=tolerance, abs=tolerance)
    assert found.active_share == pytest.approx(expected.active_share, rel=1e-12)


def assert_same_basis_and_gradient(case):
    """In double precision, by the fast and by the reference engine."""
    expected = ReferenceEngine().basis(case.net, case.images, case.boundary)
    found = FastEngine().basis(case.net, case.images, case.boundary)
    assert found.shape == case.images.shape
    assert found.dtype == torch.float64
    assert not found.requires_grad
    assert relative(found, expected) <= 1e-12
    expected = ReferenceEngine().gradient(case.net, case.images, case.boundary)
    found = FastEngine().gradient(case.net, case.images, case.boundary)
    assert_same_gradient(found, expected, 1e-12)
    assert not any(gradient.requires_grad for gradient in found.parameters)


@every_engine_case
def test_eq16_eq21_basis_gradient_score_and_active_shares_are_the_references(case):
    assert_same_basis_and_gradient(case)


def counted_in(case, seed=1):
    """About half of the top map's positions, at least one: bool (N, 1, H_L, W_L)."""
    top = case.net.feature_maps(case.images, case.boundary)[-1][:, :1]
    counted = torch.rand(top.shape, generator=seeded(seed)) < 0.5
    counted[0, 0, 0, 0] = True
    return counted


@every_engine_case
def test_eq21_the_gradient_of_the_positions_that_count_is_the_references(case):
    counted = counted_in(case)
    expected = ReferenceEngine().gradient(case.net, case.images, case.boundary, counted)
    assert_same_gradient(FastEngine().gradient(case.net, case.images, case.boundary, counted), expected, 1e-12)


@every_engine_case
def test_if_all_positions_count_the_gradient_is_that_of_whole_pictures(case):
    counted = torch.ones_like(counted_in(case))
    for engine in (FastEngine(), ReferenceEngine()):
        whole = engine.gradient(case.net, case.images, case.boundary)
        assert_same_gradient(engine.gradient(case.net, case.images, case.boundary, counted), whole, 1e-12)


@given(random_cases())
@settings(max_examples=60, deadline=None)
def test_eq16_eq21_basis_gradient_score_and_active_shares_are_the_references_on_any_net(case):
    assert_same_basis_and_gradient(case)


@every_engine_case
def test_eq16_in_single_precision_the_basis_is_that_of_double_precision_up_to_rounding(case):
    single = in_single_precision(case)
    double = in_double_precision(single)
    found = FastEngine().basis(single.net, single.images, case.boundary)
    assert found.dtype == torch.float32
    assert relative(found, ReferenceEngine().basis(double.net, double.images, case.boundary)) <= 1e-5


@pytest.mark.parametrize("size", [(21, 9), (9, 21)])
def test_eq16_in_single_precision_an_objects_filter_need_not_be_square(size):
    """oneDNN is asked for square filters alone. A map of one column has a filter of one column."""
    single = in_single_precision(case("a", [(6, 7, 2), (4, 2, 1)], size, "valid", top="object"))
    assert 1 in single.net.weights[-1].shape[2:]
    double = in_double_precision(single)
    found = FastEngine().basis(single.net, single.images, single.boundary)
    assert relative(found, ReferenceEngine().basis(double.net, double.images, single.boundary)) <= 1e-5


@every_engine_case
def test_eq21_in_single_precision_the_gradient_is_that_of_double_precision_up_to_rounding(case):
    single = in_single_precision(case)
    double = in_double_precision(single)
    expected = ReferenceEngine().gradient(double.net, double.images, case.boundary)
    found = FastEngine().gradient(single.net, single.images, case.boundary)
    for one, other in zip(found.parameters, expected.parameters, strict=True):
        assert one.dtype == torch.float32
        assert relative(one, other) <= 1e-4
    assert found.score == pytest.approx(expected.score, rel=1e-4, abs=1e-5)
    assert found.active_share == pytest.approx(expected.active_share, rel=1e-12)


def test_few_of_the_compared_bases_are_zero():
    bases = [ReferenceEngine().basis(one.net, one.images, one.boundary) for one in ENGINE_CASES]
    assert sum(bool(basis.any()) for basis in bases) > 0.9 * len(bases)


@every_engine_case
def test_padding_channels_with_zeros_changes_nothing(case):
    layout = layout_of(case)
    blocks = layout.to_blocks(case.images)
    with torch.no_grad():
        plain, padded = (BlockedNet.of(case.net, torch.float64, alignment) for alignment in (1, 8))
        assert all(weight.shape[1] % 8 == 0 for weight in padded.weights)
        assert relative(padded.basis(blocks, layout), plain.basis(blocks, layout)) <= 1e-12
        (found,), (expected,) = (net.gradients([(blocks, layout, None)]) for net in (padded, plain))
        assert_same_gradient(found, expected, 1e-12)


def test_copy_overwrites_the_weights_of_a_blocked_net_but_not_of_its_clone():
    one = case("one", [(4, 5, 2), (3, 2, 1)], (9, 8), "valid", top="category")
    other = random_net(one.net.architecture, seed=9)
    mine, theirs = (BlockedNet.of(net, torch.float64) for net in (one.net, other))
    layout = layout_of(one)
    blocks = layout.to_blocks(one.images)
    clone = mine.clone()
    expected = mine.basis(blocks, layout)
    mine.copy_(theirs)
    assert torch.equal(mine.basis(blocks, layout), theirs.basis(blocks, layout))
    assert torch.equal(clone.basis(blocks, layout), expected)
    assert not torch.equal(mine.basis(blocks, layout), expected)


@pytest.mark.parametrize(
    ("shape", "boundary"),
    [((2, 2, 9, 9), "valid"), ((2, 1, 9), "valid"), ((2, 1, 4, 9), "valid"), ((2, 1, 9, 8), "torus")],
)
@pytest.mark.parametrize("engine", [ReferenceEngine(), FastEngine()], ids=lambda engine: type(engine).__name__)
def test_pictures_that_do_not_suit_the_net_are_refused(engine, shape, boundary):
    one = case("one", [(4, 3, 2), (3, 2, 1)], (9, 9), "valid")
    images = torch.zeros(shape, dtype=torch.float64)
    for ask in (engine.basis, engine.gradient):
        with pytest.raises(ValueError, match="picture"):
            ask(one.net, images, boundary)


@pytest.mark.parametrize("size", [(8, 8), (5, 5)])
@pytest.mark.parametrize("engine", [ReferenceEngine(), FastEngine()], ids=lambda engine: type(engine).__name__)
def test_pictures_of_another_size_than_the_objects_are_refused(engine, size):
    one = case("object", [(4, 3, 1)], (6, 5), "valid", top="object")
    for ask in (engine.basis, engine.gradient):
        with pytest.raises(ValueError, match="covers maps of"):
            ask(one.net, torch.zeros(1, 1, *size, dtype=torch.float64), "valid")


def test_the_first_pictures_decide_the_size_of_an_objects_filter():
    architecture = Architecture((ConvLayer(4, 3),), 1, 1.0, "object")
    images = torch.randn(2, 1, 8, 7, generator=seeded())
    nets = [random_net(architecture, seed=3).float() for _ in range(2)]
    expected, found = (
        engine.basis(net, images, "valid") for engine, net in zip((ReferenceEngine(), FastEngine()), nets, strict=True)
    )
    assert nets[1].has_top_filter
    assert relative(found, expected) <= 1e-5


# bfloat16 rounds. A unit whose response is within rounding of zero may change sides, and then B jumps.

LARGE_NETS = {
    "15every3": ((100, 15, 3), (64, 5, 1), (30, 3, 1)),
    "9every3": ((96, 9, 3), (48, 3, 1), (32, 3, 1)),
}


def _white(shape):
    return 40 * torch.randn(shape, generator=seeded(2))


def _smooth(shape):
    """Return shapes of several pixels with faint grain."""
    coarse = torch.randn(*shape[:2], 12, 12, generator=seeded(3))
    return 40 * torch.nn.functional.interpolate(coarse, shape[2:], mode="bicubic") + 4 * torch.randn(
        shape, generator=seeded(4)
    )


def large_case(layers, images, boundary, top="convolutional"):
    architecture = Architecture(tuple(ConvLayer(*layer) for layer in layers), 3, 20.0, top)
    covered = top_size(architecture, images.shape[2:], boundary)
    return Case("large", random_net(replace(architecture, top_size=covered), seed=6).float(), images, boundary)


ON_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
every_device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_A_GPU)])


class Rounded:
    """B and gradient of a case in bfloat16 on a device, and the activation pattern that they were computed with."""

    def __init__(self, case, device):
        engine, layout = FastEngine(torch.bfloat16), layout_of(case)
        net, images = copy.deepcopy(case.net).to(device), case.images.to(device)
        with torch.no_grad(), reproducible_cudnn():
            blocked = BlockedNet.of(net, torch.bfloat16, CUDA_CHANNEL_ALIGNMENT if device == "cuda" else 1)
            maps = blocked.feature_maps(blocked._extended(layout.to_blocks(images), layout))
        self.pattern = tuple((layer[:, : len(bias)] > 0).cpu() for layer, bias in zip(maps, net.biases, strict=True))
        self.basis = engine.basis(net, images, case.boundary).cpu()
        gradient = engine.gradient(net, images, case.boundary)
        self.gradient = replace(gradient, parameters=tuple(one.cpu() for one in gradient.parameters))


def on_the_pattern(case, pattern):
    """Return B and ∂f/∂w on a given activation pattern, in double precision."""
    net, images = copy.deepcopy(case.net).double(), case.images.double()
    decoding = top_down(net, pattern, net.extend(images, case.boundary), case.boundary)
    score = (decoding.offset + (images * decoding.basis).sum(dim=(1, 2, 3))).mean() / positions(pattern)
    parameters = torch.autograd.grad(score, list(net.parameters()), materialize_grads=True)
    return decoding.basis.detach(), parameters


def changed_units(case, pattern):
    """Return for each layer the share of units that changed sides, and their strongest response in units of its rms."""
    net, below = copy.deepcopy(case.net).double(), None
    found = []
    with torch.no_grad():
        below = net.extend(case.images.double(), case.boundary)
        for weight, bias, stride, active in zip(net.weights, net.biases, net.strides, pattern, strict=True):
            responses = convolve(below, weight, bias, stride)
            changed = (responses > 0) != active
            strongest = responses[changed].abs().max().item() if changed.any() else 0.0
            found.append((changed.double().mean().item(), strongest / responses.square().mean().sqrt().item()))
            below = responses.clamp(min=0)
    return found


def _large_cases():
    for name, layers in LARGE_NETS.items():
        for kind, make in (("white", _white), ("smooth", _smooth)):
            for boundary, sides in (("torus", (48, 60)), ("valid", (52, 61)), ("padded", (38, 47))):
                yield pytest.param(large_case(layers, make((2, 3, *sides)), boundary), id=f"{name}-{kind}-{boundary}")
    for top in ("object", "category"):
        yield pytest.param(large_case(LARGE_NETS["9every3"], _white((2, 3, 40, 47)), "padded", top), id=top)


def assert_right_on_its_pattern(case, rounded):
    assert rounded.basis.dtype == torch.float32
    basis, parameters = on_the_pattern(case, rounded.pattern)
    assert relative(rounded.basis, basis) <= 1.5e-2
    for found, expected in zip(rounded.gradient.parameters, parameters, strict=True):
        assert found.dtype == torch.float32
        assert relative(found, expected) <= 2e-2


@every_device
def test_in_bfloat16_a_dozen_pictures_of_an_object_are_right_on_their_pattern(device):
    """Several pictures in a chunk, one filter that covers the whole map: in float32 oneDNN's fused pass fails here."""
    case = large_case(LARGE_NETS["9every3"], _white((12, 3, 40, 47)), "padded", "object")
    assert_right_on_its_pattern(case, Rounded(case, device))


@every_device
@pytest.mark.parametrize("case", list(_large_cases()))
def test_in_bfloat16_results_are_right_on_their_pattern_and_only_units_near_zero_have_changed_sides(case, device):
    rounded = Rounded(case, device)
    assert_right_on_its_pattern(case, rounded)
    for share, strongest in changed_units(case, rounded.pattern):
        assert share < 0.01
        assert strongest <= 0.02
    exact = encode(copy.deepcopy(case.net).double(), case.images.double(), case.boundary)
    shares = [layer.double().mean().item() for layer in exact]
    assert rounded.gradient.active_share == pytest.approx(shares, abs=0.01)
