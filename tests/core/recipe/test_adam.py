"""Adam takes the steps of torch.optim.Adam to the last bit, and its class is not needed for them."""

import sys

import pytest
import torch
from nets import random_net
from support.preloaded import fork_server

from core.recipe.adam import BETAS, Adam
from core.theory.model import Architecture, ConvLayer

SCALES = (1.0, 3.0, 0.5, 2.0)


def small_net():
    return random_net(Architecture((ConvLayer(3, 3), ConvLayer(2, 2)), channels=1), seed=3)


def take_steps(net, optimizer, steps):
    for step in steps:
        for index, parameter in enumerate(net.parameters()):
            generator = torch.Generator().manual_seed(10 * step + index)
            parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        optimizer.step()


def saved(optimizer):
    return {f"{index}.{name}": one for index, kept in optimizer.moments.items() for name, one in kept.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_torchs_class_also_from_saved_moments(dtype):
    ours, theirs = small_net().to(dtype), small_net().to(dtype)
    groups = [{"params": [one], "lr": 0.01 * scale} for one, scale in zip(theirs.parameters(), SCALES, strict=True)]
    take_steps(theirs, torch.optim.Adam(groups, betas=BETAS), range(6))
    first = Adam(ours, SCALES)
    first.load({})
    first.set_rate(0.01)
    take_steps(ours, first, range(3))
    second = Adam(ours, SCALES)
    second.load(saved(first))
    second.set_rate(0.01)
    take_steps(ours, second, range(3, 6))
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert first.moments[0]["step"] == 3, "what is loaded is a copy"


def test_a_step_does_not_import_torchs_compiler():
    with fork_server().Pool(1) as pool:
        assert pool.apply(compiler_is_imported_by_a_step) is False


def compiler_is_imported_by_a_step():
    net = small_net()
    take_steps(net, Adam(net, [1.0] * 4), [1])
    return "torch._dynamo" in sys.modules
