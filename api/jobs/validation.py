"""The door: what a job asks for is checked and completed here; settings that cannot work never reach a worker."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from asgi_correlation_id import correlation_id
from pydantic import ValidationError

from api.app_state import AppState
from api.errors import Problem, field_errors, invalid
from api.jobs.schemas import AnyJobIn, ClassifyJobIn, InpaintJobIn, ReconstructJobIn, SampleJobIn, TrainJobIn
from core.jobs.requests import NewJob
from core.jobs.shards import NewShard
from core.recipe.presets import PRESETS
from core.schemas.inpainting import MAX_RESULTS
from core.schemas.jobs import JobKind, Progress
from core.schemas.learned import LearnedSettings
from core.schemas.learning import MAX_SEED, LearningParams
from core.schemas.sampling import ResolvedSampleParams
from core.storage import datasets, models
from core.storage.tables import DatasetImage, Model


def resolve(app_state: AppState, asked: AnyJobIn) -> NewJob:
    """Raises Problem for settings that cannot work, or NotFound."""
    return replace(
        _resolved(app_state, asked),
        request_id=correlation_id.get(),
        priority=asked.priority,
        time_limit_seconds=time_limit(app_state, asked.time_limit_seconds) or app_state.settings.max_job_seconds,
    )


def time_limit(app_state: AppState, asked: float | None) -> float | None:
    """What is asked for. Problem where it is more than may be."""
    most = app_state.settings.max_job_seconds
    if asked is not None and most is not None and asked > most:
        raise invalid([{"field": "time_limit_seconds", "message": f"must be at most {most:g}, as every job's"}])
    return asked


def _resolved(app_state: AppState, asked: AnyJobIn) -> NewJob:
    match asked:
        case TrainJobIn():
            return _train(app_state, asked)
        case SampleJobIn():
            return _sample(app_state, asked)
        case ReconstructJobIn():
            return _reconstruct(app_state, asked)
        case InpaintJobIn():
            return _inpaint(app_state, asked)
        case ClassifyJobIn():
            return _classify(app_state, asked)


def _train(app_state: AppState, asked: TrainJobIn) -> NewJob:
    preset = PRESETS.get(asked.preset)
    if preset is None:
        message = f"there is no preset {asked.preset!r}; there are {', '.join(sorted(PRESETS))}"
        raise invalid([{"field": "preset", "message": message}])
    datasets.find(app_state.database, asked.dataset_id)
    overrides: Mapping[str, Any] = asked.params.model_dump(exclude_unset=True)
    with _refusing_params():
        params = LearningParams.model_validate({**preset.model_dump(), **overrides}).seeded(_draw_seed())
    return NewJob(
        kind=JobKind.TRAIN,
        params=params.model_dump(mode="json"),
        preset=asked.preset,
        dataset_id=asked.dataset_id,
        progress=Progress(stages=params.stages, iterations=params.iterations),
    )


def _sample(app_state: AppState, asked: SampleJobIn) -> NewJob:
    learned = _learned(models.find(app_state.database, asked.model_id))
    with _refusing_params():
        params = asked.params.resolved(learned, _draw_seed())
    return NewJob(
        kind=JobKind.SAMPLE,
        params=params.model_dump(mode="json"),
        model_id=asked.model_id,
        progress=_untouched(params),
        shards=tuple(
            NewShard(shard.first, shard.params.model_dump(mode="json"), _untouched(shard.params))
            for shard in params.shards()
        ),
    )


def _untouched(params: ResolvedSampleParams) -> Progress:
    return Progress(stages=params.count, iterations=params.steps)


def _reconstruct(app_state: AppState, asked: ReconstructJobIn) -> NewJob:
    _knows_pictures("model_id", models.find(app_state.database, asked.model_id))
    dataset = datasets.find(app_state.database, asked.dataset_id)
    return NewJob(
        kind=JobKind.RECONSTRUCT,
        params=asked.params.model_dump(mode="json"),
        model_id=asked.model_id,
        dataset_id=asked.dataset_id,
        progress=Progress(stages=len(dataset.images), iterations=asked.params.passes),
    )


def _inpaint(app_state: AppState, asked: InpaintJobIn) -> NewJob:
    learned = _knows_pictures("model_id", models.find(app_state.database, asked.model_id))
    images = datasets.find(app_state.database, asked.dataset_id).images
    with _refusing_params():
        params = asked.params.resolved(learned, _draw_seed())
    results = len(images) * params.count
    if results > MAX_RESULTS:
        message = f"{len(images)} pictures x {params.count} are {results} results, more than {MAX_RESULTS}"
        raise invalid([{"field": "params.count", "message": message}])
    _have_holes(app_state, images, learned.image_size)
    return NewJob(
        kind=JobKind.INPAINT,
        params=params.model_dump(mode="json"),
        model_id=asked.model_id,
        dataset_id=asked.dataset_id,
        progress=Progress(stages=results, iterations=params.steps),
    )


def _classify(app_state: AppState, asked: ClassifyJobIn) -> NewJob:
    _alike([models.find(app_state.database, model_id) for model_id in asked.model_ids])
    datasets.find(app_state.database, asked.dataset_id)
    params = asked.params.resolved(tuple(asked.model_ids), _draw_seed())
    return NewJob(
        kind=JobKind.CLASSIFY,
        params=params.model_dump(mode="json"),
        model_ids=params.model_ids,
        dataset_id=asked.dataset_id,
        progress=Progress(stages=len(params.model_ids), iterations=params.all_steps),
    )


def _learned(model: Model) -> LearnedSettings:
    return LearnedSettings.model_validate(model.params)


def _knows_pictures(field: str, model: Model) -> LearnedSettings:
    """How the model was learned. Problem where that was from patches: it knows nothing of a whole picture."""
    learned = _learned(model)
    if learned.patch_size is not None:
        message = f"a model of patches of {learned.side} x {learned.side} pixels; one of whole pictures is needed"
        raise invalid([{"field": field, "message": message}])
    return learned


def _alike(chosen: Sequence[Model]) -> None:
    """Each model once, all of pictures of one size and of as many channels. Problem where they are not."""
    wrong = []
    first = _knows_pictures("model_ids[0]", chosen[0])
    for index, model in enumerate(chosen[1:], start=1):
        field = f"model_ids[{index}]"
        learned = _knows_pictures(field, model)
        if model.id in [other.id for other in chosen[:index]]:
            wrong.append({"field": field, "message": f"{model.id} is named twice"})
        elif learned.image_size != first.image_size:
            sizes = f"of {learned.image_size} pixels a side, model_ids[0] of {first.image_size}"
            wrong.append({"field": field, "message": f"learned pictures {sizes}; all must be alike"})
        elif model.channels != chosen[0].channels:
            channels = f"of {model.channels} channels, model_ids[0] of {chosen[0].channels}"
            wrong.append({"field": field, "message": f"learned pictures {channels}; all must be alike"})
    if wrong:
        raise invalid(wrong)


def _have_holes(app_state: AppState, images: Sequence[DatasetImage], size: int) -> None:
    """Every picture has something to paint and something to go by. Problem that names each file where it has not."""
    wrong = [
        {"field": "dataset_id", "file": image.filename, "message": reason}
        for image in images
        if (reason := _no_hole(app_state, image, size))
    ]
    if wrong:
        detail = "; ".join(f"{one['file']}: {one['message']}" for one in wrong[:3])
        raise Problem(422, detail, wrong)


def _no_hole(app_state: AppState, image: DatasetImage, size: int) -> str | None:
    """Why there is nothing to paint in the picture, as it is read at a side of `size` pixels; None where there is."""
    if "A" not in image.mode:
        return "has no alpha channel: what is transparent is what is painted"
    from core.pictures.masks import KNOWN_ALPHA, read_known  # here, since numpy takes long, and the API starts without

    known = read_known(app_state.blobs.get(image.blob), size)
    if known.all():
        return f"nothing is transparent (alpha below {KNOWN_ALPHA}) in its middle square: there is nothing to paint"
    if not known.any():
        return f"everything is transparent (alpha below {KNOWN_ALPHA}) in its middle square: nothing to go by is left"
    return None


@contextmanager
def _refusing_params() -> Iterator[None]:
    """pydantic's refusal as the client's 422."""
    try:
        yield
    except ValidationError as error:
        raise invalid(field_errors(error.errors(), ["params"])) from error


def _draw_seed() -> int:
    return secrets.randbelow(MAX_SEED)
