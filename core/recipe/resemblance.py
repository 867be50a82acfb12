"""Whether a texture's synthesized pictures resemble the training picture, beyond what health can tell.

Chains of the right contrast and lively units can still show another texture: blots where the photograph has stones.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.pictures.known_pixels import filled
from core.pictures.orientations import evenly_spread_angles, turned, turned_by
from core.pictures.spectrum import spectrum_deviation
from core.pictures.structure import is_comparable, structure_ratio
from core.schemas.learning import LearningParams
from core.schemas.orientations import turned_side

TOLERATED_STRUCTURE = 1.5  # times what pieces of the training picture differ by
TOLERATED_SPECTRUM = 2.0  # factor between the powers of a band
MAX_COMPARED = 1024  # pixels along each side; of larger pictures, the upper left part is compared
MAX_PICTURES = 4  # of the synthesized ones
ANGLES = 8  # that a picture learned at any angle is compared at


@dataclass(frozen=True)
class Resemblance:
    """Synthesized pictures compared with the training picture.

    structure_ratio: `core.pictures.structure.structure_ratio`; about 1 if they have the same structure.
    spectrum_deviation: `core.pictures.spectrum.spectrum_deviation`; 1 if no band of frequencies is too weak or strong.
    """

    structure_ratio: float
    spectrum_deviation: float


def measure_resemblance(synthesized: Tensor, picture: Tensor, params: LearningParams) -> Resemblance | None:
    """Compare synthesized pictures (N, C, H, W) with the first training picture (C, S, S), both in grey levels.

    At most MAX_PICTURES are compared, and MAX_COMPARED pixels along each side. None if they cannot be compared:
    objects, patches and reconstructions are no textures, and small pictures are too few pieces. Unknown pixels of the
    picture are `filled`, whose joints count little: pebbles with a sixth of them filled differ from the whole
    photograph by 0.96 and 1.5.
    """
    if params.top != "convolutional" or params.fixed_size or params.contrastive:
        return None
    views = _views(filled(picture[None])[0, :, :MAX_COMPARED, :MAX_COMPARED], params)
    if not is_comparable(synthesized, views):
        return None
    synthesized = synthesized[:MAX_PICTURES, :, :MAX_COMPARED, :MAX_COMPARED].float()
    return Resemblance(structure_ratio(synthesized, views), spectrum_deviation(synthesized, views))


def _views(picture: Tensor, params: LearningParams) -> Tensor:
    """Return a picture (C, S, S) as it was shown while it was learned: (V, C, S', S').

    What was learned in several orientations resembles the picture in none of them alone, but all of them together: a
    part of paving turned by 17 degrees differs from the nearest of eight angles by 3.3, from all eight by 1.04.
    """
    if not params.any_angle:
        return torch.stack([turned(picture, one) for one in params.turns])
    repeated = picture.expand(ANGLES, -1, -1, -1)
    return turned_by(repeated, evenly_spread_angles(ANGLES), turned_side(picture.shape[-1]))


def find_differences(found: Resemblance, iterations: str = "iterations") -> list[str]:
    """Return what a user should know of a poor resemblance, and what to try; nothing if it is good.

    iterations: the parameters that ask for more of them.
    """
    warnings = []
    if not found.structure_ratio <= TOLERATED_STRUCTURE:
        warnings.append(
            "the structure of the synthesized pictures differs from the training picture's "
            f"{found.structure_ratio:.1f} times as much as parts of it differ from each other: more {iterations} "
            "may help, or an image_size at which its elements are 10 to 30 pixels wide"
        )
    if not found.spectrum_deviation <= TOLERATED_SPECTRUM:
        warnings.append(
            f"fine or coarse detail is {found.spectrum_deviation:.1f} times too strong or too weak: more {iterations} "
            "may help, or a smaller picture_noise and reference_std for fine grain"
        )
    return warnings
