"""What a job's parameters ask for: how training pictures are prepared, and how chains move."""

import torch
from torch import Tensor

from core.engine.dynamics import Dynamics
from core.engine.parallel import threads
from core.pictures.colour_box import ColourBox
from core.pictures.images import Levels, standardize
from core.recipe.lighting import evened
from core.schemas.learning import LearningParams


@threads(1)  # so that rounding does not depend on how many a job has
def prepare_for(params: LearningParams, pictures: Tensor) -> tuple[Tensor, Levels]:
    """Even the light, centre and stretch grey levels (N, C, H, W); return the result and how to undo it."""
    even = torch.stack([evened(picture, params.even_light) for picture in pictures])
    return standardize(even, params.contrast, own_mean=params.even_light is not None)


def dynamics_of(params: LearningParams, box: ColourBox) -> Dynamics:
    """Return how the chains of `params` move; if bounded, within `box` widened by σ."""
    bounds = box.widened(params.reference_std) if params.bounded else None
    return Dynamics(params.step_size, params.boundary, bounds, params.random_lattice)
