"""The inputs of a job: a finished model, and the pictures of a dataset in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from core.recipe.fine_detail import reach_of
from core.schemas.geometry import Boundary, round_up
from core.storage import datasets, models
from core.storage.tables import DatasetImage
from core.synthesis.trained_model import TrainedModel, load_model
from core.theory.boundary import continue_periodically, mirror
from worker.job_context import JobContext

BATCH_PIXELS = 1 << 18  # of all pictures in a batch together
MAX_BATCH = 16  # pictures


def open_model(context: JobContext, model_id: str | None) -> TrainedModel:
    """Load a model onto the worker's device. Raises NotFound, BlobMissing or BrokenFile."""
    assert model_id is not None
    model = load_model(context.blobs.get(models.find(context.database, model_id).blob))
    return replace(model, net=model.net.to(context.device), chains=model.chains.to(context.device))


@dataclass(frozen=True)
class BoundaryHandling:
    """How to show a given picture to a model, so that the net sees the pixels at its edges as well as any others.

    boundary: the boundary condition of the net. margin: pixels by which to mirror the picture beyond its edges.
    stride: chains may be shifted by multiples of it; None if their pixels have fixed positions.
    periodic: continue the picture periodically instead of mirroring it.
    """

    boundary: Boundary
    margin: int = 0
    stride: int | None = None
    periodic: bool = False

    @classmethod
    def of(cls, model: TrainedModel) -> "BoundaryHandling":
        """Mirror pictures for models learned on the torus; others see pictures as they were learned.

        As far as the net sees and the model's filter of fine detail reaches.
        """
        if model.params.boundary != "torus":
            return cls(model.params.boundary)
        halo, stride = model.net.architecture.halo, model.net.architecture.total_stride
        return cls("valid", halo + round_up(max(reach_of(model.detail_filter) - halo, 0), stride), stride)

    @classmethod
    def of_periodic(cls, model: TrainedModel) -> "BoundaryHandling":
        """Continue pictures periodically, as far as their pixels' B depends on it in any stride phase.

        A unit that sees the last pixel reaches up to a window - 1 pixels beyond it, and the picture is rolled towards
        the margin's end by up to stride - 1 pixels.
        """
        architecture = model.net.architecture
        stride = architecture.total_stride
        reach = max(architecture.receptive_field - 1 + stride - 1, reach_of(model.detail_filter))
        return cls("valid", round_up(reach, stride), stride, periodic=True)

    def extend(self, images: Tensor) -> Tensor:
        """Continue pictures (N, C, H, W) beyond their edges; `core.theory.boundary.crop` removes the margin."""
        return continue_periodically(images, self.margin) if self.periodic else mirror(images, self.margin)


def dataset_rows(context: JobContext) -> Sequence[DatasetImage]:
    """Return the rows of the pictures in the job's dataset. Raises NotFound."""
    assert context.lease.dataset_id is not None
    return datasets.find(context.database, context.lease.dataset_id).images


def read_one_picture(context: JobContext, dataset_id: str | None) -> bytes | None:
    """Return the file of the only picture of a dataset; None without a dataset. Raises NotFound or BlobMissing."""
    if dataset_id is None:
        return None
    (row,) = datasets.find(context.database, dataset_id).images
    return context.blobs.get(row.blob)


def batch_size(size: int) -> int:
    """Return how many pictures of `size` x `size` pixels fit into memory together."""
    return max(1, min(MAX_BATCH, BATCH_PIXELS // size**2))


def batches(rows: Sequence[DatasetImage], size: int) -> Iterator[Sequence[DatasetImage]]:
    """Split rows into batches of pictures of `size` x `size` pixels that fit into memory together."""
    length = batch_size(size)
    for first in range(0, len(rows), length):
        yield rows[first : first + length]
