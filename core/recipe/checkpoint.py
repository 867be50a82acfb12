"""Write and read checkpoint files, from which interrupted learning resumes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from core.recipe.state import Snapshot, TrainingState
from core.recipe.tensor_file import load_tensors, save_tensors
from core.recipe.update_rule import OPTIMIZERS
from core.schemas.learning import LearningParams
from core.schemas.model_file import BrokenFile
from core.theory.learning import architecture_at

CHECKPOINT_FORMAT = "genconvnet-checkpoint/3"
OLDER_FORMAT = "genconvnet-checkpoint/2"  # without a best state
_HAS_BEST = "nearest"  # the field's name in the file


def save_checkpoint(state: TrainingState, params: LearningParams) -> bytes:
    """Return a file with the whole state, the good states and the best one, from which learning can resume."""
    best = [state.best] if state.best else []
    snapshots = [state.snapshot(), *best, *state.good_states]
    tensors = {
        f"{index}.{name}": value for index, snapshot in enumerate(snapshots) for name, value in snapshot.tensors.items()
    }
    about = {
        "format": CHECKPOINT_FORMAT,
        "params": params.model_dump(mode="json"),
        "snapshots": [dict(snapshot.numbers) for snapshot in snapshots],
        _HAS_BEST: bool(best),
    }
    return save_tensors(tensors, about)


def load_checkpoint(content: bytes, device: torch.device) -> TrainingState:
    """Return the state that was saved. On the CPU, learning resumes from it bit-identically. Raises BrokenFile."""
    tensors, about = load_tensors(content, CHECKPOINT_FORMAT, OLDER_FORMAT)
    try:
        params = LearningParams.model_validate(about["params"])
        snapshots = [Snapshot(_part(tensors, index), numbers) for index, numbers in enumerate(about["snapshots"])]
        now, *others = snapshots
        shape = architecture_at(params, now.tensors["chains"].shape[1], int(now.numbers["stage"]))
        make_optimizer = OPTIMIZERS[params.optimizer]
        for snapshot in others:  # a later recovery must not find them broken
            TrainingState.restored(snapshot, shape, device, make_optimizer)
        has_best = bool(about[_HAS_BEST]) if about["format"] == CHECKPOINT_FORMAT else False
        best = others.pop(0) if has_best and others else None
        return TrainingState.restored(now, shape, device, make_optimizer, good_states=others, best=best)
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise BrokenFile(f"a part of the checkpoint is missing or broken: {error}") from error


def _part(tensors: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
    prefix = f"{index}."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
