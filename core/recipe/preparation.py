"""Prepare training pictures as a job's parameters ask for."""

import torch
from torch import Tensor

from core.pictures.images import Levels, standardize
from core.recipe.lighting import evened
from core.schemas.learning import LearningParams


def prepare_for(params: LearningParams, pictures: Tensor) -> tuple[Tensor, Levels]:
    """Even the light, centre and stretch grey levels (N, C, H, W); return the result and how to undo it."""
    even = torch.stack([evened(picture, params.even_light) for picture in pictures])
    return standardize(even, params.contrast, own_mean=params.even_light is not None)
