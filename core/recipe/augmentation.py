"""Draw the observed pictures of one iteration: turned, at a random stride phase, under noise."""

import torch
from torch import Tensor

from core.engine.dynamics import random_phase
from core.pictures.known_pixels import NothingToLearn
from core.pictures.orientations import turned_at_random, turned_by_random_angles
from core.pictures.training_set import TrainingSet
from core.schemas.learned import boundary_of_pictures
from core.schemas.learning import LearningParams
from core.schemas.orientations import turnable_side
from core.theory.learning import draw_observed, observed_units
from core.theory.model import Architecture

MAX_DRAWS = 1000  # of the observed pictures of one iteration, until a unit sees known pixels alone


def draw_learnable(
    pictures: TrainingSet, params: LearningParams, architecture: Architecture, generator: torch.Generator
) -> Tensor:
    """Draw the observed pictures of one iteration as `draw_augmented` does, again if no unit sees known pixels alone.

    Raises NothingToLearn if MAX_DRAWS in a row hold no such unit.
    """
    boundary = boundary_of_pictures(params.boundary)
    for _ in range(MAX_DRAWS):
        images = draw_augmented(pictures, params, architecture.total_stride, generator)
        units = observed_units(images, architecture, boundary)
        if units is None or units.any():
            return images
    raise NothingToLearn(
        f"the transparent parts of the pictures leave nothing to learn from: hardly a window of "
        f"{architecture.receptive_field} pixels, which one unit of the net sees, is opaque"
    )


def draw_augmented(pictures: TrainingSet, params: LearningParams, stride: int, generator: torch.Generator) -> Tensor:
    """Draw the observed pictures of one iteration (M, C, H, W).

    `orientations` turns and flips them, `random_lattice` crops them to a random stride phase, `picture_noise` adds
    white noise.
    """
    images = draw_turned(pictures, params, generator)
    if params.random_lattice:
        down, right = random_phase(stride, generator)
        images = images[..., down:, right:]
    if not params.picture_noise:
        return images
    return images + params.picture_noise * torch.randn(images.shape, generator=generator, device=images.device)


def draw_turned(pictures: TrainingSet, params: LearningParams, generator: torch.Generator) -> Tensor:
    """Draw pictures or patches (M, C, S, S), each in one of the `orientations` or turned by any angle."""
    if not params.any_angle:
        return turned_at_random(draw_observed(pictures, params, generator), params.turns, generator, pictures.normals)
    drawn = draw_observed(pictures, params, generator, turnable_side(params.side))
    return turned_by_random_angles(drawn, params.side, generator, pictures.normals)
