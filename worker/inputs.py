"""What a job works from: a finished model, and the pictures of a dataset, a few at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.schemas.geometry import Boundary
from core.storage import datasets, models
from core.storage.tables import DatasetImage
from core.synthesis.trained_model import TrainedModel, load_model
from worker.job_context import JobContext

BATCH_PIXELS = 1 << 18  # of all pictures that are worked on at once
MAX_BATCH = 16


def open_model(desk: JobContext, model_id: str | None) -> TrainedModel:
    """The model, its net and chains on the worker's device. Raises NotFound, BlobMissing or BrokenFile."""
    assert model_id is not None
    model = load_model(desk.blobs.get(models.find(desk.database, model_id).blob))
    return TrainedModel(model.net.to(desk.device), model.levels, model.chains.to(desk.device), model.params)


@dataclass(frozen=True)
class Frame:
    """How a model looks at a picture that it did not draw, so that it knows pixels at the rim as well as others.

    margin: pixels by which the picture is continued by its own mirror image. stride: that of the net, where the chains
    are periodic and may be laid anywhere at its multiples; None where their pixels keep their places.
    """

    boundary: Boundary
    margin: int = 0
    stride: int | None = None

    @classmethod
    def of(cls, model: TrainedModel) -> "Frame":
        """What was learned on the torus is at home anywhere on the plane; all else where it was learned."""
        if model.params.boundary != "torus":
            return cls(model.params.boundary)
        architecture = model.net.architecture
        return cls("valid", architecture.halo, architecture.total_stride)


def dataset_rows(desk: JobContext) -> Sequence[DatasetImage]:
    """The pictures of the job's dataset, as rows. Raises NotFound."""
    assert desk.claim.dataset_id is not None
    return datasets.find(desk.database, desk.claim.dataset_id).images


def batches(rows: Sequence[DatasetImage], size: int) -> Iterator[Sequence[DatasetImage]]:
    """Runs of rows, few enough to be worked on at once as pictures of `size` x `size` pixels."""
    most = max(1, min(MAX_BATCH, BATCH_PIXELS // size**2))
    for first in range(0, len(rows), most):
        yield rows[first : first + most]
