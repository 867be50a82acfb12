"""Model files: a trained net with what its pictures need."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.pictures.colour_box import ColourBox
from core.pictures.images import Levels
from core.recipe.tensor_file import load_tensors, save_tensors
from core.schemas.learning import LearningParams
from core.schemas.materials import MaterialMap, channels_of
from core.schemas.model_file import (
    COLOURS,
    DETAIL_FILTER,
    DETAIL_FILTER_SIDE,
    MODEL_FORMAT,
    SHARES,
    BrokenFile,
    read_maps,
)
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet


@dataclass(frozen=True)
class TrainedModel:
    """A trained net.

    levels: how the training pictures' grey levels were prepared. chains: some of the synthesized pictures
    (M, C, S, S) in the same units, from which sampling starts. params: how the net was trained. maps: the maps of a
    material, whose channels the pictures are; none for a model of pictures. detail_filter: see
    `core.recipe.fine_detail`; None for models without one.
    """

    net: GenerativeConvNet
    levels: Levels
    chains: Tensor
    params: LearningParams
    maps: tuple[MaterialMap, ...] = ()
    detail_filter: Tensor | None = None


def save_model(model: TrainedModel) -> bytes:
    """Return the model file: safetensors, its header carrying the params."""
    tensors = dict(model.net.state_dict())
    gain = torch.tensor(model.levels.gain, dtype=torch.float64)
    tensors |= {"mean": model.levels.mean, "gain": gain, "chains": model.chains}
    if (colours := model.levels.colours) is not None and colours.axes is not None:
        tensors |= dict(zip(COLOURS, (colours.low, colours.high, colours.axes), strict=True))
    if model.detail_filter is not None:
        tensors[DETAIL_FILTER] = model.detail_filter
    about: dict[str, Any] = {"format": MODEL_FORMAT, "params": model.params.model_dump(mode="json")}
    if model.maps:
        about["maps"] = [one.model_dump() for one in model.maps]
        tensors[SHARES] = model.levels.gains / model.levels.gain
    return save_tensors(tensors, about)


def load_model(content: bytes) -> TrainedModel:
    """Return the model of a file. Raises BrokenFile, which says what is missing or wrong."""
    tensors, about = load_tensors(content, MODEL_FORMAT)
    try:
        params = LearningParams.model_validate(about["params"])
        mean, gain, chains = (tensors.pop(name) for name in ("mean", "gain", "chains"))
        maps = read_maps(about)
        allowed = (channels_of(maps),) if maps else (1, 3)
        if mean.ndim != 1 or len(mean) not in allowed or chains.ndim != 4 or chains.shape[1] != len(mean):
            raise ValueError(f"mean {tuple(mean.shape)} and chains {tuple(chains.shape)} do not belong together")
        if gain.shape != () or not gain > 0:
            raise ValueError("gain must be one positive number")
        shares = _shares(tensors, len(mean)) if maps else None
        colours = _colours(tensors, len(mean))
        detail_filter = _detail_filter(tensors)
        net = GenerativeConvNet(architecture_of(params, channels=len(mean)))
    except (KeyError, ValueError) as error:
        raise BrokenFile(f"a part of the model file is missing or broken: {error}") from error
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise BrokenFile(
            f"the weights do not fit the net that the file describes, or a newer version wrote it: {error}"
        ) from error
    for name, value in {**tensors, "mean": mean, "gain": gain, "chains": chains}.items():
        if not torch.isfinite(value).all():
            raise BrokenFile(f"tensor {name!r} contains values that are not finite numbers")
    return TrainedModel(net, Levels(mean, gain.item(), colours, shares), chains, params, maps, detail_filter)


def _shares(tensors: dict[str, Tensor], channels: int) -> Tensor:
    """Take the channels' shares of the gain out of `tensors`. Raises KeyError or ValueError if they are wrong."""
    shares = tensors.pop(SHARES).float()
    if shares.shape != (channels,) or not (shares > 0).all() or not shares.isfinite().all():
        raise ValueError(f"{SHARES} must be {channels} positive numbers")
    return shares


def _detail_filter(tensors: dict[str, Tensor]) -> Tensor | None:
    """Take the filter of fine detail out of `tensors`; None if there is none. Raises ValueError if it is wrong."""
    if DETAIL_FILTER not in tensors:
        return None
    kernel = tensors.pop(DETAIL_FILTER).float()
    if kernel.shape != (DETAIL_FILTER_SIDE,) * 2 or not kernel.isfinite().all():
        raise ValueError(f"{DETAIL_FILTER} must be {DETAIL_FILTER_SIDE} x {DETAIL_FILTER_SIDE} numbers")
    return kernel


def _colours(tensors: dict[str, Tensor], channels: int) -> ColourBox | None:
    """Take the colour box out of `tensors`; return None for older files. Raises ValueError if they are not a box."""
    if not tensors.keys() & set(COLOURS):
        return None
    low, high, axes = (tensors.pop(name).float() for name in COLOURS)
    alike = low.shape == high.shape == (channels, 1, 1) and axes.shape == (channels, channels)
    finite = low.isfinite().all() and high.isfinite().all()
    if not (alike and finite and (low <= high).all() and torch.allclose(axes @ axes.T, torch.eye(channels), atol=1e-3)):
        raise ValueError(f"{', '.join(COLOURS)} are not a box of {channels} channels")
    return ColourBox(low, high, axes)
