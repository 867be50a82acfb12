"""A small model file, which a service imports where it need not train a model itself."""

import torch

from core.pictures.images import Levels
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.synthesis.trained_model import TrainedModel, save_model
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

SIDE = 32


def model_file(filters: int = 8, kernel_size: int = 5, stride: int = 2, seed: int = 1, side: int = SIDE) -> bytes:
    """Return the file of a model of grey pictures with random weights."""
    layer = LayerParams(filters=filters, kernel_size=kernel_size, stride=stride)
    params = LearningParams(image_size=side, layers=(layer,), num_chains=2, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    net = GenerativeConvNet(architecture_of(params, channels=1), generator)
    chains = torch.randn(2, 1, side, side, generator=generator)
    return save_model(TrainedModel(net, Levels(torch.tensor([128.0])), chains, params))
