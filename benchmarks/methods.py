"""The methods of texture synthesis that quality.py compares: two older ones, and the ConvNet."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from quilting import quilt
from random_phase import random_phase
from torch import Tensor

from core.engine import Engine
from core.pictures.images import Levels, to_pixels
from core.pictures.quality import COPIED_PATCH
from core.pictures.training_set import TrainingSet
from core.recipe.diagnosis import find_warnings
from core.recipe.learner import Learner
from core.recipe.preparation import dynamics_of, prepare_for
from core.recipe.recovery import LearningDiverged
from core.recipe.rendering import detail_filter_of, render_chains, tone_of
from core.recipe.state import TrainingState
from core.schemas.learned import LearnedSettings
from core.schemas.learning import LearningParams
from core.schemas.sampling import SampleParams
from core.synthesis.sampling import render, synthesize

LEARNED, SAMPLED = "ConvNet", "ConvNet, sampled"
OTHER_HALF = "its other half"
# What each older method and the finished model draw: 8 pictures of 128 x 128 pixels, one of 512 x 512.
DRAWN_PIXELS = 2**17
MAX_DRAWS = 8  # a single small picture would be a matter of luck
BLOCKS = 5  # of quilting, along a picture: enough pieces to choose from, each large enough to hold structure


@dataclass(frozen=True)
class Output:
    """The pictures (N, C, H, W) that a method made, uint8. The other fields are None unless the method learned."""

    pictures: Tensor
    recoveries: int | None = None
    seconds: float | None = None
    warnings: Sequence[str] | None = None


def run_methods(picture: Tensor, params: LearningParams) -> dict[str, Output | None]:
    """Synthesize pictures like `picture` (C, H, W) by each method; None if learning diverged."""
    assert params.seed is not None
    generator = torch.Generator().manual_seed(params.seed)
    return {
        **other_half(picture),
        "random phase": draw(random_phase, picture, generator),
        "quilting": draw(quilt_by_size, picture, generator),
        **learn(picture, params),
    }


def other_half(picture: Tensor) -> dict[str, Output | None]:
    """Return the right half of a picture (C, H, W), to be compared with the left one; nothing if it is too small."""
    half = picture.shape[-1] // 2
    return {OTHER_HALF: Output(to_bytes(picture[..., -half:]))} if half >= 3 * COPIED_PATCH else {}


def draws(side: int) -> int:
    """Return how many pictures of a side are drawn."""
    return min(max(DRAWN_PIXELS // side**2, 1), MAX_DRAWS)


def quilt_by_size(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Quilt with blocks that are a fifth of the picture's side, overlapping by a sixth of a block."""
    block = picture.shape[-1] // BLOCKS
    return quilt(picture, generator, block, max(block // 6, 1))


def draw(method: Callable[[Tensor, torch.Generator], Tensor], picture: Tensor, generator: torch.Generator) -> Output:
    return Output(torch.cat([to_bytes(method(picture, generator)) for _ in range(draws(picture.shape[-1]))]))


def learn(picture: Tensor, params: LearningParams) -> dict[str, Output | None]:
    """Return the chains at the end of learning, and pictures that the finished model samples."""
    images, levels = prepare_for(params, picture[None])
    began_at = time.monotonic()
    learner = Learner(TrainingSet.of(images, levels), params)
    try:
        for _ in learner.iterate():
            pass
    except LearningDiverged:
        return {LEARNED: None, SAMPLED: None}
    seconds, state = time.monotonic() - began_at, learner.state
    detail_filter = detail_filter_of(state.net, state.chains, params, learner.examples, learner.engine)
    chains = to_pixels(render_chains(state.net, state.chains, params, learner.engine, detail_filter), levels)
    learned = Output(chains, state.recoveries, seconds, find_warnings(learner.measure_health()))
    return {LEARNED: learned, SAMPLED: Output(sample(state, params, levels, learner.engine, detail_filter))}


def sample(
    state: TrainingState, params: LearningParams, levels: Levels, engine: Engine, detail_filter: Tensor | None
) -> Tensor:
    """Draw pictures of the size of the training picture, as a sampling job with default parameters does, uint8."""
    dynamics = dynamics_of(params, levels.box)
    side = params.image_size
    asked = SampleParams().resolved(LearnedSettings.model_validate(params.model_dump()), seed=0)
    chains = synthesize(
        state.net,
        draws(side),
        side,
        side,
        steps=asked.steps,
        dynamics=dynamics,
        generator=state.generator,
        start=state.chains,
        engine=engine,
        layout_strength=asked.layout_strength,
    )
    tone = tone_of(state.net, state.chains, params, engine, detail_filter)
    return render(state.net, chains, levels, params.picture_noise, dynamics, engine, tone)


def to_bytes(picture: Tensor) -> Tensor:
    """Round grey levels (C, H, W) and clip them to 0..255; return uint8 (1, C, H, W)."""
    return picture.round().clamp(0, 255).to(torch.uint8)[None]
