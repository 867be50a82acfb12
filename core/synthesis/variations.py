"""Variations of a picture: chains that start between it and a new picture of the model, and take a few Langevin steps.

SDEdit (Meng et al. 2022) begins with the picture under noise. Our chains were learned from where they had come to, and
find no way from strong noise to the texture in some steps (docs/experiments/variations.md).
"""

import math

import torch
from torch import Tensor

from core.engine.parallel import threads
from core.pictures.images import read_covering
from core.pictures.sums import sums
from core.recipe.lighting import evened
from core.synthesis.trained_model import TrainedModel

MIN_ANGLE = 1e-6  # 1 - |cos Ω| between pictures that have a great circle


@threads(1)  # so that rounding does not depend on how many a job has
def prepare_picture(content: bytes, model: TrainedModel, height: int, width: int, slow_light: bool = False) -> Tensor:
    """Read a picture file as the model's training pictures were prepared -> (1, C, height, width).

    In grey levels about the mean, on the device of the model's chains. slow_light: keep it, also for `even_light`.
    """
    params, levels = model.params, model.levels
    pixels = read_covering(content, height, width, len(levels.mean))
    pixels = pixels if slow_light else evened(pixels, params.even_light)
    return levels.standardize(pixels[None].to(model.chains.device), own_mean=params.even_light is not None)


def between(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Return the picture at a share t of the way between two pictures A and B (1, C, H, W), along a great circle.

    sin((1 - t) Ω) / sin Ω A + sin(t Ω) / sin Ω B with cos Ω = ⟨A, B⟩ / (‖A‖ ‖B‖) (Shoemake 1985): unlike the mean of
    two pictures it is not fainter than they are. (1 - t) A + t B if they point in one direction, or in opposite ones.
    """
    pairs = ((start, start), (end, end), (start, end))
    squares, others, products = (sums((one * other).double()).sum().item() for one, other in pairs)
    norm = math.sqrt(squares * others)
    cosine = max(-1.0, min(1.0, products / norm)) if norm else 1.0
    if 1 - abs(cosine) < MIN_ANGLE:
        return (1 - share) * start + share * end
    angle = math.acos(cosine)
    return (math.sin((1 - share) * angle) / math.sin(angle)) * start + (math.sin(share * angle) / math.sin(angle)) * end


def start_variation(
    picture: Tensor, fresh: Tensor, strength: float, noise_std: float | Tensor, generator: torch.Generator
) -> Tensor:
    """Return cos(sπ/2) (I + n Z) + sin(sπ/2) J for a picture I (N, C, H, W) -> same shape, grey levels.

    fresh: J, where chains begin without a picture. strength: s, 0 to 1. noise_std: n, of the noise that the training
    pictures were under, which the model's chains have; a number, or one for each picture (N, 1, 1, 1). Z is the same
    for all pictures. The squares of the two factors add up to 1, so contrast and noise of I and J stay what they are if
    I and J are uncorrelated.
    """
    noise = torch.randn(picture[:1].shape, generator=generator, dtype=picture.dtype, device=picture.device)
    angle = strength * math.pi / 2
    started = picture + noise_std * noise
    del noise  # much memory, of a large canvas
    return started.mul_(math.cos(angle)).add_(math.sin(angle) * fresh)
