"""Files that are damaged, of another kind or of another format are refused; nothing is unpickled."""

import pickle

import pytest
import torch
from safetensors.torch import save
from support.saved_files import CPU, PARAMS, forged, learned, trained_model

from core.recipe.checkpoint import load_checkpoint, save_checkpoint
from core.schemas.model_file import MAX_HEADER_BYTES, BrokenFile
from core.synthesis.trained_model import load_model, save_model

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
