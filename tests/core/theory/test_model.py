from dataclasses import replace
from functools import cache
from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch
from nets import BOUNDARIES, CASES, Case, case, every_case, random_net, top_size
from torch.nn import functional

from core.schemas.net import Top
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet, add_layer, positions

SMALL_CASES = [one for one in CASES if one.images[0].numel() <= 150]


def looped_score(one: Case, image: np.ndarray) -> float:
    """Eq. 1 and 6 (eq. 2) spelled out: one sum over filters below and support, one maximum, at every position.

    An object's filter is a layer like any other, of one position.
    """
    net = one.net
    layers = [
        (stride, weight.detach().numpy(), bias.detach().numpy())
        for stride, weight, bias in zip(net.strides, net.weights, net.biases, strict=True)
    ]
    _, height, width = image.shape
    before = net.architecture.halo if one.boundary == "padded" else 0  # zeros above and to the left

    @cache
    def response(level: int, k: int, row: int, column: int) -> float:
        if level == 0:
            row, column = row - before, column - before
            if one.boundary == "torus":
                return image[k, row % height, column % width]
            outside = not (0 <= row < height and 0 <= column < width)
            return 0.0 if outside and one.boundary == "padded" else image[k, row, column]
        stride, weight, bias = layers[level - 1]
        total = bias[k]
        for i in range(weight.shape[1]):
            for y1 in range(weight.shape[2]):
                for y2 in range(weight.shape[3]):
                    total += weight[k, i, y1, y2] * response(level - 1, i, row * stride + y1, column * stride + y2)
        return max(total, 0.0)

    rows, columns = (1, 1) if net.has_top_filter else (looped_map_size(one, side) for side in (height, width))
    shares = [1.0] * len(layers[-1][2]) if net.category_weights is None else net.category_weights.tolist()
    return sum(
        share * response(len(layers), k, row, column)
        for k, share in enumerate(shares)
        for row in range(rows)
        for column in range(columns)
    )


def looped_map_size(one: Case, side: int) -> int:
    """Count the positions of the top map: where its window lies in the picture; on the torus, where it begins in it.

    Among zeros: where it lies in the picture and its surround.
    """
    if one.boundary == "padded":
        side += 2 * one.net.architecture.halo
    for layer in one.net.architecture.layers:
        room = 1 if one.boundary == "torus" else layer.kernel_size
        side = sum(1 for start in range(0, side, layer.stride) if start + room <= side)
    return side


@pytest.mark.parametrize("one", SMALL_CASES, ids=lambda one: one.name)
def test_eq1_eq6_score_is_the_loop_over_filters_support_and_positions(one):
    expected = torch.tensor([looped_score(one, image) for image in one.images.numpy()], dtype=torch.float64)
    torch.testing.assert_close(one.net.score(one.images, one.boundary), expected, rtol=1e-9, atol=1e-9)


def test_the_loops_are_compared_on_all_boundaries_depths_and_tops():
    assert len(SMALL_CASES) >= 20
    shapes = [(one.boundary, one.net.architecture) for one in SMALL_CASES]
    assert {(boundary, len(shape.layers)) for boundary, shape in shapes} == set(product(BOUNDARIES, (1, 2, 3)))
    assert {(boundary, shape.top) for boundary, shape in shapes} == set(product(BOUNDARIES, get_args(Top)))


def test_the_cases_reach_category_weights_of_both_signs_and_objects_on_and_off():
    weights = [one.net.category_weights for one in CASES if one.net.architecture.top == "category"]
    assert all(min(one) < 0 < max(one) for one in weights if len(one) >= 5)
    assert sum((one < 0).any().item() for one in weights) >= 4
    on = torch.cat([one.net.score(one.images, one.boundary) > 0 for one in CASES if one.net.has_top_filter])
    assert on.sum() >= 8
    assert (~on).any()


def test_the_cases_reach_uncovered_rims_and_halos_larger_than_the_picture():
    def uncovered(one):
        shape = one.net.architecture
        return any((side - shape.receptive_field) % shape.total_stride for side in one.images.shape[2:])

    assert sum(one.boundary == "valid" and uncovered(one) for one in CASES) >= 4
    assert sum(one.boundary == "torus" and one.net.architecture.halo > min(one.images.shape[2:]) for one in CASES) >= 5


@every_case
def test_eq11_each_feature_map_is_the_relu_of_filters_on_the_map_below(case):
    maps = case.net.feature_maps(case.images, case.boundary)
    below = case.net.extend(case.images, case.boundary)
    for stride, weight, bias, feature_map in zip(
        case.net.strides, case.net.weights, case.net.biases, maps, strict=True
    ):
        windows = below.unfold(2, weight.shape[2], stride).unfold(3, weight.shape[3], stride)
        response = torch.einsum("nihwab,kiab->nkhw", windows, weight) + bias.view(1, -1, 1, 1)
        torch.testing.assert_close(feature_map, response.clamp(min=0), rtol=1e-9, atol=1e-9)
        below = feature_map


@every_case
def test_eq5_eq8_energy_is_the_gaussian_prior_minus_the_score(case):
    prior = torch.stack([(image**2).sum() / (2 * case.variance) for image in case.images])
    expected = prior - case.net.score(case.images, case.boundary)
    torch.testing.assert_close(case.net.energy(case.images, case.boundary), expected, rtol=1e-12, atol=1e-9)


@every_case
def test_a_pictures_score_does_not_depend_on_the_others_in_the_batch(case):
    alone = torch.cat([case.net.score(image[None], case.boundary) for image in case.images])
    torch.testing.assert_close(case.net.score(case.images, case.boundary), alone, rtol=1e-9, atol=1e-9)


@every_case
def test_map_sizes_on_the_plane_are_those_of_the_maps(case):
    height, width = case.net.extend(case.images, case.boundary).shape[2:]
    shape = case.net.architecture
    maps = case.net.feature_maps(case.images, case.boundary)[: len(shape.layers)]
    sizes = [tuple(feature_map.shape[2:]) for feature_map in maps]
    assert list(zip(shape.map_sizes(height), shape.map_sizes(width), strict=True)) == sizes


@pytest.mark.parametrize("one", [one for one in CASES if one.boundary == "torus"], ids=lambda one: one.name)
def test_on_the_torus_the_top_map_has_one_position_per_stride(one):
    stride = one.net.architecture.total_stride
    maps = one.net.feature_maps(one.images, "torus")[: len(one.net.architecture.layers)]
    assert tuple(maps[-1].shape[2:]) == tuple(side // stride for side in one.images.shape[2:])
    assert positions(maps) == maps[-1][0, 0].numel()


@pytest.mark.parametrize(
    "one",
    [one for one in CASES if one.boundary == "torus" and not one.net.has_top_filter],  # an object has its place
    ids=lambda one: one.name,
)
def test_on_the_torus_a_shift_by_the_total_stride_keeps_the_score(one):
    stride = one.net.architecture.total_stride
    score = one.net.score(one.images, "torus")
    for shift in [(stride, 0), (0, stride), (2 * stride, -stride)]:
        shifted = one.images.roll(shift, dims=(2, 3))
        torch.testing.assert_close(one.net.score(shifted, "torus"), score, rtol=1e-9, atol=1e-9)


def test_on_the_torus_a_shift_by_less_than_the_total_stride_changes_the_score():
    one = case("torus", [(3, 3, 3)], (9, 9), "torus")
    assert not torch.allclose(one.net.score(one.images.roll(1, dims=2), "torus"), one.net.score(one.images, "torus"))


def test_on_the_torus_a_picture_tiled_twice_scores_four_times_as_much():
    one = case("torus", [(3, 4, 2), (2, 3, 1)], (6, 4), "torus")
    tiled = one.images.repeat(1, 1, 2, 2)
    torch.testing.assert_close(one.net.score(tiled, "torus"), 4 * one.net.score(one.images, "torus"))


@every_case
def test_receptive_field_is_the_side_of_the_window_that_one_top_position_sees(case):
    shape = case.net.architecture
    side = shape.receptive_field
    assert shape.map_sizes(side)[-1] == 1
    with pytest.raises(ValueError, match="kernel_size"):
        shape.map_sizes(side - 1)
    net = GenerativeConvNet(replace(shape, top="convolutional", top_size=None)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.0)
    window = torch.zeros(1, shape.channels, side, side, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net.score(window).sum(), window)
    seen = gradient[0, 0].nonzero()
    assert seen.min() == 0
    assert seen.max() == side - 1


def test_texture_nets_window_stride_and_halo():
    texture = Architecture((ConvLayer(100, 15, 3), ConvLayer(64, 5), ConvLayer(30, 3)))
    assert texture.total_stride == 3
    assert texture.receptive_field == 15 + 4 * 3 + 2 * 3
    assert texture.halo == 30
    assert texture.map_sizes(224) == (70, 66, 64)
    assert texture.truncated(1).layers == texture.layers[:1]
    assert texture.truncated(3) == texture


def test_halo_is_never_negative():
    assert Architecture((ConvLayer(1, 1, 3),)).halo == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("filters", 0), ("filters", -1), ("kernel_size", 0), ("stride", 0), ("kernel_size", 2.5), ("filters", "4")],
)
def test_invalid_layers_are_refused_with_their_value(field, value):
    with pytest.raises(ValueError, match=f"{field}.*{value!r}"):
        ConvLayer(**{"filters": 4, "kernel_size": 3, "stride": 1, field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layers", ()),
        ("channels", 0),
        ("reference_std", 0.0),
        ("reference_std", -1.0),
        ("reference_std", float("nan")),
        ("top", "pyramid"),
    ],
)
def test_invalid_architectures_are_refused_with_the_field(field, value):
    with pytest.raises(ValueError, match=field):
        Architecture(**{"layers": (ConvLayer(2, 3),), field: value})


def test_map_sizes_names_the_layer_whose_filter_does_not_fit():
    shape = Architecture((ConvLayer(2, 3, 2), ConvLayer(2, 5)))
    with pytest.raises(ValueError, match=r"layers\[1\].kernel_size is 5, larger than the 4 x 4 map"):
        shape.map_sizes(9)


@pytest.mark.parametrize(
    ("shape", "boundary", "what"),
    [
        ((1, 4, 9, 9), "valid", r"\(N, 3, H, W\), not \(1, 4, 9, 9\)"),
        ((3, 9, 9), "valid", r"not \(3, 9, 9\)"),
        ((1, 3, 5, 9), "valid", "smaller than the net's window of 7"),
        ((1, 3, 9, 5), "valid", "smaller than the net's window of 7"),
        ((1, 3, 9, 8), "torus", "multiples of the net's stride of 2"),
        ((1, 1, 8, 8), "torus", r"\(N, 3, H, W\)"),
    ],
)
def test_refused_pictures_are_named_with_their_shape_and_the_expected_one(shape, boundary, what):
    net = GenerativeConvNet(Architecture((ConvLayer(2, 3, 2), ConvLayer(2, 3))))
    with pytest.raises(ValueError, match=what):
        net.score(torch.zeros(shape), boundary)


def test_parameters_are_float32_and_determined_by_the_generator():
    shape = Architecture((ConvLayer(4, 3), ConvLayer(2, 3)))
    one, same, other = (GenerativeConvNet(shape, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert {parameter.dtype for parameter in one.parameters()} == {torch.float32}
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.weights[0], other.weights[0])


@pytest.mark.parametrize("seed", range(5))
def test_add_layer_keeps_the_lower_layers(seed):
    shape = Architecture((ConvLayer(4, 3, 2), ConvLayer(3, 3)), channels=2, reference_std=2.0)
    net = random_net(shape, seed).float()
    grown = add_layer(net, ConvLayer(5, 3), torch.Generator().manual_seed(seed))
    assert grown.architecture == Architecture((*shape.layers, ConvLayer(5, 3)), channels=2, reference_std=2.0)
    for before, after in zip([*net.weights, *net.biases], [*grown.weights[:2], *grown.biases[:2]], strict=True):
        assert torch.equal(before, after)


def shaped(layers, top, boundary, size, *, channels=2):
    architecture = Architecture(tuple(ConvLayer(*layer) for layer in layers), channels, 2.0, top)
    return replace(architecture, top_size=top_size(architecture, (size, size), boundary))


def grown(net, layer, boundary, size, seed=0):
    """The net with one more layer, for pictures of `size` pixels."""
    layers = [(one.filters, one.kernel_size, one.stride) for one in (*net.architecture.layers, layer)]
    shape = shaped(layers, net.architecture.top, boundary, size)
    generator = torch.Generator().manual_seed(seed)
    return add_layer(net, layer, generator, boundary=boundary, top_size=shape.top_size)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("top", ["object", "category"])
@pytest.mark.parametrize("stride", [1, 2])
def test_add_layer_under_an_objects_or_a_categorys_top_keeps_the_lower_layers_and_the_top(top, boundary, stride):
    """The shape is that of the whole net on these pictures, and an object's filter stays, with its bias."""
    size = 12
    net = random_net(shaped([(4, 3, 1)], top, boundary, size), seed=1).float()
    taller = grown(net, ConvLayer(6, 3, stride), boundary, size)
    assert taller.architecture == shaped([(4, 3, 1), (6, 3, stride)], top, boundary, size)
    assert torch.equal(taller.weights[0], net.weights[0])
    assert torch.equal(taller.biases[0], net.biases[0])
    assert taller.feature_maps(torch.zeros(1, 2, size, size), boundary)[-1].shape[1] == (1 if top == "object" else 6)
    if top == "object":
        assert torch.equal(taller.biases[-1], net.biases[-1])
        old, new = net.weights[-1].detach().flatten(2), taller.weights[-1].detach().flatten(2)
        assert new.shape[1] == 6
        assert (new[:, :4].abs().amax(dim=2) > 0).all()  # of each old filter, and no other
        assert not new[:, 4:].any()
        kept = new[0, :, :].abs().amax(dim=1)[:4].sort().values / stride**2
        assert (kept <= old[0].abs().amax(dim=1).sort().values + 1e-6).all()
    else:
        assert torch.equal(taller.category_weights, torch.ones(6))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("filters", [5, 8])
def test_add_layer_keeps_an_objects_score_for_the_pictures_it_covered(boundary, filters):
    """On every boundary the filter moves with what the new layer passes on; only the plane loses a rim of it."""
    size = 14
    net = random_net(shaped([(5, 3, 1)], "object", boundary, size), seed=2).float()
    with torch.no_grad():
        if boundary == "valid":  # without the rim
            net.weights[-1].copy_(functional.pad(net.weights[-1][..., 1:-1, 1:-1], (1, 1, 1, 1)))
        net.biases[-1].fill_(20.0)
    images = 4 * torch.randn(3, 2, size, size, generator=torch.Generator().manual_seed(3))
    score = net.score(images, boundary)
    taller = grown(net, ConvLayer(filters, 3), boundary, size)
    with torch.no_grad():  # without the little noise that breaks the symmetry
        taller.weights[1].round_()
    torch.testing.assert_close(taller.score(images, boundary), score, rtol=1e-4, atol=1e-4)
    assert (score.max() - score.min()) > 0.1
    noisy = grown(net, ConvLayer(filters, 3), boundary, size).score(images, boundary)
    assert (noisy - score).abs().max() < 0.35 * (score.max() - score.min()) + 2


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_add_layer_roughly_keeps_the_positive_part_of_a_categorys_score(boundary):
    """The new filters' own weights begin at one; the old ones' are in their shares, but for those below zero."""
    size = 12
    net = random_net(shaped([(4, 3, 1)], "category", boundary, size), seed=4).float()
    with torch.no_grad():
        net.category_weights.copy_(torch.tensor([0.5, -1.0, 2.0, 0.0]))
    images = 4 * torch.randn(3, 2, size, size, generator=torch.Generator().manual_seed(5))
    taller = grown(net, ConvLayer(6, 1), boundary, size)
    raised = net.feature_maps(images, boundary)[-1].sum(dim=(2, 3)) @ net.category_weights.clamp(min=0)
    torch.testing.assert_close(taller.score(images, boundary), raised, rtol=0.1, atol=1.0)


def test_add_layer_with_fewer_filters_keeps_those_with_an_objects_largest_weights():
    net = random_net(shaped([(5, 3, 1)], "object", "valid", 10), seed=6).float()
    with torch.no_grad():
        net.weights[-1].mul_(torch.tensor([0.1, 3.0, 0.2, 5.0, 0.3]).view(1, 5, 1, 1))
    taller = grown(net, ConvLayer(2, 3), "valid", 10)
    passed = taller.weights[1][:, :, 1, 1].argmax(dim=1)
    assert passed.tolist() == [3, 1]
    torch.testing.assert_close(taller.weights[-1], net.weights[-1][:, [3, 1], 1:-1, 1:-1])
