"""What a model draws does not depend on how many of a machine's threads draw it."""

from collections.abc import Iterator

import pytest
import torch

from core.engine import FastEngine
from core.pictures.images import Levels
from core.recipe.learner import dynamics_of
from core.recipe.presets import PRESETS
from core.recipe.rendering import tone_of
from core.recipe.tone import MOST_GAIN, means
from core.schemas.learning import LearningParams
from core.synthesis.sampling import render, synthesize
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

SIZE = 258  # above the 32,768 numbers from which on PyTorch cuts a sum among threads
STRENGTH = {1: 100, 3: 170}  # by which the random net's σ²B is about as strong as the contrast that is learned


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def drawn(
    params: LearningParams, channels: int, dtype: torch.dtype | None, threads: int
) -> tuple[float, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gain of the tone, a picture's chain, its means and its bytes, by a net with random weights."""
    torch.set_num_threads(threads)
    seeds, engine = torch.Generator().manual_seed(3), FastEngine(dtype)
    net = GenerativeConvNet(architecture_of(params, channels), seeds)
    with torch.no_grad():
        net.weights[-1].mul_(STRENGTH[channels])
    levels = Levels(torch.full((channels,), 127.0))
    start = 50 * torch.randn(2, channels, SIZE, SIZE, generator=seeds)
    dynamics, tone = dynamics_of(params, levels.box), tone_of(net, start, params, engine)
    chains = synthesize(
        net, 1, SIZE, SIZE, steps=2, dynamics=dynamics, generator=seeds, start=start, engine=engine,
    )  # fmt: skip
    pixels = render(net, chains, levels, params.picture_noise, dynamics, engine, tone)
    return tone.gain, chains, means(chains), pixels


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_seed_draws_the_same_picture_on_one_thread_and_on_several(channels, dtype):
    params = PRESETS["texture-cpu"].model_copy(update={"image_size": SIZE})
    gain, *made = drawn(params, channels, dtype, 1)
    assert 1 / MOST_GAIN < gain < MOST_GAIN
    for threads in (2, 3):
        other_gain, *others = drawn(params, channels, dtype, threads)
        assert other_gain == gain
        assert all(torch.equal(other, one) for other, one in zip(others, made, strict=True))
