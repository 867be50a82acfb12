"""Model files: loaded as they were saved, or refused with the reason."""

import pytest
import torch
from support.saved_files import forged, trained_model

from core.schemas.model_file import BrokenFile
from core.synthesis.trained_model import load_model, save_model


@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_is_loaded_as_it_was_saved(channels):
    model = trained_model(channels)
    back = load_model(save_model(model))
    assert back.params == model.params
    assert back.net.architecture == model.net.architecture
    for before, after in zip(model.net.state_dict().items(), back.net.state_dict().items(), strict=True):
        assert before[0] == after[0]
        assert torch.equal(before[1], after[1])
    assert torch.equal(back.levels.mean, model.levels.mean)
    assert back.levels.gain == model.levels.gain
    assert torch.equal(back.chains, model.chains)
    images = model.chains
    assert torch.equal(back.net.score(images, "torus"), model.net.score(images, "torus"))


def test_the_same_model_is_the_same_file():
    assert save_model(trained_model()) == save_model(trained_model())


@pytest.mark.parametrize(
    ("tensors", "what"),
    [
        ({"weights.0": torch.zeros(4, 3, 4, 4)}, "weights do not fit"),
        ({"weights.0": torch.zeros(4, 1, 5, 5)}, "weights do not fit"),
        ({"weights.1": None}, "weights do not fit"),
        ({"biases.0": torch.zeros(5)}, "weights do not fit"),
        ({"weights.2": torch.zeros(1)}, "weights do not fit"),
        ({"mean": None}, "mean"),
        ({"mean": torch.zeros(2, 2)}, "do not belong together"),
        ({"mean": torch.zeros(2)}, "do not belong together"),
        ({"mean": torch.tensor(1.0)}, "do not belong together"),
        ({"mean": torch.zeros(0), "chains": torch.zeros(2, 0, 16, 16)}, "."),
        ({"chains": None}, "chains"),
        ({"gain": None}, "gain"),
        ({"gain": torch.tensor(0.0)}, "gain"),
        ({"gain": torch.ones(2)}, "gain"),
        ({"chains": torch.zeros(3, 16, 16)}, "do not belong together"),
        ({"weights.1": torch.full((3, 4, 3, 3), float("nan"))}, r"weights\.1.*not finite"),
        ({"biases.0": torch.full((4,), float("inf"))}, r"biases\.0.*not finite"),
        ({"mean": torch.full((3,), float("nan"))}, "mean.*not finite"),
        ({"chains": torch.full((2, 3, 16, 16), float("-inf"))}, "chains.*not finite"),
    ],
    ids=lambda value: (
        ",".join(f"{name}{list(part.shape) if part is not None else '-'}" for name, part in value.items())
        if isinstance(value, dict)
        else value
    ),
)
def test_a_model_with_wrong_tensors_is_refused_with_the_reason(tensors, what):
    with pytest.raises(BrokenFile, match=what):
        load_model(forged(save_model(trained_model()), tensors))
