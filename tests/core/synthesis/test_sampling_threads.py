"""Sampled pictures do not depend on the number of threads."""

from collections.abc import Iterator
from functools import partial

import pytest
import torch

from core.engine import FastEngine, has_bfloat16
from core.engine.dynamics import Dynamics
from core.pictures.images import Levels
from core.pictures.sums import means
from core.recipe.fine_detail import fine_detail_filter
from core.recipe.preparation import dynamics_of
from core.recipe.presets import PRESETS
from core.recipe.rendering import tone_of
from core.recipe.tone import MAX_GAIN
from core.schemas.learning import LearningParams
from core.synthesis.blend_weights import strengths
from core.synthesis.blending import Agreement, Blend, Expert, SeenGuide
from core.synthesis.conditions import MAX_DENSE_SIDE, Guide, KnownPixels, run_steps, run_under_conditions
from core.synthesis.sampling import render, synthesize
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

SIZE = 258  # PyTorch splits sums of more than 32,768 numbers among threads
STRENGTH = {1: 68, 3: 100}  # makes σ²B of the random net about as strong as the contrast of the training pictures
BFLOAT16 = pytest.param(
    torch.bfloat16,
    marks=pytest.mark.skipif(
        not has_bfloat16(torch.device("cpu")),
        reason="this processor would emulate bfloat16 for minutes",
    ),
)


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def drawn(
    params: LearningParams, channels: int, dtype: torch.dtype | None, threads: int
) -> tuple[float, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gain of the tone, a picture's chain, its means and its bytes, of a net with random weights."""
    torch.set_num_threads(threads)
    seeds, engine = torch.Generator().manual_seed(3), FastEngine(dtype)
    net = GenerativeConvNet(architecture_of(params, channels), seeds)
    with torch.no_grad():
        net.weights[-1].mul_(STRENGTH[channels])
    levels = Levels(torch.full((channels,), 127.0))
    start = 50 * torch.randn(2, channels, SIZE, SIZE, generator=seeds)
    kernel = fine_detail_filter(start, 0.9 * start)
    dynamics, tone = dynamics_of(params, levels.box), tone_of(net, start, params, engine, kernel)
    chains = synthesize(
        net, 1, SIZE, SIZE, steps=1, dynamics=dynamics, generator=seeds, start=start, engine=engine,
    )  # fmt: skip
    pixels = render(net, chains, levels, params.picture_noise, dynamics, engine, tone)
    return tone.gain, chains, means(chains), pixels


@pytest.mark.parametrize("dtype", [None, BFLOAT16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_seed_gives_the_same_picture_on_any_number_of_threads(channels, dtype):
    params = PRESETS["texture-cpu"].model_copy(update={"image_size": SIZE, "random_lattice": False})
    gain, *made = drawn(params, channels, dtype, 1)
    assert 1 / MAX_GAIN < gain < MAX_GAIN
    for threads in (2, 3):
        other_gain, *others = drawn(params, channels, dtype, threads)
        assert other_gain == gain
        assert all(torch.equal(other, one) for other, one in zip(others, made, strict=True))


@pytest.mark.parametrize("dtype", [None, BFLOAT16])
@pytest.mark.parametrize("limit", [0, MAX_DENSE_SIDE])
def test_a_seed_gives_the_same_picture_under_conditions_on_any_number_of_threads(dtype, limit, monkeypatch):
    monkeypatch.setattr("core.synthesis.conditions.MAX_DENSE_SIDE", limit)
    net = GenerativeConvNet(architecture_of(PRESETS["texture-cpu"], 3), seeded(1))
    begin, picture = (50 * torch.randn(1, 3, SIZE, SIZE, generator=seeded(seed)) for seed in (2, 3))
    known = KnownPixels(picture, torch.rand(1, 1, SIZE, SIZE, generator=seeded(4)) > 0.9)
    guide = Guide(picture, 0.5, net.architecture.reference_std, 10.0)
    weights = torch.rand(1, 1, SIZE, SIZE, generator=seeded(5))
    experts = tuple(Expert(net, 1.0, one, strengths(one), random_lattice=True) for one in (weights, 1 - weights))
    dynamics, made = Dynamics(6.0, "torus", random_lattice=True), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        one = run_under_conditions(FastEngine(dtype), net, begin, 2, dynamics, seeded(6), (known, guide))
        step = partial(Blend(experts, FastEngine(dtype), net.architecture.reference_std).step, dynamics.step_size)
        several = run_steps(
            step,
            begin.repeat(2, 1, 1, 1),
            2,
            dynamics.step_size,
            seeded(7),
            (SeenGuide(experts, guide), Agreement(experts)),
        )
        made.append(torch.cat([one, several]))
    assert torch.equal(made[1], made[0])
    assert torch.equal(made[2], made[0])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("side", [300, 699])
def test_a_guide_pulls_the_same_on_any_number_of_threads(side):
    """At sides at which a product of matrices, or a transform, is split differently."""
    picture, chains = 50 * torch.randn(2, 1, 3, side, side, generator=torch.Generator().manual_seed(1))
    found = []
    for threads in (1, 2, 4, 8):
        torch.set_num_threads(threads)
        found.append(Guide(picture, 0.1, 10.0, 10.5).drift(chains))
    assert all(torch.equal(one, found[0]) for one in found)
