"""Small finished models with random weights, and pictures to use them on."""

import io

import numpy as np
import torch
from nets import random_net
from PIL import Image
from support import pictures
from support.worker_harness import WorkerHarness

from core.pictures.images import Levels
from core.schemas.learning import LearningParams
from core.theory import decoding
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

SIZE = 16
LEVELS = Levels(torch.tensor([120.0]), 0.05)


def learning_params(**changes) -> LearningParams:
    layers = [{"filters": 4, "kernel_size": 5}]
    given = {"image_size": SIZE, "layers": layers, "reference_std": 2.0, "step_size": 0.8, "seed": 1, **changes}
    return LearningParams.model_validate(given)


def levels_of(channels: int) -> Levels:
    return Levels(LEVELS.mean.repeat(channels), LEVELS.gain)


def add_model(harness: WorkerHarness, channels: int = 1, seed: int = 3, **changes) -> tuple[str, GenerativeConvNet]:
    """Store a model with `levels_of(channels)`; return its id and its net."""
    params = learning_params(**changes)
    net = random_net(architecture_of(params, channels), seed).float()
    return harness.add_model(net, params, levels_of(channels)), net


def noise_png(seed: int, *, channels: int = 1, size: int = SIZE) -> bytes:
    shape = (size, size) if channels == 1 else (size, size, channels)
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return pictures.encoded(Image.fromarray(array), "PNG")


def png_with_hole(seed: int, *, size: int = SIZE, channels: int = 3) -> bytes:
    """Return noise with a transparent rectangle."""
    picture = Image.open(io.BytesIO(noise_png(seed, channels=channels, size=size)))
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (size // 4, size // 4, size // 2, 3 * size // 4))
    picture.putalpha(alpha)
    return pictures.encoded(picture, "PNG")


def pixels_of(content: bytes) -> torch.Tensor:
    """Decode a PNG file as (C, H, W), uint8."""
    array = np.asarray(pictures.decoded(content))
    return torch.tensor(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)


def rebuild(net: GenerativeConvNet, images: torch.Tensor, boundary: str) -> torch.Tensor:
    """Return σ²B; "mirrored": of pictures continued by their mirror image as far as the filters reach."""
    if boundary != "mirrored":
        return decoding.reconstruct(net, images, boundary)
    halo = net.architecture.halo
    around = torch.nn.functional.pad(images, (halo,) * 4, mode="reflect")
    return decoding.reconstruct(net, around)[..., halo:-halo, halo:-halo]
