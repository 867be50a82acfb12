"""Tell each result how it was made (core.pictures.origin)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from core.pictures.origin import DatasetOrigin, Origin
from core.schemas.references import datasets_of, models_of, without_ids
from core.storage import datasets, models
from worker.device import device_kind
from worker.job_context import JobContext

THEORY_PRECISION = "float32"  # of what core.theory computes


@dataclass(frozen=True)
class Origins:
    """The origins of a job's results. `shared` is what all of them have in common."""

    shared: Mapping[str, Any]
    params: Mapping[str, Any]

    @classmethod
    def of(
        cls, context: JobContext, precision: str, model_sha256: str | None = None, processes: int | None = None
    ) -> Self:
        """Return the origins of the results of a job whose convolutions have this precision.

        model_sha256: of the model that the job has learned; else that of its input. processes: those that learned it.
        """
        lease = context.lease
        dataset = None if lease.dataset_id is None else _dataset_origin(context, lease.dataset_id)
        named = {name: _dataset_origin(context, id_) for name, id_ in datasets_of(lease.params).items()}
        if model_sha256 is None and lease.model_id is not None:
            model_sha256 = models.find(context.database, lease.model_id).sha256
        others = {name: models.find(context.database, id_).sha256 for name, id_ in models_of(lease.params).items()}
        shared = {"kind": lease.kind.value, "model": model_sha256, "dataset": dataset, "datasets": named}
        device = device_kind(context.device)
        made_by = {"precision": precision, "device": device, "processes": processes}
        return cls({**shared, "models": others, **made_by}, lease.params)

    def origin(self, name: str, index: int, params: Mapping[str, Any] | None = None) -> Origin:
        """Return the origin of one result. params: those that make it again; those of the job unless given."""
        asked = without_ids(self.params if params is None else params)
        return Origin.model_validate({**self.shared, "params": asked, "name": name, "index": index})


def _dataset_origin(context: JobContext, dataset_id: str) -> DatasetOrigin:
    rows = datasets.find(context.database, dataset_id).images
    return DatasetOrigin.of([row.sha256 for row in rows], [row.role for row in rows])
