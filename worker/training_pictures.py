"""The pictures that a training job learns from, read from its dataset."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.parallel import threads
from core.pictures.images import Levels, MaskedPicture, read_masked_picture, read_picture
from core.pictures.materials import normal_channels, read_maps
from core.pictures.orientations import evenly_spread_angles, turned, turned_by
from core.pictures.training_set import TrainingSet, measure_levels
from core.recipe.lighting import evened
from core.schemas.learning import DEFAULT_MAX_BATCH, LearningParams
from core.schemas.learning_checks import MAX_PIXELS
from core.schemas.materials import MaterialMap
from core.storage import datasets
from core.storage.tables import DatasetImage
from worker.job_context import JobContext

MEASURED_ANGLES = 16  # in which a material's levels are measured if it is turned by any


@threads(1)  # so that rounding does not depend on how many a job has
def load_material(
    context: JobContext, rows: Sequence[DatasetImage], maps: Sequence[MaterialMap], params: LearningParams
) -> tuple[TrainingSet, Levels]:
    """Return a material as a training set of one picture, whose channels are those of its maps, and its levels.

    Light is evened in each map on its own, by the same blur.
    """
    read = read_maps([context.blobs.get(row.blob) for row in rows], maps, params.image_size)
    groups: list[int] = [one.channels for one in maps]
    count = len(read)
    picture = torch.cat([evened(part, params.even_light) for part in torch.split(read, groups)])
    normals = normal_channels(maps, torch.zeros(count), torch.ones(count))

    def in_every_orientation() -> Iterator[Tensor]:
        if params.any_angle:
            angles = evenly_spread_angles(MEASURED_ANGLES)
            return (turned_by(picture[None], angle[None], params.image_size, normals)[0] for angle in angles)
        return (turned(picture, orientation, normals) for orientation in params.turns)

    levels, std = measure_levels(_Rereading(in_every_orientation), params.contrast, groups=groups)
    standardized = levels.standardize(picture[None]).to(context.device)
    return TrainingSet(
        1,
        count,
        std,
        levels.box,
        context.device,
        lambda indices: standardized[list(indices)],
        normal_channels(maps, levels.mean, levels.gains),
    ), levels


@threads(1)  # as in `load_material`
def load_pictures(context: JobContext, params: LearningParams) -> tuple[TrainingSet, Levels]:
    """Return the dataset's pictures as a training set, and their levels. They are grey if all pictures are.

    Transparent pixels are not learned from. Few pictures are held in memory; many, or large ones, are read from storage
    for each batch. Raises NothingToLearn if all pixels are transparent.
    """
    assert context.lease.dataset_id is not None
    rows = datasets.find(context.database, context.lease.dataset_id).images
    channels = 1 if all(row.mode in ("L", "LA") for row in rows) else 3

    def read_one(index: int) -> Tensor:
        content = context.blobs.get(rows[index].blob)
        if "A" not in rows[index].mode or not params.learns_parts:
            return evened(read_picture(content, params.image_size, channels), params.even_light)
        return _known_part(read_masked_picture(content, params.image_size, channels), params.even_light)

    def read_all() -> Iterator[Tensor]:
        for index in range(len(rows)):
            context.renewer.check_stop()
            yield read_one(index)

    few = len(rows) <= min(DEFAULT_MAX_BATCH, MAX_PIXELS // params.image_size**2)
    in_memory = list(read_all()) if few else None
    own_mean = params.even_light is not None
    levels, std = measure_levels(in_memory or _Rereading(read_all), params.contrast, own_mean)

    def standardized(picture: Tensor) -> Tensor:
        return levels.standardize(picture[None], own_mean)[0]

    if in_memory is not None:
        in_memory = [standardized(picture) for picture in in_memory]

    @threads(1)
    def read_batch(indices: Sequence[int]) -> Tensor:
        context.renewer.check_canceled()  # reading a batch from storage may take long
        pictures = [in_memory[index] if in_memory else standardized(read_one(index)) for index in indices]
        return torch.stack(pictures).to(context.device)

    return TrainingSet(len(rows), channels, std, levels.box, context.device, read_batch), levels


def _known_part(picture: MaskedPicture, even_light: float | None) -> Tensor:
    """Return a picture (C, S, S) evenly lit, NaN where it is unknown (`core.pictures.known_pixels`)."""
    if picture.known.all():
        return evened(picture.pixels, even_light)
    return torch.where(picture.known, evened(picture.pixels, even_light, picture.known), torch.nan)


@dataclass(frozen=True)
class _Rereading:
    """An iterable of pictures that reads them again each time it is iterated."""

    read_all: Callable[[], Iterator[Tensor]]

    def __iter__(self) -> Iterator[Tensor]:
        return self.read_all()
