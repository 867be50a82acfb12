"""Prepare training pictures as a job's parameters ask for."""

import torch
from torch import Tensor

from core.pictures.images import Levels, standardize
from core.recipe.lighting import evened
from core.schemas.learning import LearningParams


def prepare_for(params: LearningParams, pictures: Tensor) -> tuple[Tensor, Levels]:
    """Grey levels (N, C, H, W) -> what is learned from by these settings, and how to come back."""
    even = torch.stack([evened(picture, params.even_light) for picture in pictures])
    return standardize(even, params.contrast, own_mean=params.even_light is not None)
