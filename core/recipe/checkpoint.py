"""Files of models and of interrupted learning: safetensors, whose header carries JSON. Nothing is ever unpickled."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from core.pictures.colour_box import ColourBox
from core.pictures.images import Levels
from core.recipe.state import LearningState, Snapshot
from core.schemas.learning import LearningParams
from core.schemas.model_file import COLOURS, LENGTH_BYTES, MODEL_FORMAT, BrokenFile, header_bytes
from core.theory.learning import architecture_at, architecture_of
from core.theory.model import GenerativeConvNet

CHECKPOINT_FORMAT = "genconvnet-checkpoint/3"
OLDER_CHECKPOINT = "genconvnet-checkpoint/2"  # in which no nearest state was kept

__all__ = ["BrokenFile", "TrainedModel", "load_checkpoint", "load_model", "save_checkpoint", "save_model"]


@dataclass(frozen=True)
class TrainedModel:
    """A learned net with what its pictures need.

    levels: how the pictures' grey levels were prepared. chains: some of the synthesized pictures (M, C, S, S), so
    prepared, where sampling starts. params: how it was learned.
    """

    net: GenerativeConvNet
    levels: Levels
    chains: Tensor
    params: LearningParams


def save_model(model: TrainedModel) -> bytes:
    tensors = {name: _plain(value) for name, value in model.net.state_dict().items()}
    gain = torch.tensor(model.levels.gain, dtype=torch.float64)
    tensors |= {"mean": _plain(model.levels.mean), "gain": gain, "chains": _plain(model.chains)}
    if (colours := model.levels.colours) is not None and colours.axes is not None:
        named = zip(COLOURS, (colours.low, colours.high, colours.axes), strict=True)
        tensors |= {name: _plain(value) for name, value in named}
    return _save(tensors, {"format": MODEL_FORMAT, "params": model.params.model_dump(mode="json")})


def load_model(content: bytes) -> TrainedModel:
    """Raises BrokenFile."""
    tensors, about = _load(content, MODEL_FORMAT)
    try:
        params = LearningParams.model_validate(about["params"])
        mean, gain, chains = (tensors.pop(name) for name in ("mean", "gain", "chains"))
        if mean.ndim != 1 or len(mean) not in (1, 3) or chains.ndim != 4 or chains.shape[1] != len(mean):
            raise ValueError(f"mean {tuple(mean.shape)} and chains {tuple(chains.shape)} do not belong together")
        if gain.shape != () or not gain > 0:
            raise ValueError("gain must be one positive number")
        colours = _colours(tensors, len(mean))
        net = GenerativeConvNet(architecture_of(params, channels=len(mean)))
    except (KeyError, ValueError) as error:
        raise BrokenFile(f"the model file lacks or garbles a part: {error}") from error
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise BrokenFile(f"the weights do not fit the net that the file describes: {error}") from error
    for name, value in {**tensors, "mean": mean, "gain": gain, "chains": chains}.items():
        if not torch.isfinite(value).all():
            raise BrokenFile(f"tensor {name!r} holds values that are not finite numbers")
    return TrainedModel(net, Levels(mean, gain.item(), colours), chains, params)


def _colours(tensors: dict[str, Tensor], channels: int) -> ColourBox | None:
    """Taken out of `tensors`; None in files from before there were any. ValueError where they are no box."""
    if not tensors.keys() & set(COLOURS):
        return None
    low, high, axes = (tensors.pop(name).float() for name in COLOURS)
    alike = low.shape == high.shape == (channels, 1, 1) and axes.shape == (channels, channels)
    finite = low.isfinite().all() and high.isfinite().all()
    if not (alike and finite and (low <= high).all() and torch.allclose(axes @ axes.T, torch.eye(channels), atol=1e-3)):
        raise ValueError(f"{', '.join(COLOURS)} are no box of {channels} channels")
    return ColourBox(low, high, axes)


def save_checkpoint(state: LearningState, params: LearningParams) -> bytes:
    """Everything that decides how learning goes on, the good states to go back to and the nearest included."""
    nearest = [state.nearest] if state.nearest else []
    snapshots = [state.snapshot(), *nearest, *state.good]
    tensors = {
        f"{index}.{name}": _plain(value)
        for index, snapshot in enumerate(snapshots)
        for name, value in snapshot.tensors.items()
    }
    about = {
        "format": CHECKPOINT_FORMAT,
        "params": params.model_dump(mode="json"),
        "snapshots": [dict(snapshot.numbers) for snapshot in snapshots],
        "nearest": bool(nearest),
    }
    return _save(tensors, about)


def load_checkpoint(content: bytes, device: torch.device) -> LearningState:
    """The state that was saved; on the CPU learning goes on from it bit-identically. Raises BrokenFile."""
    tensors, about = _load(content, CHECKPOINT_FORMAT, OLDER_CHECKPOINT)
    try:
        params = LearningParams.model_validate(about["params"])
        snapshots = [Snapshot(_part(tensors, index), numbers) for index, numbers in enumerate(about["snapshots"])]
        now, *others = snapshots
        whole = architecture_of(params, channels=now.tensors["chains"].shape[1])
        shape = architecture_at(params, whole, int(now.numbers["stage"]))
        state, *_ = (LearningState.restored(one, shape, device) for one in snapshots)
        kept = bool(about["nearest"]) if about["format"] == CHECKPOINT_FORMAT else False
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise BrokenFile(f"the checkpoint lacks or garbles a part: {error}") from error
    state.nearest = others.pop(0) if kept and others else None
    state.good.clear()
    state.good.extend(others)
    return state


def _part(tensors: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
    prefix = f"{index}."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _save(tensors: dict[str, Tensor], about: Mapping[str, Any]) -> bytes:
    return save(tensors, metadata={"genconvnet": json.dumps(about)})


def _load(content: bytes, expected: str, *older: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        header = json.loads(content[LENGTH_BYTES : LENGTH_BYTES + header_bytes(content)])
        about = json.loads(header["__metadata__"]["genconvnet"])
        found = about["format"]
        tensors = load(content)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise BrokenFile(f"not a {expected} file: {error}") from error
    if found not in (expected, *older):
        raise BrokenFile(f"this is a {found} file, not a {expected} file")
    return tensors, about


def _plain(value: Tensor) -> Tensor:
    return value.detach().cpu().contiguous()
