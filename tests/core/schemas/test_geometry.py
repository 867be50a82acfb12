"""The geometry of a net, in closed form and against windows counted position by position."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.schemas.geometry import (
    Boundary,
    added_pixels,
    chain_side,
    halo,
    map_size,
    map_sizes,
    receptive_field,
    round_up,
    top_side,
    total_stride,
)


class Filters(NamedTuple):
    kernel_size: int
    stride: int = 1


TEXTURE = (Filters(15, 3), Filters(5), Filters(3))  # the paper's texture net (sec. 7)

some_layers = st.lists(st.builds(Filters, st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=4)
boundaries = st.sampled_from(["valid", "torus", "padded"])


@pytest.mark.parametrize(
    ("layers", "stride", "window", "beyond"),
    [
        ((Filters(1),), 1, 1, 0),
        ((Filters(7),), 1, 7, 6),
        ((Filters(7, 2),), 2, 7, 5),
        ((Filters(1, 3),), 3, 1, 0),  # filters that leave pixels out: the halo is never negative
        ((Filters(3), Filters(3)), 1, 5, 4),
        ((Filters(4, 2), Filters(3, 2)), 4, 8, 4),
        (TEXTURE, 3, 15 + 4 * 3 + 2 * 3, 30),
        ((), 1, 1, 0),
    ],
)
def test_stride_receptive_field_and_halo_in_closed_form(layers, stride, window, beyond):
    assert (total_stride(layers), receptive_field(layers), halo(layers)) == (stride, window, beyond)


@pytest.mark.parametrize(
    ("layers", "size", "sizes"),
    [
        (TEXTURE, 224, (70, 66, 64)),
        ((Filters(3, 2), Filters(2)), 5, (2, 1)),
        ((Filters(3, 3),), 10, (3,)),  # the last pixel is left out
        ((Filters(1, 4),), 4, (1,)),
    ],
)
def test_map_sizes_in_closed_form(layers, size, sizes):
    assert map_sizes(layers, size) == sizes
    assert map_size(layers[0], size) == sizes[0]


def test_map_sizes_names_the_layer_whose_filter_is_too_large():
    with pytest.raises(ValueError, match=r"^layers\[1\].kernel_size is 5, larger than the 4 x 4 map"):
        map_sizes((Filters(3, 2), Filters(5)), 9)


@pytest.mark.parametrize(("boundary", "added", "side"), [("valid", 0, 64), ("torus", 30, 74), ("padded", 60, 84)])
def test_what_a_boundary_adds_to_a_picture_and_the_top_map_it_leads_to(boundary: Boundary, added, side):
    assert added_pixels(TEXTURE, boundary) == added
    assert top_side(TEXTURE, 224, boundary) == side


@pytest.mark.parametrize(
    ("size", "multiple", "rounded"), [(1, 1, 1), (1, 3, 3), (6, 3, 6), (7, 3, 9), (0, 5, 0), (64, 64, 64)]
)
def test_round_up_to_a_multiple(size, multiple, rounded):
    assert round_up(size, multiple) == rounded


@pytest.mark.parametrize(("boundary", "side"), [("valid", 64), ("padded", 64), ("torus", 66)])
def test_chains_are_rounded_up_to_the_stride_on_the_torus_only(boundary: Boundary, side):
    assert chain_side(TEXTURE, 64, boundary) == side
    assert chain_side(TEXTURE, 66, boundary) == 66


@settings(deadline=None)
@given(some_layers, st.integers(0, 30))
def test_windows_counted_position_by_position(layers, more):
    """Follow the first and the last position of the top map down to the pixels that they see."""
    size = receptive_field(layers) + more
    last = map_sizes(layers, size)[-1] - 1
    assert _seen(layers, 0) == range(receptive_field(layers))
    assert _seen(layers, last).stop <= size < _seen(layers, last + 1).stop
    assert _seen(layers, 1).start == total_stride(layers)


@settings(deadline=None)
@given(some_layers)
def test_a_picture_one_pixel_smaller_than_the_receptive_field_has_no_top_map(layers):
    window = receptive_field(layers)
    assert map_sizes(layers, window)[-1] == 1
    with pytest.raises(ValueError, match="kernel_size"):
        map_sizes(layers, window - 1)


@settings(deadline=None)
@given(some_layers, st.integers(1, 5))
def test_on_the_torus_the_top_map_has_one_position_per_stride(layers, positions):
    stride = total_stride(layers)
    assert top_side(layers, positions * stride, "torus") == positions


@settings(deadline=None)
@given(some_layers, st.integers(1, 60), boundaries)
def test_chains_are_at_least_as_large_as_the_pictures(layers, size, boundary):
    side = chain_side(layers, size, boundary)
    assert 0 <= side - size < total_stride(layers)
    assert boundary != "torus" or side % total_stride(layers) == 0


def _seen(layers, position):
    """Return the range of pixels that a position of the top map sees."""
    first, stop = position, position + 1
    for layer in reversed(layers):
        first, stop = first * layer.stride, (stop - 1) * layer.stride + layer.kernel_size
    return range(first, stop)
