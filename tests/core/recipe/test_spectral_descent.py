"""Spectral descent: filters move by U Vᵀ of their gradient's singular value decomposition, biases as by Adam."""

import math

import pytest
import torch
from nets import random_net

from core.recipe.adam import MOMENTS, Adam
from core.recipe.spectral_descent import SpectralDescent, with_equal_singular_values
from core.theory.model import Architecture, ConvLayer

FEW_FILTERS, MANY_FILTERS = (3, 2, 4, 4), (20, 2, 2, 2)


def seeded(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("shape", [FEW_FILTERS, MANY_FILTERS, (5, 5, 1, 1), (1, 3, 4, 4)])
def test_all_singular_values_become_equal_and_the_root_mean_square_one(shape):
    gradient = 1e-4 * seeded(shape)
    u, _, v = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    found = with_equal_singular_values(gradient)
    expected = math.sqrt(max(u.shape[0], v.shape[1])) * u @ v
    assert torch.allclose(found.flatten(1), expected, atol=1e-6)
    assert found.square().mean().sqrt() == pytest.approx(1, abs=1e-6)
    assert found.shape == shape


def test_directions_in_which_the_gradient_is_small_move_as_far_as_large_ones():
    u, _, v = torch.linalg.svd(seeded((4, 9)), full_matrices=False)
    gradient = u @ torch.diag(torch.tensor([1.0, 0.1, 0.01, 0.002]).double()) @ v
    found = with_equal_singular_values(gradient.view(4, 1, 3, 3)).flatten(1)
    assert torch.allclose(torch.linalg.svdvals(found), torch.full((4,), 3.0).double(), rtol=1e-4)


def test_directions_without_a_gradient_do_not_move():
    row, column = seeded((6, 1)), seeded((1, 8), seed=1)
    found = with_equal_singular_values((row @ column).view(6, 2, 2, 2)).flatten(1)
    assert torch.allclose(found, math.sqrt(8) * (row / row.norm()) @ (column / column.norm()), atol=1e-4)
    assert torch.equal(with_equal_singular_values(torch.zeros(FEW_FILTERS)), torch.zeros(FEW_FILTERS))


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_gives_none_that_is_so_that_learning_is_rolled_back(wrong):
    gradient = seeded(FEW_FILTERS, dtype=torch.float32)
    gradient[0, 0, 0, 0] = wrong
    assert not with_equal_singular_values(gradient).isfinite().any()


def test_the_optimizer_moves_filters_downhill_and_biases_as_adam_does_also_from_saved_moments():
    architecture, scales = Architecture((ConvLayer(3, 3), ConvLayer(2, 2)), channels=1), (1.0, 3.0, 0.5, 2.0)
    ours, theirs = (random_net(architecture, seed=3).double() for _ in range(2))
    spectral, adam = SpectralDescent(ours, scales), Adam(theirs, scales)
    spectral.load({})
    for step in range(4):
        before = [one.detach().clone() for one in ours.parameters()]
        for index, pair in enumerate(zip(ours.parameters(), theirs.parameters(), strict=True)):
            for one in pair:
                one.grad = seeded(one.shape, seed=10 * step + index)
        for optimizer in (spectral, adam):
            optimizer.set_rate(0.01)
        spectral.step()
        adam.step()
        for one, other, old, scale in zip(ours.parameters(), theirs.parameters(), before, scales, strict=True):
            if one.ndim == 4:
                assert torch.allclose(old - one, 0.01 * scale * with_equal_singular_values(one.grad))
            else:
                assert torch.equal(one, other)
        saved = {f"{index}.{name}": kept[name] for index, kept in spectral.moments.items() for name in MOMENTS}
        assert len(saved) == 2 * len(MOMENTS), "filters need none"
        spectral = SpectralDescent(ours, scales)
        spectral.load(saved)


def test_moments_of_the_other_optimizer_are_refused():
    net = random_net(Architecture((ConvLayer(3, 3),), channels=1), seed=3)
    for one in net.parameters():
        one.grad = torch.ones_like(one)
    adam, spectral = Adam(net, (1.0, 1.0)), SpectralDescent(net, (1.0, 1.0))
    adam.step()
    spectral.step()
    of_adam, of_spectral = (
        {f"{index}.{name}": one for index, kept in optimizer.moments.items() for name, one in kept.items()}
        for optimizer in (adam, spectral)
    )
    with pytest.raises(ValueError, match="6 tensors, the net needs 3"):
        spectral.load(of_adam)
    with pytest.raises(ValueError, match="missing"):
        adam.load(of_spectral)
