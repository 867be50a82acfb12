"""The examples: a few training pictures, always the same, that weights are scaled on and states are compared with."""

import torch
from torch import Tensor

from core.pictures.known_pixels import filled
from core.pictures.orientations import evenly_spread_angles, turned, turned_by, turned_each
from core.pictures.training_set import TrainingSet, cut_patches
from core.schemas.learning import LearningParams
from core.schemas.orientations import turnable_side

EXAMPLES = 4  # training pictures that weights are scaled on and states are compared with
EXAMPLE_PATCHES = 256  # cut out of them if patches are learned
EXAMPLE_WINDOWS = 8  # cut out of them if windows of a texture are learned; of MAX_EXAMPLE_PIXELS in all, at least one
MAX_EXAMPLE_PIXELS = 8 * 512**2
EXAMPLE_ANGLES = 8  # that they are turned by if any angle is learned


def examples_of(pictures: TrainingSet, params: LearningParams) -> Tensor:
    """Return the first EXAMPLES training pictures on the CPU, or patches of them, always the same.

    Unknown pixels are filled with what lies elsewhere in the picture. Several `orientations` are shown one after the
    other, and all of them, so that there are as many examples at least; of any angle, EXAMPLE_ANGLES.
    """
    examples = filled(pictures.read(range(min(EXAMPLES, pictures.count))).cpu().float())
    if params.patch_size is not None:
        most = max(1, MAX_EXAMPLE_PIXELS // params.patch_size**2)
        count = min(EXAMPLE_WINDOWS, most) if params.of_windows else EXAMPLE_PATCHES
        cut = turnable_side(params.patch_size) if params.any_angle else params.patch_size
        examples = cut_patches(examples, cut, count, torch.Generator().manual_seed(0))
    if len(params.turns) == 1:
        return turned(examples, params.turns[0], pictures.normals)
    shown = range(max(len(examples), len(params.turns) or EXAMPLE_ANGLES))
    repeated = examples[[index % len(examples) for index in shown]]
    if params.any_angle:
        angles = evenly_spread_angles(EXAMPLE_ANGLES)[[index % EXAMPLE_ANGLES for index in shown]]
        return filled(turned_by(repeated, angles, params.side, pictures.normals))
    turns = [params.turns[index % len(params.turns)] for index in shown]
    return turned_each(repeated, turns, pictures.normals)
