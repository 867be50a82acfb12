"""New pictures of any size from a finished model (core/synthesis/sampling.py)."""

import pytest
import torch

from core.engine import ReferenceEngine
from core.engine.dynamics import Dynamics
from core.engine.reference import run_chains
from core.synthesis.sampling import patchwork, synthesize
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet


def a_net(stride=3):
    return GenerativeConvNet(Architecture((ConvLayer(4, 6, stride), ConvLayer(3, 3)), channels=1, reference_std=5.0))


def generator():
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize(("asked", "given"), [((24, 24), (24, 24)), ((25, 47), (27, 48)), ((7, 100), (9, 102))])
def test_sides_are_rounded_up_to_multiples_of_the_stride(asked, given):
    start = torch.randn(2, 1, 24, 24, generator=generator())
    pictures = drawn(a_net(), *asked, count=2, steps=1, start=start)
    assert pictures.shape == (2, 1, *given)


def drawn(net, height, width, *, count=1, steps=2, start, seed=5, after_step=None):
    return synthesize(
        net,
        count,
        height,
        width,
        steps=steps,
        dynamics=Dynamics(1.0, "torus"),
        generator=torch.Generator().manual_seed(seed),
        start=start,
        engine=ReferenceEngine(),
        after_step=after_step,
    )


def test_chains_start_from_the_patchwork_and_move_by_eq19():
    net, start = a_net(), torch.randn(2, 1, 24, 24, generator=generator())
    calls = []
    pictures = drawn(net, 24, 30, steps=4, start=start, after_step=calls.append)
    same = generator()
    expected = run_chains(net, patchwork(start, 24, 30, 3, same), 4, Dynamics(1.0, "torus"), same)
    assert torch.equal(pictures, expected)
    assert calls == [0, 0, 1, 2, 3, 4], "also called after each row of patches"


def test_the_same_generator_draws_the_same_pictures_and_another_draws_others():
    net, start = a_net(), torch.randn(1, 1, 24, 24, generator=generator())
    first, second = (drawn(net, 24, 24, start=start) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, drawn(net, 24, 24, start=start, seed=6))


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
