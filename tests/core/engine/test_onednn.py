"""Convolutions by oneDNN: with filters turned, and with filters in its own order (core/engine/onednn.py)."""

import pytest
import torch
from engines import relative
from nets import case, seeded

from core.engine.blocked import BlockedNet
from core.engine.layout import Layout
from core.engine.onednn import convolution, has_fused_convolution, turned_filters
from core.theory.decoding import deconvolve


@pytest.mark.parametrize("size", [(3, 3), (5, 12)])
def test_convolving_with_turned_filters_is_the_transposed_convolution(size):
    generator = seeded(1)
    weight, maps = torch.randn(4, 2, 3, 3, generator=generator), torch.randn(2, 4, *size, generator=generator)
    turned = turned_filters(weight, stride=1)
    assert turned is not None
    expected = deconvolve(maps, weight, 1, (size[0] + 2, size[1] + 2))
    torch.testing.assert_close(convolution(maps, turned, None, padding=2), expected)


def test_filters_are_not_turned_for_a_stride_or_in_double_precision_or_if_they_are_not_square():
    weight = torch.randn(4, 2, 3, 3)
    assert turned_filters(weight, stride=2) is None
    assert turned_filters(weight.double(), stride=1) is None
    assert turned_filters(weight[..., :2], stride=1) is None


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        (torch.float32, 1e-5),
        pytest.param(
            torch.bfloat16,
            1e-2,
            marks=pytest.mark.skipif(
                not has_fused_convolution(torch.bfloat16), reason="oneDNN has no bfloat16 on this processor"
            ),
        ),
    ],
)
@pytest.mark.parametrize("boundary", ["valid", "torus", "padded"])
def test_packed_weights_give_the_same_basis(boundary, dtype, tolerance):
    """Also with a stride above the first layer and with a kernel larger than its map, which are not packed top-down."""
    for layers in ([(16, 7, 3), (8, 3, 1), (8, 3, 1)], [(8, 5, 1), (8, 3, 2)], [(40, 6, 3), (8, 10, 1)]):
        one = case("a", layers, (60, 66), boundary, channels=3, count=2)
        layout = Layout.of(one.net.architecture, (60, 66), boundary)
        blocks = layout.to_blocks(torch.randn(2, 3, 60, 66, generator=seeded(4)))
        net = BlockedNet.of(one.net.float(), dtype)
        packed = net.with_packed_weights(layout, 2)
        assert packed.packed is not None
        found, expected = (of.basis(blocks, layout).float() for of in (packed, net))
        assert relative(found, expected) < tolerance
        assert expected.any()


def test_weights_are_not_packed_if_a_filter_covers_its_whole_map_in_single_precision():
    """For several pictures oneDNN's fused pass is wrong there on some processors (core/engine/README.md)."""
    one = case("a", [(8, 5, 1), (4, 8, 1)], (12, 12), "valid", channels=3, count=2)
    layout = Layout.of(one.net.architecture, (12, 12), "valid")
    net = BlockedNet.of(one.net.float(), torch.float32)
    assert net.with_packed_weights(layout, 2).packed is None
