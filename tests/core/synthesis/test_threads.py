"""Sampled pictures do not depend on the number of threads."""

from collections.abc import Iterator

import pytest
import torch

from core.engine import FastEngine, has_bfloat16
from core.pictures.images import Levels
from core.pictures.sums import means
from core.recipe.learner import dynamics_of
from core.recipe.presets import PRESETS
from core.recipe.rendering import tone_of
from core.recipe.tone import MAX_GAIN
from core.schemas.learning import LearningParams
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
    dynamics, tone = dynamics_of(params, levels.box), tone_of(net, start, params, engine)
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
