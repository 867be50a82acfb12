import json
import pickle

import pytest
import torch
from safetensors.torch import load, save

from core.pictures.images import Levels
from core.recipe.checkpoint import load_checkpoint, save_checkpoint
from core.recipe.learner import learn
from core.schemas.learning import LearningParams
from core.schemas.model_file import MAX_HEADER_BYTES, BrokenFile
from core.schemas.net import LayerParams
from core.synthesis.trained_model import TrainedModel, load_model, save_model
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

CPU = torch.device("cpu")
PARAMS = LearningParams(
    image_size=16,
    layers=(LayerParams(filters=4, kernel_size=5, stride=2), LayerParams(filters=3, kernel_size=3)),
    num_chains=2,
    langevin_steps=1,
    iterations=4,
    reference_std=2.0,
    seed=2**63 - 1,
)


def trained_model(channels=3):
    generator = torch.Generator().manual_seed(0)
    net = GenerativeConvNet(architecture_of(PARAMS, channels), generator)
    mean = torch.tensor([100.0, 120.5, 90.25])[:channels]
    return TrainedModel(net, Levels(mean, 1.25), torch.randn(2, channels, 16, 16, generator=generator), PARAMS)


def learned(step=5):
    """Halted within the second stage, so that optimiser and a good state are in it."""
    images = 20 * torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    return learn(images, PARAMS, callback=lambda progress, _: progress.step == step)


def about(content):
    size = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["genconvnet"])


def forged(content, tensors=None, **changes):
    """The file with some tensors or entries of its JSON replaced; None removes."""
    kept = load(content) | (tensors or {})
    said = about(content) | changes
    return save(
        {name: value for name, value in kept.items() if value is not None},
        metadata={"genconvnet": json.dumps({name: value for name, value in said.items() if value is not None})},
    )


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


READERS = {
    "model": (lambda: save_model(trained_model()), load_model),
    "checkpoint": (lambda: save_checkpoint(learned(), PARAMS), lambda content: load_checkpoint(content, CPU)),
}
both_kinds = pytest.mark.parametrize("kind", READERS)


@both_kinds
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999999])
def test_a_truncated_file_is_refused(kind, share):
    write, read = READERS[kind]
    content = write()
    with pytest.raises(BrokenFile):
        read(content[: int(len(content) * share)])


@both_kinds
def test_a_file_with_trailing_bytes_is_refused(kind):
    write, read = READERS[kind]
    with pytest.raises(BrokenFile):
        read(write() + b"more")


@both_kinds
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        bytes(200),
        b"\xff" * 200,
        (MAX_HEADER_BYTES + 1).to_bytes(8, "little") + bytes(MAX_HEADER_BYTES + 1),
        (9).to_bytes(8, "little") + b"[1, 2, 3]",
        (4).to_bytes(8, "little") + b"null",
        (2).to_bytes(8, "little") + b"{}",
        pickle.dumps({"format": "genconvnet-model/1"}),
        save({"mean": torch.zeros(3)}),
        save({"mean": torch.zeros(3)}, metadata={"genconvnet": "not json"}),
        save({"mean": torch.zeros(3)}, metadata={"genconvnet": "[]"}),
        save({"mean": torch.zeros(3)}, metadata={"genconvnet": '{"format": "other/1"}'}),
    ],
    ids=lambda content: repr(content[:40]),
)
def test_other_files_are_refused(kind, content):
    with pytest.raises(BrokenFile):
        READERS[kind][1](content)


def test_a_deeply_nested_header_is_refused():
    content = (200_000).to_bytes(8, "little") + b"[" * 200_000
    with pytest.raises(BrokenFile):
        load_model(content)


def test_a_pickle_is_never_run():
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    with pytest.raises(BrokenFile):
        load_model(pickle.dumps(Trap()))


@both_kinds
def test_a_model_is_refused_as_a_checkpoint_and_the_reverse(kind):
    write, _ = READERS[kind]
    (other,) = READERS.keys() - {kind}
    with pytest.raises(BrokenFile, match=rf"genconvnet-{kind}/\d"):
        READERS[other][1](write())


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


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        "texture",
        {"image_size": 16, "layers": []},
        {"image_size": 16, "layers": [{"filters": 4, "kernel_size": 17}]},
        {"image_size": 16, "layers": [{"filters": 4, "kernel_size": 5}], "reference_std": 0},
    ],
    ids=str,
)
@both_kinds
def test_a_file_whose_settings_are_missing_or_bad_is_refused(kind, params):
    write, read = READERS[kind]
    with pytest.raises(BrokenFile):
        read(forged(write(), params=params))


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
