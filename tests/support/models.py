"""A small model file, which a service imports where it need not train a model itself."""

from typing import Any

import torch

from core.pictures.images import Levels
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.synthesis.trained_model import TrainedModel, save_model
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

SIDE = 32


CANVAS = {"patch_size": SIDE // 2, "canvas_iterations": 1, "layerwise": False, "num_chains": 1}


def model_file(
    filters: int = 8, kernel_size: int = 5, stride: int = 2, seed: int = 1, side: int = SIDE, **settings: Any
) -> bytes:
    """Return the file of a model of grey pictures with random weights. settings: of its learning, such as CANVAS."""
    layer = LayerParams(filters=filters, kernel_size=kernel_size, stride=stride)
    learned = {"image_size": side, "layers": (layer,), "num_chains": 2, "seed": seed, **settings}
    params = LearningParams.model_validate(learned)
    generator = torch.Generator().manual_seed(seed)
    net = GenerativeConvNet(architecture_of(params, channels=1), generator)
    chains = torch.randn(params.num_chains, 1, side, side, generator=generator)
    return save_model(TrainedModel(net, Levels(torch.tensor([128.0])), chains, params))
