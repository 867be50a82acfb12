import pytest
import torch
from safetensors.torch import load
from support.saved_files import CPU, PARAMS, forged, learned

from core.recipe.checkpoint import load_checkpoint, save_checkpoint
from core.schemas.model_file import BrokenFile


@pytest.mark.parametrize("step", [1, 4, 5, 8])
def test_a_checkpoint_is_loaded_as_it_was_saved(step):
    state = learned(step)
    back = load_checkpoint(save_checkpoint(state, PARAMS), CPU)
    for before, after in zip([state.snapshot(), *state.good_states], [back.snapshot(), *back.good_states], strict=True):
        assert before.numbers == after.numbers
        assert before.tensors.keys() == after.tensors.keys()
        assert all(torch.equal(value, after.tensors[name]) for name, value in before.tensors.items())
    assert back.good_states.maxlen == state.good_states.maxlen
    assert save_checkpoint(back, PARAMS) == save_checkpoint(state, PARAMS)


def test_a_saved_file_does_not_change_with_later_learning():
    state = learned()
    content = save_checkpoint(state, PARAMS)
    back = load_checkpoint(content, CPU)
    with torch.no_grad():
        state.chains.zero_()
        state.net.weights[0].zero_()
    assert save_checkpoint(back, PARAMS) == content


@pytest.mark.parametrize(
    "tensors",
    [
        {"0.net.weights.0": torch.zeros(4, 1, 4, 4)},
        {"0.net.weights.1": None},
        {"0.net.biases.1": None},
        {"0.chains": None},
        {"0.chains": torch.zeros(2, 3, 16, 16)},
        {"0.chains": torch.zeros(16, 16)},
        {"0.chains": torch.zeros(1)},
        {"0.generator": None},
        {"0.adam.0.exp_avg": torch.zeros(3, 3)},
        {"0.adam.0.exp_avg": None},
        {"0.adam.9.exp_avg": torch.zeros(1)},
        {"0.adam.first.exp_avg": torch.zeros(1)},
        {"1.net.weights.0": torch.zeros(4, 1, 4, 4)},
        {"1.chains": None},
    ],
    ids=lambda tensors: ",".join(
        f"{name}{list(part.shape) if part is not None else '-'}" for name, part in tensors.items()
    ),
)
def test_a_checkpoint_with_wrong_tensors_is_refused(tensors):
    content = save_checkpoint(learned(), PARAMS)
    assert "1.chains" in load(content)
    with pytest.raises(BrokenFile):
        load_checkpoint(forged(content, tensors), CPU)


@pytest.mark.parametrize(
    "snapshots",
    [
        None,
        [],
        [{}],
        [{"stage": 0}],
        "now",
        [{"stage": "a", "iteration": 1, "learning_rate_scale": 1, "recoveries": 0}],
    ],
    ids=str,
)
def test_a_checkpoint_whose_numbers_are_missing_or_bad_is_refused(snapshots):
    with pytest.raises(BrokenFile):
        load_checkpoint(forged(save_checkpoint(learned(), PARAMS), snapshots=snapshots), CPU)
