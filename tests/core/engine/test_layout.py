"""Conversion of pictures and filters to blocks and back, and what the filters see (core/engine/layout.py)."""

import pytest
import torch
from engines import ENGINE_CASES, a_box, every_engine_case, layout_of
from hypothesis import given, settings
from nets import case, random_cases, seeded
from torch.nn import functional

from core.engine.layout import (
    Layout,
    box_for_blocks,
    filters_from_blocks,
    filters_to_blocks,
    project_blocks_,
    roll_into,
)
from core.theory.model import Architecture, ConvLayer

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def random_like(shape, seed):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def assert_blocks_are_the_pictures(case):
    layout, before = layout_of(case), case.images.clone()
    blocks = layout.to_blocks(case.images)
    assert blocks.shape == (len(case.images), case.images.shape[1] * layout.stride**2, *layout.blocks)
    assert blocks.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(layout.from_blocks(blocks), case.images)
    blocks.add_(1)
    assert torch.equal(case.images, before), "blocks are a copy on a processor"


@every_engine_case
def test_pictures_converted_to_blocks_and_back_are_the_same(case):
    assert_blocks_are_the_pictures(case)


@pytest.mark.parametrize("boundary", ["valid", "torus", "padded"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_in_any_memory_format_are_converted(boundary, channels):
    """Also with one channel and stride 1, for which both formats have the same memory. Blocks are a copy."""
    layout = Layout.of(Architecture((ConvLayer(2, 3),), channels), (6, 5), boundary)
    images = random_like((2, channels, 6, 5), 1)
    for there in (
        images.to(memory_format=torch.channels_last),
        images.transpose(2, 3).contiguous().transpose(2, 3),
        images[:1].expand(2, -1, -1, -1),
        random_like((2, channels, 12, 10), 2)[:, :, ::2, ::2],
    ):
        blocks = layout.to_blocks(there)
        assert torch.equal(layout.from_blocks(blocks), there)
        assert torch.equal(blocks.permute(0, 2, 3, 1).flatten(), there.permute(0, 2, 3, 1).flatten())
        assert blocks.data_ptr() != there.data_ptr()


@every_engine_case
@pytest.mark.parametrize("phase", [(0, 0), (1, 0), (2, 1)])
def test_blocks_of_a_phase_are_those_of_the_rolled_pictures(case, phase):
    layout = layout_of(case)
    found = layout.to_blocks(case.images, phase)
    assert torch.equal(found, layout.to_blocks(case.images.roll(phase, (2, 3))))
    back = torch.empty_like(case.images)
    assert roll_into(back, layout.from_blocks(found), (-phase[0], -phase[1])) is back
    assert torch.equal(back, case.images)


@every_engine_case
def test_the_mask_is_one_on_the_picture_and_zero_beyond(case):
    layout = layout_of(case)
    blocks = layout.to_blocks(case.images)
    mask = layout.mask(blocks)
    pixels = case.images[0].numel()
    if mask is None:
        assert blocks[0].numel() == pixels
        return
    assert mask.sum() == pixels < blocks[0].numel()
    assert torch.equal(layout.from_blocks(mask), torch.ones_like(case.images[:1]))
    assert torch.equal(blocks * mask, blocks)


def test_many_cases_need_a_mask_and_many_do_not():
    needed = [layout_of(one).mask(layout_of(one).to_blocks(one.images)) is not None for one in ENGINE_CASES]
    assert sum(needed) > 10
    assert len(needed) - sum(needed) > 10


def assert_filters_see_the_extended_picture(case):
    layout, first = layout_of(case), case.net.architecture.layers[0]
    extended = layout.extend(layout.to_blocks(case.images), torch.float64)
    assert extended.shape[2:] == layout.extended
    seen, whole = functional.pixel_shuffle(extended, layout.stride), case.net.extend(case.images, case.boundary)
    height, width = (
        (side - first.kernel_size) // first.stride * first.stride + first.kernel_size for side in whole.shape[2:]
    )
    assert torch.equal(seen[..., :height, :width], whole[..., :height, :width])
    if case.boundary != "torus":  # all pixels that no filter reaches are zero
        bottom, right = (max(side - other, 0) for side, other in zip(seen.shape[2:], whole.shape[2:], strict=True))
        padded = functional.pad(whole, (0, right, 0, bottom))[..., : seen.shape[2], : seen.shape[3]]
        assert torch.equal(seen, padded)


@every_engine_case
def test_the_filters_see_what_the_net_extends_the_picture_to(case):
    assert_filters_see_the_extended_picture(case)


def assert_fold_back_is_the_adjoint(case):
    layout = layout_of(case)
    shape = layout.to_blocks(case.images).shape
    here, there = random_like(shape, 5), random_like((*shape[:2], *layout.extended), 6)
    folded = layout.fold_back(there)
    assert folded.shape == shape
    torch.testing.assert_close((layout.extend(here, torch.float64) * there).sum(), (here * folded).sum(), **EXACT)


@every_engine_case
def test_fold_back_is_the_adjoint_of_extend(case):
    assert_fold_back_is_the_adjoint(case)


@given(random_cases())
@settings(max_examples=60, deadline=None)
def test_conversion_extension_and_adjoint_hold_on_any_net(case):
    assert_blocks_are_the_pictures(case)
    assert_filters_see_the_extended_picture(case)
    assert_fold_back_is_the_adjoint(case)


def test_extend_converts_to_the_dtype_with_channels_innermost():
    one = case("one", [(3, 4, 2)], (8, 8), "torus")
    layout = layout_of(one)
    extended = layout.extend(layout.to_blocks(one.images), torch.bfloat16)
    assert extended.dtype == torch.bfloat16
    assert extended.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("kernel_size", "stride"), [(7, 2), (7, 3), (2, 3), (5, 1), (15, 3), (6, 3), (1, 4), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_filters_converted_to_blocks_and_back_are_the_same(kernel_size, stride, channels):
    weight = random_like((4, channels, kernel_size, kernel_size), 7)
    blocks = filters_to_blocks(weight, stride)
    across = -(-kernel_size // stride)
    assert blocks.shape == (4, channels * stride**2, across, across)
    assert torch.equal(filters_from_blocks(blocks, stride, kernel_size), weight)
    assert blocks.square().sum().item() == pytest.approx(weight.square().sum().item(), rel=1e-12), (
        "pixels beyond the filter are zero"
    )


@pytest.mark.parametrize("stride", [3, 6])
@pytest.mark.parametrize("oblique", [False, True])
def test_colours_are_bounded_in_small_and_in_large_blocks(stride, oblique):
    images = 50 * random_like((2, 3, 24, 18), 3)
    layout = Layout.of(Architecture((ConvLayer(2, stride, stride),), 3), (24, 18), "torus")
    box, blocks = a_box(images, oblique), layout.to_blocks(images)
    project_blocks_(blocks, box_for_blocks(box, stride))
    torch.testing.assert_close(layout.from_blocks(blocks), box.project(images))
    assert not torch.equal(layout.from_blocks(blocks), images)
