"""Larger periodic pictures, laid with patches of smaller ones (core/pictures/patchwork.py)."""

import itertools

import pytest
import torch

from core.pictures.patchwork import MAX_PATCH, MIN_MARGIN, _inside_cuts, _Source, patch_side, patchwork, right_of_cut


def generator():
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [(24, 24, 12), (25, 40, 12), (1, 9, 1), (2 * MAX_PATCH, 999, MAX_PATCH), (999, 999, MAX_PATCH)],
)
def test_patches_are_half_as_wide_as_the_chains_up_to_a_limit(height, width, side):
    assert patch_side(torch.zeros(1, 1, height, width)) == side


def test_every_patch_is_cut_out_of_one_chain_in_phase_with_the_stride():
    """A chain's pixels hold their own index, so that a patch shows where it was cut. Margins may be its neighbours'."""
    stride, size = 3, 36
    rows, columns = torch.arange(size)[:, None], torch.arange(size)[None, :]
    start = torch.stack([(m * size * size + rows * size + columns).float()[None] for m in range(2)])
    picture = patchwork(start, 60, 42, stride, generator())[0, 0].long()
    of_chain, row, column = picture // size**2, picture % size**2 // size, picture % size
    assert torch.equal(row % stride, (torch.arange(60) % stride)[:, None].expand_as(row))
    assert torch.equal(column % stride, (torch.arange(42) % stride).expand_as(column))
    patch = size // 2
    for top in range(0, 60, patch):
        for left in range(0, 42, patch):
            corners = ((top, 60), (left, 42))
            inner = tuple(slice(first + MIN_MARGIN, min(first + patch, side) - MIN_MARGIN) for first, side in corners)
            one, down, across = of_chain[inner], row[inner], column[inner]
            if one.numel():
                assert (one == one[0, 0]).all()
                assert torch.equal(down, ((down[0, 0] + torch.arange(len(down))) % size)[:, None].expand_as(down))
                assert torch.equal(across, ((across[0, 0] + torch.arange(across.shape[1])) % size).expand_as(across))


def test_patches_that_fit_are_laid_without_a_seam_also_around_the_edges():
    """Stripes of 12 pixels, slanted: of the candidates many continue them."""
    row, column = torch.meshgrid(torch.arange(72), torch.arange(60), indexing="ij")

    def stripes(row, column):
        return torch.sin(2 * torch.pi * (row + column) / 12)

    start = stripes(*torch.meshgrid(torch.arange(36), torch.arange(36), indexing="ij"))[None, None]
    picture = patchwork(start, 72, 60, 3, generator())[0, 0]
    shift = int(((picture[:1, :1] - stripes(row, column).flatten()[:12]).abs()).argmin())
    assert torch.allclose(picture, stripes(row + shift, column), atol=1e-5)


def test_a_patch_is_cut_within_its_laid_margins_where_it_differs_least():
    """The core is always its own; a side that is not laid yet is not cut."""
    margin, wide = 4, 20
    is_laid = torch.zeros(wide, wide, dtype=torch.bool)
    is_laid[:margin] = is_laid[:, :margin] = is_laid[:, -margin:] = True  # above, left and right
    difference = torch.ones(wide, wide)
    difference[:, 1] = difference[:, -2] = difference[2] = 0.0
    chosen = _inside_cuts(difference, is_laid, margin)
    expected = torch.zeros_like(chosen)
    expected[2:, 1:-1] = True
    assert torch.equal(chosen[margin:, margin:-margin], expected[margin:, margin:-margin])
    assert torch.equal(chosen[8:], expected[8:])
    assert torch.equal(chosen[:, 8:12], expected[:, 8:12])


def test_the_cut_is_the_cheapest_of_all_paths():
    difference = torch.rand(5, 4, generator=generator())
    paths = [
        path
        for path in itertools.product(range(4), repeat=5)
        if all(abs(here - there) <= 1 for here, there in itertools.pairwise(path))
    ]
    best = min(paths, key=lambda path: sum(float(difference[row, column]) for row, column in enumerate(path)))
    expected = torch.arange(4) >= torch.tensor(best)[:, None]
    assert torch.equal(right_of_cut(difference), expected)


def test_the_cut_does_not_change_what_it_is_given():
    difference = torch.rand(9, 5, generator=generator(), dtype=torch.float64)
    before = difference.clone()
    right_of_cut(difference)
    assert torch.equal(difference, before)


def test_chains_smaller_than_two_strides_suffice():
    start = torch.randn(1, 1, 4, 4, generator=generator())
    assert patchwork(start, 8, 8, 4, generator()).isfinite().all()


@pytest.mark.parametrize(
    ("sides", "size", "margin"), [((12, 9), 6, 2), ((4, 5), 3, 6)], ids=["small margin", "wide margin"]
)
def test_patches_are_cut_out_of_periodic_chains(sides, size, margin):
    chains = torch.randn(2, 3, *sides, generator=generator())
    reach = torch.arange(-margin, size + margin)
    for corner in itertools.product((0, 1), (0, sides[0] - 1), (0, sides[1] - 1)):
        chain, row, column = corner
        expected = chains[chain][:, ((row + reach) % sides[0])[:, None], (column + reach) % sides[1]]
        found = _Source.of(chains, size, margin).cut(torch.tensor([corner]), reach[:, None], reach)
        assert torch.equal(found[0].movedim(-1, 0), expected)
