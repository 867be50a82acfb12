"""Check requests for jobs and complete them with defaults, so that settings that cannot work never reach a worker."""

import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate

from asgi_correlation_id import correlation_id
from pydantic import ValidationError

from api.app_state import AppState
from api.errors import Problem, counted, field_errors, validation_problem
from api.jobs import materials
from api.jobs.learning_params import learning_params
from api.jobs.schemas import AnyJobIn, ClassifyJobIn, InpaintJobIn, ReconstructJobIn, SampleJobIn, TrainJobIn
from core.jobs.requests import NewJob
from core.jobs.shards import NewShard
from core.recipe.presets import PRESETS
from core.schemas.blending import MAX_BLENDED_STRIDE
from core.schemas.geometry import halo, receptive_field, total_stride
from core.schemas.inpainting import MAX_RESULTS
from core.schemas.jobs import JobKind, Progress
from core.schemas.learned import LearnedSettings
from core.schemas.learning import LearningParams
from core.schemas.orientations import RESAMPLING_MARGIN
from core.schemas.reconstruction import MAX_ALL_FRAMES
from core.schemas.references import datasets_of, models_of
from core.schemas.sampling import ResolvedSampleParams
from core.schemas.stages import MAX_WHOLE_SIZE
from core.storage import datasets, models
from core.storage.tables import Dataset, DatasetImage, Model

DRAWN_SEEDS = 1 << 53
MAX_CHECKED_PIXELS = 2**26  # of pictures with transparency, read before a training job is accepted: some seconds


def resolve(app_state: AppState, body: AnyJobIn) -> NewJob:
    """Return the job to create. Raises Problem for settings that cannot work, NotFound for an unknown id."""
    return replace(
        _new_job(app_state, body),
        request_id=correlation_id.get(),
        priority=body.priority,
        time_limit_seconds=time_limit(app_state, body.time_limit_seconds) or app_state.settings.max_job_seconds,
    )


def time_limit(app_state: AppState, seconds: float | None) -> float | None:
    """Return the time limit that a client asks for. Raises Problem if it exceeds the one for all jobs."""
    most = app_state.settings.max_job_seconds
    if seconds is not None and most is not None and seconds > most:
        raise validation_problem(
            [{"field": "time_limit_seconds", "message": f"must be at most {most:g}, the limit for all jobs"}]
        )
    return seconds


def _new_job(app_state: AppState, body: AnyJobIn) -> NewJob:
    match body:
        case TrainJobIn():
            return _train(app_state, body)
        case SampleJobIn():
            return _sample(app_state, body)
        case ReconstructJobIn():
            return _reconstruct(app_state, body)
        case InpaintJobIn():
            return _inpaint(app_state, body)
        case ClassifyJobIn():
            return _classify(app_state, body)


def _train(app_state: AppState, body: TrainJobIn) -> NewJob:
    if body.preset not in PRESETS:
        message = f"unknown preset {body.preset!r}; the presets are {', '.join(sorted(PRESETS))}"
        raise validation_problem([{"field": "preset", "message": message}])
    dataset = datasets.find(app_state.database, body.dataset_id)
    params = learning_params(body.preset, body.params.model_dump(exclude_unset=True)).seeded(_draw_seed())
    if maps := datasets.maps_of(dataset):
        materials.check_training(params, maps)
    _require_divisible(params, 1 if maps else len(dataset.images))
    if params.learns_parts:
        _require_usable(partly_transparent(dataset), lambda image: _part_error(app_state, image, params))
    return NewJob(
        kind=JobKind.TRAIN,
        params=params.model_dump(mode="json"),
        preset=body.preset,
        model_name=body.model_name,
        dataset_id=body.dataset_id,
        progress=Progress(stages=params.stages, iterations=params.iterations),
    )


def _require_divisible(params: LearningParams, pictures: int) -> None:
    """Check that each process has a chain or a training picture of an iteration. Raises Problem."""
    most = params.most_processes(pictures)
    if params.processes > most:
        work = "training pictures" if params.contrastive else "chains (num_chains) or training pictures (batch_size)"
        message = f"must be at most {most}: an iteration has no more {work} to divide among processes"
        raise validation_problem([{"field": "params.processes", "message": message}])


def _sample(app_state: AppState, body: SampleJobIn) -> NewJob:
    model = models.find(app_state.database, body.model_id)
    with _params_errors_as_problem():
        params = body.params.resolved(_learned_settings(model), _draw_seed())
    materials.check_sampling(params, model)
    others = {name: models.find(app_state.database, id_) for name, id_ in models_of(params.model_dump()).items()}
    _require_blendable(model, others)
    for name, dataset_id in datasets_of(params.model_dump()).items():
        _require_one_picture(app_state, f"params.{name}", dataset_id)
    return NewJob(
        kind=JobKind.SAMPLE,
        params=params.model_dump(mode="json"),
        model_id=body.model_id,
        model_ids=tuple(other.id for other in others.values()),
        progress=_sample_progress(params),
        shards=tuple(
            NewShard(shard.first, shard.params.model_dump(mode="json"), _sample_progress(shard.params))
            for shard in params.shards()
        ),
    )


def _sample_progress(params: ResolvedSampleParams) -> Progress:
    return Progress(stages=params.count, iterations=params.steps_taken)


def _require_blendable(model: Model, others: Mapping[str, Model]) -> None:
    """Check that models can be drawn on one canvas. Raises Problem, naming each parameter that is wrong."""
    wrong = []
    stride = total_stride(_learned_settings(model).layers)
    for name, other in others.items():
        learned = _learned_settings(other)
        joined = math.lcm(stride, total_stride(learned.layers))
        reason = learned.only_size or materials.difference(other, model)
        if reason is None and other.channels != model.channels:
            channels = counted(other.channels, "channel")
            reason = f"it learned pictures of {channels}, but the job's own model of {model.channels}"
        if reason is None and joined > MAX_BLENDED_STRIDE:
            reason = (
                f"the strides of the nets multiply to {total_stride(learned.layers)} and {stride}: the sides of a "
                f"canvas for both would be multiples of {joined}, more than {MAX_BLENDED_STRIDE}"
            )
        if reason is not None:
            wrong.append({"field": f"params.{name}", "message": f"cannot be blended: {reason}"})
        else:
            stride = joined
    if wrong:
        raise validation_problem(wrong)


def _require_one_picture(app_state: AppState, field: str, dataset_id: str) -> None:
    """Check that the dataset exists and has one picture. Raises NotFound or Problem."""
    dataset = datasets.find(app_state.database, dataset_id)
    materials.require_pictures(field, dataset)
    count = len(dataset.images)
    if count != 1:
        raise validation_problem([{"field": field, "message": f"has {count} pictures; a dataset of one is needed"}])


def _reconstruct(app_state: AppState, body: ReconstructJobIn) -> NewJob:
    _require_whole_pictures("model_id", models.find(app_state.database, body.model_id))
    dataset = _find_pictures(app_state, body.dataset_id)
    frames = len(dataset.images) * body.params.frames
    if frames > MAX_ALL_FRAMES:
        message = (
            f"{len(dataset.images)} pictures x {body.params.frames} are {frames} frames, more than {MAX_ALL_FRAMES}"
        )
        raise validation_problem([{"field": "params.frames", "message": message}])
    return NewJob(
        kind=JobKind.RECONSTRUCT,
        params=body.params.model_dump(mode="json"),
        model_id=body.model_id,
        dataset_id=body.dataset_id,
        progress=Progress(stages=len(dataset.images), iterations=body.params.passes),
    )


def _inpaint(app_state: AppState, body: InpaintJobIn) -> NewJob:
    learned = _require_whole_pictures("model_id", models.find(app_state.database, body.model_id))
    images = _find_pictures(app_state, body.dataset_id).images
    with _params_errors_as_problem():
        params = body.params.resolved(learned, _draw_seed())
    results = len(images) * params.count
    if results > MAX_RESULTS:
        message = f"{len(images)} pictures x {params.count} are {results} results, more than {MAX_RESULTS}"
        raise validation_problem([{"field": "params.count", "message": message}])
    reason_against = _seam_error if params.seam else _mask_error
    _require_usable(images, lambda image: reason_against(app_state, image, learned.image_size))
    return NewJob(
        kind=JobKind.INPAINT,
        params=params.model_dump(mode="json"),
        model_id=body.model_id,
        dataset_id=body.dataset_id,
        progress=Progress(stages=results, iterations=params.steps),
    )


def _classify(app_state: AppState, body: ClassifyJobIn) -> NewJob:
    _require_comparable([models.find(app_state.database, model_id) for model_id in body.model_ids])
    _find_pictures(app_state, body.dataset_id)
    params = body.params.resolved(tuple(body.model_ids), _draw_seed())
    return NewJob(
        kind=JobKind.CLASSIFY,
        params=params.model_dump(mode="json"),
        model_ids=params.model_ids,
        dataset_id=body.dataset_id,
        progress=Progress(stages=len(params.model_ids), iterations=params.all_steps),
    )


def _find_pictures(app_state: AppState, dataset_id: str) -> Dataset:
    """Return a dataset of pictures. Raises NotFound, or Problem if it is a material."""
    dataset = datasets.find(app_state.database, dataset_id)
    materials.require_pictures("dataset_id", dataset)
    return dataset


def _learned_settings(model: Model) -> LearnedSettings:
    return LearnedSettings.model_validate(model.params)


def _require_whole_pictures(field: str, model: Model) -> LearnedSettings:
    """Return how the model was learned. Raises Problem if it was from patches, or not from pictures but a material."""
    materials.require_model_of_pictures(field, model)
    learned = _learned_settings(model)
    if learned.image_size > MAX_WHOLE_SIZE:
        message = (
            f"learned from pictures of {learned.image_size} pixels; at most {MAX_WHOLE_SIZE} fit into memory whole"
        )
        raise validation_problem([{"field": field, "message": message}])
    if learned.of_patches:
        message = f"learned from patches of {learned.side} x {learned.side} pixels; a model of whole pictures is needed"
        raise validation_problem([{"field": field, "message": message}])
    return learned


def _require_comparable(chosen: Sequence[Model]) -> None:
    """Check that all models differ and have the same size and channels. Raises Problem, naming each wrong one."""
    wrong = []
    first = _require_whole_pictures("model_ids[0]", chosen[0])
    for index, model in enumerate(chosen[1:], start=1):
        field = f"model_ids[{index}]"
        learned = _require_whole_pictures(field, model)
        if model.id in [other.id for other in chosen[:index]]:
            wrong.append({"field": field, "message": f"{model.id} is named twice"})
        elif learned.image_size != first.image_size:
            sizes = f"{learned.image_size} pixels a side, but model_ids[0] from pictures of {first.image_size}"
            wrong.append({"field": field, "message": f"learned from pictures of {sizes}; they must be the same"})
        elif model.channels != chosen[0].channels:
            channels = counted(model.channels, "channel")
            message = f"learned from pictures of {channels}, but model_ids[0] from pictures of {chosen[0].channels}"
            wrong.append({"field": field, "message": f"{message}; they must be the same"})
    if wrong:
        raise validation_problem(wrong)


def partly_transparent(dataset: Dataset) -> list[DatasetImage]:
    """Return the pictures with an alpha channel, the first one and those that follow within MAX_CHECKED_PIXELS."""
    images = [image for image in dataset.images if "A" in image.mode]
    pixels = accumulate(image.width * image.height for image in images)
    within = sum(up_to_here <= MAX_CHECKED_PIXELS for up_to_here in pixels)
    return images[: max(within, 1)]


def _part_error(app_state: AppState, image: DatasetImage, params: LearningParams) -> str | None:
    """Return why the picture's opaque part cannot be learned from; None if it can."""
    from core.pictures.masks import KNOWN_ALPHA, read_known, some_window_known  # late: the API needs Pillow only here

    known = read_known(app_state.blobs.get(image.blob), params.image_size)
    window, padding = receptive_field(params.layers), halo(params.layers) if params.boundary == "padded" else 0
    shifted = params.patch_size is not None or params.random_lattice or params.orientations != ("0",)
    needed = window + 2 * RESAMPLING_MARGIN if params.any_angle else window
    if some_window_known(known, needed, 1 if shifted else total_stride(params.layers), padding):
        return None
    resampled = f", resampled from {needed} x {needed} pixels because orientations is any" if params.any_angle else ""
    return (
        f"nothing is left to learn from: no unit of the net, which sees {window} x {window} pixels{resampled}, sees "
        f"only opaque ones (alpha from {KNOWN_ALPHA}) in its middle square, scaled to image_size"
    )


def _require_usable(images: Sequence[DatasetImage], reason_against: Callable[[DatasetImage], str | None]) -> None:
    """Check that every picture can be used. Raises Problem, naming each file and the reason against it."""
    wrong = [
        {"field": "dataset_id", "file": image.filename, "message": reason}
        for image in images
        if (reason := reason_against(image))
    ]
    if wrong:
        detail = "; ".join(f"{one['file']}: {one['message']}" for one in wrong[:3])
        raise Problem(422, detail, wrong)


def _mask_error(app_state: AppState, image: DatasetImage, size: int) -> str | None:
    """Return why the picture, read at `size` x `size` pixels, cannot be inpainted; None if it can."""
    if "A" not in image.mode:
        return "has no alpha channel: its transparent parts would be painted"
    from core.pictures.masks import KNOWN_ALPHA, read_known  # late: the API needs Pillow only here

    known = read_known(app_state.blobs.get(image.blob), size)
    if known.all():
        return f"nothing is transparent (alpha below {KNOWN_ALPHA}) in its middle square: there is nothing to paint"
    if not known.any():
        return (
            f"everything is transparent (alpha below {KNOWN_ALPHA}) in its middle square: nothing is left to paint from"
        )
    return None


def _seam_error(app_state: AppState, image: DatasetImage, size: int) -> str | None:
    """Return why the picture cannot be made tileable by a model of `size` x `size` pixels; None if it can."""
    measured = f"is {image.width} x {image.height} pixels"
    if min(image.width, image.height) != size:
        learned_so = f", or learn a model with image_size {min(image.width, image.height)}"
        return (
            f"{measured}: its short side must be {size}, the model's image_size, so that no pixel changes its scale; "
            f"scale or crop it{learned_so if min(image.width, image.height) <= MAX_WHOLE_SIZE else ''}"
        )
    if image.width * image.height > MAX_WHOLE_SIZE**2:
        return f"{measured}: more than {MAX_WHOLE_SIZE} x {MAX_WHOLE_SIZE} do not fit into memory whole"
    if "A" in image.mode:
        from core.pictures.masks import is_opaque  # late: the API needs Pillow only here

        if not is_opaque(app_state.blobs.get(image.blob)):
            return "has transparent pixels: only opaque pictures are made tileable; a job without seam fills them"
    return None


@contextmanager
def _params_errors_as_problem() -> Iterator[None]:
    """Turn a ValidationError of a job's parameters into a Problem with status 422."""
    try:
        yield
    except ValidationError as error:
        raise validation_problem(field_errors(error.errors(), ["params"])) from error


def _draw_seed() -> int:
    """Return a seed that every JSON reader keeps exactly; many hold numbers in 64-bit floating point."""
    return secrets.randbelow(DRAWN_SEEDS)
