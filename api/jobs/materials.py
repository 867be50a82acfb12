"""Check jobs on materials: which parameters exclude them, as the maps are learned and drawn together as a texture."""

import math
from collections.abc import Iterator, Sequence

from api.errors import counted, validation_problem
from core.schemas.learning import LearningParams
from core.schemas.learning_checks import MAX_PIXELS
from core.schemas.materials import MaterialMap, channels_of
from core.schemas.model_file import weights_of
from core.schemas.net import COLOUR_CHANNELS, MAX_WEIGHTS
from core.schemas.references import DATASET_PARAMS
from core.schemas.sampling import MAX_SIDE, ResolvedSampleParams
from core.storage import datasets
from core.storage.tables import Dataset, Model


def check_training(params: LearningParams, maps: Sequence[MaterialMap]) -> None:
    """Check that a material can be learned with `params`. Raises Problem, naming each wrong parameter."""
    wrong = [{"field": f"params.{name}", "message": message} for name, message in _errors(params, channels_of(maps))]
    if wrong:
        raise validation_problem(wrong)


def _errors(params: LearningParams, channels: int) -> Iterator[tuple[str, str]]:
    if params.top == "object":
        yield "top", "must be convolutional or category: a material is learned as a texture, not as an object"
    if params.contrastive:
        yield "contrastive", "must be false: a material is learned to draw new ones, not to reconstruct it"
    if params.of_patches:
        yield (
            "patch_size",
            "needs boundary torus: a material is learned from windows, not from patches that stand alone",
        )
    weights = sum(math.prod(shape) for shape in weights_of(params, channels).values())
    if weights > MAX_WEIGHTS:
        yield "layers", f"have {weights:,} weights with {channels} channels, but at most {MAX_WEIGHTS:,} are allowed"
    most = COLOUR_CHANNELS * MAX_PIXELS // (channels * params.side**2)
    for name, count in (("num_chains", params.num_chains), ("batch_size", params.batch_size)):
        if count is not None and count > most:
            yield name, f"must be at most {most} with {channels} channels of {params.side} x {params.side} pixels"


def check_sampling(params: ResolvedSampleParams, model: Model) -> None:
    """Check that the model of a material can draw as `params` ask. Raises Problem, naming each wrong parameter."""
    if not model.maps:
        return
    wrong = [
        {"field": f"params.{name}", "message": "must be absent: the model learned the maps of a material, not pictures"}
        for name in DATASET_PARAMS
        if getattr(params, name) is not None
    ]
    blended = 1 + len(params.blend or ())
    most = COLOUR_CHANNELS * MAX_SIDE**2 // (model.channels * blended)
    if params.width * params.height > most:
        of_models = "" if blended == 1 else f" of {blended} models"
        message = (
            f"{params.width} x {params.height} pixels are more than {most}, the most with {model.channels} "
            f"channels{of_models}"
        )
        wrong.append({"field": "params.width", "message": message})
    if wrong:
        raise validation_problem(wrong)


def require_pictures(field: str, dataset: Dataset) -> None:
    """Raise Problem if the dataset is a material."""
    if datasets.maps_of(dataset):
        message = "is a material of aligned maps, which only training takes; a dataset of pictures is needed"
        raise validation_problem([{"field": field, "message": message}])


def require_model_of_pictures(field: str, model: Model) -> None:
    """Raise Problem if the model learned a material."""
    if model.maps:
        message = "learned the maps of a material, of which it draws new ones; a model of pictures is needed"
        raise validation_problem([{"field": field, "message": message}])


def difference(model: Model, own: Model) -> str | None:
    """Return how the maps that a model learned differ from those of the job's own model; None if they are the same."""
    maps, own_maps = ([MaterialMap.model_validate(one) for one in row.maps] for row in (model, own))
    if maps == own_maps:
        return None
    if not maps or not own_maps:
        learned = ["the maps of a material" if one else "pictures" for one in (maps, own_maps)]
        return f"it learned {learned[0]}, but the job's own model {learned[1]}; both must have learned the same"
    roles, own_roles = ([one.role for one in maps] for maps in (maps, own_maps))
    if roles != own_roles:
        what = "the maps in the order" if set(roles) == set(own_roles) else "the maps"
        return f"it learned {what} {', '.join(roles)}, but the job's own model {', '.join(own_roles)}"
    differing = (pair for pair in zip(maps, own_maps, strict=True) if pair[0] != pair[1])
    return "; ".join(
        f"it learned {one.role} of {_layout(one)}, but the job's own model of {_layout(own_one)}"
        for one, own_one in differing
    )


def _layout(one: MaterialMap) -> str:
    return f"{counted(one.channels, 'channel')} of {one.bits} bits"
