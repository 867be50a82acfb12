"""The format of a model's file: safetensors, with how the model was learned in the header's metadata.

Torch is not imported here, because the API checks uploaded models without it. A safetensors file is eight bytes with
the length of the header, then the header (JSON: dtype, shape and offsets of each tensor), then the tensors' bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.schemas.geometry import chain_side, top_side
from core.schemas.learning import LearningParams
from core.schemas.materials import Maps, MaterialMap, channels_of, check_maps

MODEL_FORMAT = "genconvnet-model/1"
MAX_HEADER_BYTES = 1 << 20
LENGTH_BYTES = 8
COLOURS = ("colours.low", "colours.high", "colours.axes")
MAX_CHAINS = 1024
SHARES = "gain_shares"  # of the model of a material: `core.pictures.images.Levels.shares`
DETAIL_FILTER = "detail_filter"  # `core.recipe.fine_detail`; models of objects, of materials and older ones have none
DETAIL_FILTER_SIDE = 15
TENSOR_FIELDS = {"dtype", "shape", "data_offsets"}

Shape = tuple[int, ...]

_maps: TypeAdapter[tuple[MaterialMap, ...]] = TypeAdapter(Maps)


class BrokenFile(ValueError):
    """The file is damaged or has another format; the message says what is wrong."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor's dtype, in safetensors' own words ("F32"), and shape."""

    dtype: str
    shape: Shape

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclass(frozen=True)
class ModelHeader:
    """What the header of a model's file says: how the model was learned, and the channels of its pictures.

    maps: the maps of a material, if it learned one.
    """

    params: LearningParams
    channels: int
    maps: tuple[MaterialMap, ...] = ()


def header_bytes(content: bytes) -> int:
    """Return the header's length, which the file's first eight bytes hold. Raises BrokenFile if it is over 1 MiB."""
    size = int.from_bytes(content[:LENGTH_BYTES], "little")
    if len(content) < LENGTH_BYTES or size > MAX_HEADER_BYTES:
        raise BrokenFile("its header is missing or larger than 1 MiB")
    return size


def check_header(text: bytes) -> None:
    """Check a header for what safetensors tolerates: repeated names and unknown fields. Raises BrokenFile."""
    for name, about in _json_object(text, "the header").items():
        if name != "__metadata__" and (not isinstance(about, dict) or about.keys() != TENSOR_FIELDS):
            raise BrokenFile(f"tensor {name!r} must have dtype, shape and data_offsets, and nothing else")


def model_header(metadata: Mapping[str, str], tensors: Mapping[str, TensorSpec]) -> ModelHeader:
    """Return the settings in `metadata`. Raises BrokenFile unless `tensors` are exactly those that they need."""
    about = _json_object(metadata.get("genconvnet", "").encode(), "__metadata__.genconvnet")
    if about.get("format") != MODEL_FORMAT:
        raise BrokenFile(f"format: {str(about.get('format'))[:60]!r} is not {MODEL_FORMAT!r}")
    try:
        params = LearningParams.model_validate(about.get("params"))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in ("params", *first["loc"]))
        raise BrokenFile(f"{field}: {first['msg'].removeprefix('Value error, ')}") from error
    maps = read_maps(about)
    channels = _channels(tensors, maps)
    check_layout(params, channels, tensors, bool(maps))
    return ModelHeader(params, channels, maps)


def read_maps(about: Mapping[str, Any]) -> tuple[MaterialMap, ...]:
    """Return the maps of a material in a header's JSON; none for a model of pictures. Raises BrokenFile."""
    try:
        maps = _maps.validate_python(about.get("maps", []))
        check_maps(maps)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in ("maps", *first["loc"]))
        raise BrokenFile(f"{field}: {first['msg']}") from error
    except ValueError as error:
        raise BrokenFile(f"maps: {error}") from error
    return maps


def weights_of(params: LearningParams, channels: int) -> dict[str, Shape]:
    """Return the shape of each of the net's tensors, named as in `core.theory.model.GenerativeConvNet`; all are F32."""
    shapes: dict[str, Shape] = {}
    below = channels
    for index, layer in enumerate(params.layers):
        shapes[f"weights.{index}"] = (layer.filters, below, layer.kernel_size, layer.kernel_size)
        shapes[f"biases.{index}"] = (layer.filters,)
        below = layer.filters
    if params.top == "category":
        shapes["category_weights"] = (below,)
    if params.top == "object":
        side = top_side(params.layers, params.side, params.boundary)
        shapes[f"weights.{len(params.layers)}"] = (1, below, side, side)
        shapes[f"biases.{len(params.layers)}"] = (1,)
    return shapes


def check_layout(
    params: LearningParams, channels: int, found: Mapping[str, TensorSpec], of_material: bool = False
) -> None:
    """Check that `found` are the tensors of such a model. Raises BrokenFile, naming the first one that is wrong."""
    needed = {name: TensorSpec("F32", shape) for name, shape in weights_of(params, channels).items()}
    needed |= {"mean": TensorSpec("F32", (channels,)), "gain": TensorSpec("F64", ())}
    if of_material:
        needed[SHARES] = TensorSpec("F32", (channels,))
    if found.keys() & set(COLOURS):  # older files have none
        needed |= dict.fromkeys(COLOURS[:2], TensorSpec("F32", (channels, 1, 1)))
        needed[COLOURS[2]] = TensorSpec("F32", (channels, channels))
    if DETAIL_FILTER in found:
        needed[DETAIL_FILTER] = TensorSpec("F32", (DETAIL_FILTER_SIDE, DETAIL_FILTER_SIDE))
    side = chain_side(params.layers, params.of_stage(params.stages - 1).side, params.boundary)
    needed["chains"] = TensorSpec("F32", (_count(found), channels, side, side))
    for name, spec in needed.items():
        if name not in found:
            raise BrokenFile(f"tensor {name!r} is missing")
        if found[name] != spec:
            raise BrokenFile(f"tensor {name!r} is {found[name]}, but the file's settings need {spec}")
    for name in found:
        if name not in needed:
            raise BrokenFile(f"tensor {name!r} belongs to no model with these settings")


def _count(found: Mapping[str, TensorSpec]) -> int:
    """Return the number of chains that a valid file may have: the file's own, at least 1 and at most MAX_CHAINS."""
    shape = found["chains"].shape if "chains" in found else ()
    return min(max(shape[0], 1), MAX_CHAINS) if shape else 1


def _channels(tensors: Mapping[str, TensorSpec], maps: tuple[MaterialMap, ...]) -> int:
    if "mean" not in tensors:
        raise BrokenFile("tensor 'mean' is missing")
    shape = tensors["mean"].shape
    if maps and shape != (channels_of(maps),):
        raise BrokenFile(f"tensor 'mean' is of shape {list(shape)}, but its maps have {channels_of(maps)} channels")
    if not maps and shape not in ((1,), (3,)):
        raise BrokenFile(f"tensor 'mean' is of shape {list(shape)}, not [1] or [3]")
    return shape[0]


def _json_object(text: bytes, what: str) -> dict[str, Any]:
    """Parse `text`, called `what` in errors. Raises BrokenFile unless it is a JSON object in UTF-8.

    Repeated names and unpaired surrogates are refused, too: Python's parser accepts both.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise BrokenFile(f"{what} names {key[:60]!r} twice")
            found[key] = value
        return found

    try:
        found = json.loads(text.decode(), object_pairs_hook=unique)
        json.dumps(found, ensure_ascii=False).encode()
    except BrokenFile:
        raise
    except (ValueError, RecursionError) as error:
        raise BrokenFile(f"{what} is not JSON in UTF-8: {error}") from error
    if not isinstance(found, dict):
        raise BrokenFile(f"{what} is not a JSON object")
    return found
