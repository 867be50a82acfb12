"""Variations of a picture: chains that start from it under noise, and take a few Langevin steps.

Noise erases detail first and large structure last, and the dynamics paints anew what is erased (SDEdit, Meng et al.
2022).
"""

import math

import torch
from torch import Tensor

from core.pictures.images import read_covering, rms
from core.pictures.sums import sums
from core.recipe.lighting import evened
from core.synthesis.trained_model import TrainedModel

MIN_ANGLE = 1e-6  # 1 - |cos Ω| between pictures that have a great circle


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


def start_variation(picture: Tensor, strength: float, std: float | Tensor, generator: torch.Generator) -> Tensor:
    """Return (1 - s) I + std Z for a picture I (N, C, H, W) -> same shape, grey levels.

    strength: s, 0 to 1. std: of the noise, see `start_std`; a number, or one for each pixel (1, 1, H, W).
    """
    noise = torch.randn(picture.shape, generator=generator, dtype=picture.dtype, device=picture.device)
    return (1 - strength) * picture + std * noise


def start_std(model: TrainedModel, strength: float) -> float:
    """Return √(s (2 - s) c² + n²), the standard deviation of the noise under which variations of strength s start.

    c: the contrast of the model's pictures without noise, so that a picture under noise keeps it. n: the noise that the
    training pictures were under; the model's chains have it too, so the square of their contrast is c² + n².
    """
    noise_std = model.params.picture_noise
    contrast = math.sqrt(max(rms(model.chains) ** 2 - noise_std**2, 0))
    return math.hypot(math.sqrt(strength * (2 - strength)) * contrast, noise_std)
