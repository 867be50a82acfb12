"""What a model's file holds: a safetensors file whose header carries how the model was learned. No torch here.

Eight bytes say how long the header is; it is JSON and names each tensor's dtype, shape and bytes; then these bytes.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from core.schemas.geometry import chain_side, top_side
from core.schemas.learning import LearningParams

MODEL_FORMAT = "genconvnet-model/1"
MAX_HEADER_BYTES = 1 << 20
LENGTH_BYTES = 8
COLOURS = ("colours.low", "colours.high", "colours.axes")
MAX_CHAINS = 1024
DTYPE_BYTES = {"F32": 4, "F64": 8}

Shape = tuple[int, ...]


class BrokenFile(ValueError):
    """Not a file of ours, or a damaged one; the message says what is wrong."""


@dataclass(frozen=True)
class Stored:
    """A tensor in the file: `begin` and `end` count from the end of the header."""

    dtype: str
    shape: Shape
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """bytes: of itself, its length's included."""

    bytes: int
    metadata: Mapping[str, Any]
    tensors: Mapping[str, Stored]


@dataclass(frozen=True)
class ModelHeader:
    """A header that is whole and holds exactly what its own `params` need."""

    params: LearningParams
    channels: int
    bytes: int
    tensors: Mapping[str, Stored]


def header_bytes(content: bytes) -> int:
    """From the file's first eight bytes. Raises BrokenFile."""
    size = int.from_bytes(content[:LENGTH_BYTES], "little")
    if len(content) < LENGTH_BYTES or size > MAX_HEADER_BYTES:
        raise BrokenFile("its header is missing or larger than 1 MiB")
    return size


def read_header(text: bytes, data_bytes: int) -> Header:
    """Of the header's own bytes and how many follow it. Raises BrokenFile; the tensors cover what follows exactly."""
    found = _object(text, "the header")
    metadata = found.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BrokenFile("__metadata__ of the header is no object of strings")
    tensors = {name: _stored(name, about) for name, about in found.items()}
    at = 0
    for name, one in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if one.begin != at:
            raise BrokenFile(f"tensor {name!r} begins at byte {one.begin}, not at {at} where the one before it ends")
        at = one.end
    if at != data_bytes:
        raise BrokenFile(f"the tensors take {at} bytes, the file has {data_bytes} for them")
    return Header(LENGTH_BYTES + len(text), metadata, tensors)


def model_header(header: Header) -> ModelHeader:
    """Raises BrokenFile where names, dtypes or shapes are not those of a model with these settings."""
    about = _object(header.metadata.get("genconvnet", "").encode(), "__metadata__.genconvnet")
    if about.get("format") != MODEL_FORMAT:
        raise BrokenFile(f"format: {str(about.get('format'))[:60]!r} is not {MODEL_FORMAT!r}")
    try:
        params = LearningParams.model_validate(about.get("params"))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in ("params", *first["loc"]))
        raise BrokenFile(f"{field}: {first['msg'].removeprefix('Value error, ')}") from error
    channels = _channels(header.tensors)
    check_layout(params, channels, {name: (one.dtype, one.shape) for name, one in header.tensors.items()})
    return ModelHeader(params, channels, header.bytes, header.tensors)


def weights_of(params: LearningParams, channels: int) -> dict[str, Shape]:
    """The net's own tensors, as `core.theory.model.GenerativeConvNet` names them; all are F32."""
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


def check_layout(params: LearningParams, channels: int, found: Mapping[str, tuple[str, Shape]]) -> None:
    """Raises BrokenFile, naming the first tensor that is missing, of another form, or too many."""
    needed: dict[str, tuple[str, Shape]] = {
        name: ("F32", shape) for name, shape in weights_of(params, channels).items()
    }
    needed |= {"mean": ("F32", (channels,)), "gain": ("F64", ())}
    if found.keys() & set(COLOURS):  # older files have none
        needed |= dict.fromkeys(COLOURS[:2], ("F32", (channels, 1, 1)))
        needed[COLOURS[2]] = ("F32", (channels, channels))
    side = chain_side(params.layers, params.side, params.boundary)
    needed["chains"] = ("F32", (_count(found), channels, side, side))
    for name, form in needed.items():
        if name not in found:
            raise BrokenFile(f"tensor {name!r} is missing")
        if found[name] != form:
            raise BrokenFile(f"tensor {name!r} is {_told(found[name])}, not {_told(form)} as the file's settings need")
    for name in found:
        if name not in needed:
            raise BrokenFile(f"tensor {name!r} belongs to no model with these settings")


def _count(found: Mapping[str, tuple[str, Shape]]) -> int:
    """How many chains there are; any number up to MAX_CHAINS will do."""
    shape = found["chains"][1] if "chains" in found else ()
    return min(max(shape[0], 1), MAX_CHAINS) if shape else 1


def _channels(tensors: Mapping[str, Stored]) -> int:
    if "mean" not in tensors:
        raise BrokenFile("tensor 'mean' is missing")
    shape = tensors["mean"].shape
    if shape not in ((1,), (3,)):
        raise BrokenFile(f"tensor 'mean' is of shape {list(shape)}, not [1] or [3]")
    return shape[0]


def _stored(name: str, about: Any) -> Stored:
    """Raises BrokenFile."""
    if not isinstance(about, dict) or about.keys() != {"dtype", "shape", "data_offsets"}:
        raise BrokenFile(f"tensor {name!r} has not dtype, shape and data_offsets, and no more")
    dtype, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise BrokenFile(f"tensor {name!r} is of dtype {str(dtype)[:20]!r}, not F32 or F64")
    if not _whole_numbers(shape) or len(shape) > 4 or not _whole_numbers(offsets) or len(offsets) != 2:
        raise BrokenFile(f"tensor {name!r} has a shape or data_offsets that are no whole numbers")
    one = Stored(dtype, tuple(shape), *offsets)
    if one.end - one.begin != math.prod(one.shape) * DTYPE_BYTES[dtype]:
        raise BrokenFile(f"tensor {name!r} has {one.end - one.begin} bytes, which its shape {shape} does not take")
    return one


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**53 for value in values)


def _object(text: bytes, what: str) -> dict[str, Any]:
    """Raises BrokenFile for what is no JSON object in UTF-8, names anything twice, or holds half a character."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise BrokenFile(f"{what} names {key[:60]!r} twice")
            found[key] = value
        return found

    try:
        found = json.loads(text.decode(), object_pairs_hook=once)
        json.dumps(found, ensure_ascii=False).encode()
    except BrokenFile:
        raise
    except (ValueError, RecursionError) as error:
        raise BrokenFile(f"{what} is no JSON in UTF-8: {error}") from error
    if not isinstance(found, dict):
        raise BrokenFile(f"{what} is no JSON object")
    return found


def _told(form: tuple[str, Shape]) -> str:
    return f"{form[0]} {list(form[1])}"
