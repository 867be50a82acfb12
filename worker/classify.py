"""The `classify` job: classify a dataset's pictures, with one model for each category."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Any

import torch
from torch import Tensor

from core.pictures.images import read_picture
from core.recipe.lighting import evened
from core.schemas.classification import KeptPartition, ResolvedClassifyParams
from core.schemas.learned import boundary_of_pictures
from core.schemas.learning import MAX_SEED, LearningParams
from core.storage import models
from core.storage.tables import DatasetImage
from core.synthesis.trained_model import TrainedModel
from core.theory.classification import (
    CategoryModel,
    are_within,
    centred_log_partitions,
    class_log_densities,
    class_posterior,
    log_partition_bounds,
)
from core.theory.partition import CHAINS_PER_PILOT, annealed_log_weights, estimate
from worker.errors import NonFiniteResult
from worker.inputs import batch_size, batches, dataset_rows, open_model
from worker.job_context import JobContext
from worker.picture_warnings import find_transparent
from worker.progress import ProgressReporter

MAX_OWN_PICTURES = 16  # of each model, to find the bounds of log Z from
SEEDS_APART = 1_000_003  # between the seeds of chains that refine one estimate; seeds count modulo 2**32


@dataclass(frozen=True)
class _Category:
    """A category: one of the job's models, for pictures of `size` x `size` pixels with `channels` channels.

    name: of the model, in quotes, for users to read; its id if it has none.
    own_pictures: some of its chains (N, C, size, size), grey levels; None if these are smaller.
    """

    model_id: str
    name: str
    model: CategoryModel
    partition: KeptPartition
    own_pictures: Tensor | None
    params: LearningParams
    channels: int

    @property
    def size(self) -> int:
        return self.params.image_size


def classify(context: JobContext) -> None:
    """Find log Z of each model, then p(c | I) of each picture by Bayes' rule with equal priors.

    Where annealing finds values that are not known well, or that the models' own pictures rule out, these pictures
    decide (`_by_own_pictures`).
    """
    params = ResolvedClassifyParams.model_validate(context.lease.params)
    rows = dataset_rows(context)
    transparent = find_transparent(context, rows)
    progress = ProgressReporter(context, len(params.model_ids), params.all_steps)
    categories = [_load_category(context, params, index, progress) for index in range(len(params.model_ids))]
    comparable = _by_own_pictures(context, categories)
    report = {
        "models": list(params.model_ids),
        "pictures": _classify_pictures(context, rows, comparable or categories),
        "compared_by": "log_z" if comparable is None else "own_pictures",
        "log_partitions": [{"model_id": category.model_id, **category.partition.summary()} for category in categories],
        "remarks": [*_find_warnings(categories, comparable is not None), *transparent],
    }
    content = json.dumps(report, ensure_ascii=False, allow_nan=False).encode()
    context.add_artifact("classification.json", "application/json", content)
    context.succeed(metrics=_summary(report))


def _load_category(
    context: JobContext, params: ResolvedClassifyParams, index: int, progress: ProgressReporter
) -> _Category:
    """Load the model with this index and its log Z, which is estimated unless it is kept with the model.

    Raises NonFiniteResult.
    """
    model_id = params.model_ids[index]
    model = open_model(context, model_id)
    row = models.find(context.database, model_id)
    kept = _read(row.log_partition)
    if kept is None or not kept.is_enough(params):
        weights = _anneal(context, model, params, index, kept, progress)
        kept = _read(
            models.update_log_partition(
                context.database, model_id, lambda before: _joined(_read(before), weights).model_dump(mode="json")
            )
        )
        assert kept is not None
    else:
        progress.skip()
    progress.report(index + 1, index + 1, params.all_steps)
    category = CategoryModel(model.net, model.levels, kept.value, boundary_of_pictures(model.params.boundary))
    name, channels = f"“{row.name}”" if row.name else model_id, len(model.levels.mean)
    return _Category(model_id, name, category, kept, _own_pictures(model), model.params, channels)


def _own_pictures(model: TrainedModel) -> Tensor | None:
    side = model.params.image_size
    if min(model.chains.shape[-2:]) < side:
        return None
    return model.levels.to_grey_levels(model.chains[:MAX_OWN_PICTURES, :, :side, :side])


def _by_own_pictures(context: JobContext, categories: Sequence[_Category]) -> list[_Category] | None:
    """Return the categories with values of log Z from their own pictures; None if those found by annealing hold.

    Annealing rarely reaches a texture of more than 32 pixels, and then finds log Z too low, by a different amount for
    each model. The pictures that a model has learned to draw bound the differences.
    """
    own = [one.own_pictures for one in categories if one.own_pictures is not None]
    if len(own) < len(categories):
        return None
    models = [replace(one.model, partition=0.0) for one in categories]
    densities = [_log_densities(context, models, pictures) for pictures in own]
    bounds = log_partition_bounds(densities)
    partitions = [one.partition for one in categories]
    found, errors = (
        torch.tensor([getattr(one, name) for one in partitions], dtype=torch.float64)
        for name in ("value", "standard_error")
    )
    known = all(one.is_known for one in partitions)  # else neither value nor error says anything
    if not bounds.isfinite().all() or (known and are_within(found, bounds, errors)):
        return None
    values = centred_log_partitions(bounds)
    values += (found - values).mean()
    return [
        replace(one, model=replace(one.model, partition=value))
        for one, value in zip(categories, values.tolist(), strict=True)
    ]


def _log_densities(context: JobContext, models: Sequence[CategoryModel], pictures: Tensor) -> Tensor:
    """Return `class_log_densities` of pictures (N, C, S, S), computed in batches. -> (N, models), float64."""
    found = []
    for batch in torch.split(pictures, batch_size(pictures.shape[-1])):
        context.renewer.check_stop()
        found.append(class_log_densities(models, batch.to(context.device)).double().cpu())
    return torch.cat(found)


def _anneal(
    context: JobContext,
    model: TrainedModel,
    params: ResolvedClassifyParams,
    index: int,
    kept: KeptPartition | None,
    progress: ProgressReporter,
) -> KeptPartition:
    """Estimate the model's log Z, at least as slowly as what is kept of it was. Raises NonFiniteResult."""
    temperatures, annealing_steps, known = params.temperatures, params.steps, 0
    if kept is not None:
        temperatures, annealing_steps = max(temperatures, kept.temperatures), max(annealing_steps, kept.steps)
        known = len(kept.log_weights)
    size, steps = model.params.image_size, count()

    half = temperatures * annealing_steps

    def work(step: int) -> float:
        """Return the work of so many steps, of which the first half are those of the pilots, fewer chains."""
        return min(step, half) / CHAINS_PER_PILOT + max(step - half, 0)

    def report() -> None:
        step = next(steps)
        progress.report(index, index + 1, step, share=work(step) / work(2 * half))

    seed = (params.seed + index + SEEDS_APART * known) % (MAX_SEED + 1)  # never that of the kept chains
    weights = annealed_log_weights(
        model.net,
        (size, size),
        boundary=boundary_of_pictures(model.params.boundary),
        generator=torch.Generator(context.device).manual_seed(seed),
        chains=params.chains,
        temperatures=temperatures,
        steps=annealing_steps,
        interrupt=report,
    )
    found = _estimated(temperatures, annealing_steps, weights)
    if not math.isfinite(found.value):
        raise NonFiniteResult(f"the normalizing constant of model {params.model_ids[index]} came out as {found.value}")
    return found


def _joined(kept: KeptPartition | None, new: KeptPartition) -> KeptPartition:
    """Return the estimate from both if they were annealed alike; else the slower one, because others would spoil it.

    Two jobs with the same seed that ran at the same time found the same weights, which count once.
    """
    if kept is None or kept.effort < new.effort:
        return new
    alike = (kept.temperatures, kept.steps) == (new.temperatures, new.steps)
    if not alike or not set(kept.log_weights).isdisjoint(new.log_weights):
        return kept
    weights = torch.tensor([*kept.log_weights, *new.log_weights], dtype=torch.float64)
    return _estimated(new.temperatures, new.steps, weights)


def _estimated(temperatures: int, steps: int, weights: Tensor) -> KeptPartition:
    return KeptPartition(
        temperatures=temperatures, steps=steps, log_weights=tuple(weights.tolist()), **asdict(estimate(weights))
    )


def _read(stored: dict[str, Any] | None) -> KeptPartition | None:
    return None if stored is None else KeptPartition.model_validate(stored)


def _classify_pictures(
    context: JobContext, rows: Sequence[DatasetImage], categories: Sequence[_Category]
) -> list[dict[str, Any]]:
    """Return p(c | I) of each picture, computed in batches. All categories have the same size and channels."""
    ids, size, channels = [one.model_id for one in categories], categories[0].size, categories[0].channels
    even_light = _common_even_light(categories)
    results: list[dict[str, Any]] = []
    models = [one.model for one in categories]
    for batch in batches(rows, size):
        pictures = torch.stack(
            [evened(read_picture(context.blobs.get(row.blob), size, channels), even_light) for row in batch]
        )
        densities = _log_densities(context, models, pictures)
        for row, density, probabilities in zip(batch, densities, class_posterior(densities), strict=True):
            results.append(
                {
                    "index": row.index,
                    "filename": row.filename,
                    "probabilities": dict(zip(ids, probabilities.tolist(), strict=True)),
                    "most_likely": ids[int(probabilities.argmax())],
                    "log_densities": dict(zip(ids, density.tolist(), strict=True)),
                }
            )
    return results


def _common_even_light(categories: Sequence[_Category]) -> float | None:
    """Return the models' `even_light` if it is the same for all; otherwise None, and pictures stay as they are."""
    first, *others = {one.params.even_light for one in categories}
    return None if others else first


def _find_warnings(categories: Sequence[_Category], by_own_pictures: bool) -> list[str]:
    """Return what makes the result unreliable, for users to read. core/README.md has the measurements behind it."""
    found = []
    names = [one.name for one in categories]
    if by_own_pictures:
        found.append(
            "log Z is not known well enough, or contradicts what the models have drawn themselves: pictures were "
            "compared with these instead. Each is said to come from the model whose own pictures it is most like, but "
            "not how likely that is"
        )
    if len({one.params.even_light for one in categories}) > 1:
        found.append(
            "the models were learned from pictures whose light was evened differently: here no picture was evened"
        )
    for one in categories:
        model = f"model {one.name}" + (f" ({one.model_id})" if names.count(one.name) > 1 else "")
        if not one.partition.is_known and not by_own_pictures:
            found.append(f"log Z of {model} rests on a single chain: it may be far too low; refine improves it")
        if one.params.boundary == "torus":
            found.append(f"{model} was learned on the torus, but pictures have edges: use boundary padded instead")
    if len({one.model.levels.gain for one in categories}) > 1:
        found.append("the models were learned at different contrasts: use contrast null for all of them instead")
    if len({one.params.reference_std for one in categories}) > 1:
        found.append("the models were learned with different reference_std: use one value for all of them instead")
    return found


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    """Return the job's metrics: for how many pictures each model is the most likely, and how that was found."""
    chosen = Counter(picture["most_likely"] for picture in report["pictures"])
    return {
        "most_likely": {model_id: chosen[model_id] for model_id in report["models"]},
        "compared_by": report["compared_by"],
        "log_partitions": report["log_partitions"],
        "remarks": report["remarks"],
    }
