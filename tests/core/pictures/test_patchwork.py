"""Larger periodic pictures, laid with patches of smaller ones (core/pictures/patchwork.py)."""

import pytest
import torch

from core.pictures.patchwork import MAX_PATCH, patch_side, patchwork


def generator():
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [(24, 24, 12), (25, 40, 12), (1, 9, 1), (2 * MAX_PATCH, 999, MAX_PATCH), (999, 999, MAX_PATCH)],
)
def test_patches_are_half_as_wide_as_the_chains_up_to_a_limit(height, width, side):
    assert patch_side(torch.zeros(1, 1, height, width)) == side


def test_every_patch_is_cut_out_of_one_chain_in_phase_with_the_stride():
    """A chain's pixels hold their own index, so that a patch shows where it was cut."""
    stride, size = 3, 24
    rows, columns = torch.arange(size)[:, None], torch.arange(size)[None, :]
    start = torch.stack([(m * size * size + rows * size + columns).float()[None] for m in range(2)])
    picture = patchwork(start, 40 // stride * stride, 30, stride, generator())
    patch = size // 2
    for top in range(0, picture.shape[-2], patch):
        for left in range(0, picture.shape[-1], patch):
            found = picture[0, 0, top : top + patch, left : left + patch].long()
            assert (found // size**2 == found[0, 0] // size**2).all(), "cut out of one chain"
            row, column = found[0, 0] % size**2 // size, found[0, 0] % size
            assert row % stride == 0
            assert column % stride == 0
            expected_rows = (row + torch.arange(found.shape[0])) % size
            expected_columns = (column + torch.arange(found.shape[1])) % size
            assert torch.equal(found % size**2 // size, expected_rows[:, None].expand_as(found))
            assert torch.equal(found % size, expected_columns[None, :].expand_as(found))


def test_chains_smaller_than_two_strides_suffice():
    start = torch.randn(1, 1, 4, 4, generator=generator())
    assert patchwork(start, 8, 8, 4, generator()).isfinite().all()
