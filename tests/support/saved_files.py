"""Files of a small model and of a learner, and files that are altered."""

import json

import torch
from safetensors.torch import load, save

from core.pictures.images import Levels
from core.recipe.learner import learn
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.synthesis.trained_model import TrainedModel
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

CPU = torch.device("cpu")
PARAMS = LearningParams(
    image_size=16,
    layers=(LayerParams(filters=4, kernel_size=5, stride=2), LayerParams(filters=3, kernel_size=3)),
    num_chains=2,
    langevin_steps=1,
    iterations=4,
    reference_std=2.0,
    seed=2**63 - 1,
)


def trained_model(channels=3):
    generator = torch.Generator().manual_seed(0)
    net = GenerativeConvNet(architecture_of(PARAMS, channels), generator)
    mean = torch.tensor([100.0, 120.5, 90.25])[:channels]
    return TrainedModel(net, Levels(mean, 1.25), torch.randn(2, channels, 16, 16, generator=generator), PARAMS)


def learned(step=5):
    """Halted within the second stage, so that optimiser and a good state are in it."""
    images = 20 * torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    return learn(images, PARAMS, callback=lambda progress, _: progress.step == step)


def about(content):
    size = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["genconvnet"])


def forged(content, tensors=None, **changes):
    """The file with some tensors or entries of its JSON replaced; None removes."""
    kept = load(content) | (tensors or {})
    said = about(content) | changes
    return save(
        {name: value for name, value in kept.items() if value is not None},
        metadata={"genconvnet": json.dumps({name: value for name, value in said.items() if value is not None})},
    )
