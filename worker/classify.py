"""The `classify` job: which of several models, each a category, a dataset's pictures come from."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import torch

from core.pictures.images import read_picture
from core.recipe.lighting import evened
from core.schemas.classification import ResolvedClassifyParams
from core.schemas.learned import boundary_of_pictures
from core.schemas.learning import MAX_SEED, LearningParams
from core.storage.tables import DatasetImage
from core.theory.classification import CategoryModel, class_log_densities, class_posterior
from core.theory.partition import log_partition
from worker.errors import Diverged
from worker.inputs import batches, dataset_rows, open_model
from worker.job_context import JobContext
from worker.progress import ProgressReporter

RELIABLE_SAMPLES = 2.0  # chains that carry the estimate of log Z; fewer is one


@dataclass(frozen=True)
class _Category:
    """One of the job's models, as a category. Its pictures are `size` x `size` pixels in `channels` channels."""

    model_id: str
    model: CategoryModel
    params: LearningParams
    channels: int

    @property
    def size(self) -> int:
        return self.params.image_size


def classify(desk: JobContext) -> None:
    """log Z of each model, then p(c | I) of each picture by Bayes' rule, all models being equally likely before."""
    params = ResolvedClassifyParams.model_validate(desk.claim.params)
    rows = dataset_rows(desk)
    pace = ProgressReporter(desk, len(params.model_ids), params.all_steps)
    categories = [_category(desk, params, index, pace) for index in range(len(params.model_ids))]
    found = {
        "models": list(params.model_ids),
        "pictures": _pictures(desk, rows, categories),
        "log_partitions": [{"model_id": one.model_id, **asdict(one.model.partition)} for one in categories],
        "remarks": _remarks(categories),
    }
    content = json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    desk.add_artifact("classification.json", "application/json", content)
    desk.succeed(metrics=_summary(found))


def _category(desk: JobContext, params: ResolvedClassifyParams, index: int, pace: ProgressReporter) -> _Category:
    """The model of that index, its log Z estimated."""
    model_id = params.model_ids[index]
    model = open_model(desk, model_id)
    size, boundary = model.params.image_size, boundary_of_pictures(model.params.boundary)
    steps = count()
    partition = log_partition(
        model.net,
        (size, size),
        boundary=boundary,
        generator=torch.Generator(desk.device).manual_seed((params.seed + index) % (MAX_SEED + 1)),
        chains=params.chains,
        temperatures=params.temperatures,
        steps=params.steps,
        interrupt=lambda: pace.tell(index, index + 1, next(steps)),
    )
    if not math.isfinite(partition.value):
        raise Diverged(f"the normalizing constant of model {model_id} came out as {partition.value}")
    category = CategoryModel(model.net, model.levels, partition, boundary)
    return _Category(model_id, category, model.params, len(model.levels.mean))


def _pictures(desk: JobContext, rows: Sequence[DatasetImage], categories: Sequence[_Category]) -> list[dict[str, Any]]:
    """p(c | I) of each picture of `rows`, a batch at a time. All categories are of one size."""
    ids, size, channels = [one.model_id for one in categories], categories[0].size, categories[0].channels
    even_light = _even_light(categories)
    told: list[dict[str, Any]] = []
    for batch in batches(rows, size):
        desk.lease.check()
        pictures = torch.stack(
            [evened(read_picture(desk.blobs.get(row.blob), size, channels), even_light) for row in batch]
        )
        densities = class_log_densities([one.model for one in categories], pictures.to(desk.device)).double()
        for row, density, probabilities in zip(batch, densities, class_posterior(densities), strict=True):
            told.append(
                {
                    "index": row.index,
                    "filename": row.filename,
                    "probabilities": dict(zip(ids, probabilities.tolist(), strict=True)),
                    "most_likely": ids[int(probabilities.argmax())],
                    "log_densities": dict(zip(ids, density.tolist(), strict=True)),
                }
            )
    return told


def _even_light(categories: Sequence[_Category]) -> float | None:
    """What the pictures are evened by, where all models were learned from such; else they are left as they are."""
    first, *others = {one.params.even_light for one in categories}
    return None if others else first


def _remarks(categories: Sequence[_Category]) -> list[str]:
    """What makes the answer unsure, in words that a user understands. core/README.md has what was measured of each."""
    found = []
    if len({one.params.even_light for one in categories}) > 1:
        found.append("the models were learned from pictures whose light was evened differently: none was evened here")
    for one in categories:
        if one.model.partition.effective_samples < RELIABLE_SAMPLES:
            found.append(f"log Z of model {one.model_id} rests on a single chain: it may be far too low")
        if one.params.boundary == "torus":
            found.append(
                f"model {one.model_id} was learned on the torus, but pictures end: boundary padded suits better"
            )
    if len({one.model.levels.gain for one in categories}) > 1:
        found.append("the models were learned at contrasts of their own: contrast null for all of them suits better")
    if len({one.params.reference_std for one in categories}) > 1:
        found.append("the models were learned with different reference_std: one for all of them suits better")
    return found


def _summary(found: dict[str, Any]) -> dict[str, Any]:
    """The job's metrics: how many pictures each model is the likeliest for, and how sure log Z is."""
    chosen = Counter(one["most_likely"] for one in found["pictures"])
    return {
        "most_likely": {model_id: chosen[model_id] for model_id in found["models"]},
        "log_partitions": found["log_partitions"],
        "remarks": found["remarks"],
    }
