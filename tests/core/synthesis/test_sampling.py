"""New pictures of any size from a finished model (core/synthesis/sampling.py)."""

import pytest
import torch

from core.engine import ReferenceEngine
from core.engine.dynamics import Dynamics
from core.engine.reference import run_chains
from core.pictures.patchwork import patchwork
from core.synthesis.sampling import synthesize
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


def drawn(net, height, width, *, count=1, steps=2, start, seed=5, after_step=None, layout_strength=0.0):
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
        layout_strength=layout_strength,
    )


def test_chains_start_from_the_patchwork_and_move_by_eq19():
    net, start = a_net(), torch.randn(2, 1, 24, 24, generator=generator())
    calls = []
    pictures = drawn(net, 24, 30, steps=4, start=start, after_step=calls.append)
    same = generator()
    expected = run_chains(net, patchwork(start, 24, 30, 3, same), 4, Dynamics(1.0, "torus"), same)
    assert torch.equal(pictures, expected)
    assert calls == [0, 0, 1, 2, 3, 4], "also called after each row of patches"


@pytest.mark.parametrize("strength", [0.0, 1.0, 3.0])
def test_a_picture_keeps_its_layout_as_far_as_it_is_held_to_it(strength):
    """Without weights σ alone pulls a wide wave of size A towards zero: mean sA / (1 + s) in the end, by eq. 19."""
    net = a_net()
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    wave = torch.cos(2 * torch.pi * torch.arange(96) / 96).double().expand(1, 1, 96, 96) * 40
    pictures = drawn(net.double(), 96, 96, steps=300, start=wave, layout_strength=strength)
    begun = patchwork(wave, 96, 96, 3, generator())
    first = torch.fft.rfft2(begun)[0, 0, 0, 1], torch.fft.rfft2(pictures)[0, 0, 0, 1]
    gain = torch.exp(torch.tensor(-((2 * torch.pi / 96 * 0.5 * net.architecture.receptive_field) ** 2)))  # of KᵀK
    wanted = first[0] * strength * gain / (1 + strength * gain)
    assert abs(first[1] - wanted) < 0.02 * abs(first[0])


def test_the_same_generator_draws_the_same_pictures_and_another_draws_others():
    net, start = a_net(), torch.randn(1, 1, 24, 24, generator=generator())
    first, second = (drawn(net, 24, 24, start=start) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, drawn(net, 24, 24, start=start, seed=6))
