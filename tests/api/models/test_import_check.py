"""A model's file that was forged is refused with the reason, before anything is stored."""

import contextlib
import json
import tempfile
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from support.http import Api, problem

from api.models.import_check import check_model_file
from core.pictures.images import Levels
from core.schemas.learning import LearningParams
from core.schemas.model_file import BrokenFile
from core.schemas.net import LayerParams
from core.synthesis.trained_model import TrainedModel, save_model
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

PARAMS = LearningParams(image_size=16, layers=(LayerParams(filters=4, kernel_size=5, stride=2),), num_chains=2, seed=1)
MODEL = save_model(
    TrainedModel(
        GenerativeConvNet(architecture_of(PARAMS, 3)), Levels(torch.zeros(3)), torch.zeros(2, 3, 16, 16), PARAMS
    )
)
Header = dict[str, Any]


def _post(api: Api, content: bytes, **data: str) -> Any:
    return api.client.post("/v1/models", files={"model": ("m.safetensors", content)}, data=data)


def _with_header(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def _parts(content: bytes) -> tuple[bytes, bytes]:
    at = 8 + int.from_bytes(content[:8], "little")
    return content[8:at], content[at:]


def _header(change: Callable[[Header], object]) -> bytes:
    text, data = _parts(MODEL)
    header = json.loads(text)
    change(header)
    return _with_header(json.dumps(header).encode(), data)


def _about(**changes: Any) -> bytes:
    def change(header: Header) -> None:
        about = json.loads(header["__metadata__"]["genconvnet"]) | changes
        header["__metadata__"]["genconvnet"] = json.dumps(about)

    return _header(change)


def _tensors(**changes: torch.Tensor | None) -> bytes:
    kept = load(MODEL) | {name.replace("__", "."): value for name, value in changes.items()}
    metadata = json.loads(_parts(MODEL)[0])["__metadata__"]
    return save({name: value for name, value in kept.items() if value is not None}, metadata=metadata)


def _zeros_but(last: float, *shape: int) -> torch.Tensor:
    """Zeros, but for the last value."""
    tensor = torch.zeros(shape)
    tensor.view(-1)[-1] = last
    return tensor


def _reversed(header: Header) -> None:
    header["mean"]["data_offsets"].reverse()


def _overlapping(header: Header) -> None:
    header["biases.0"]["data_offsets"][0] = header["gain"]["data_offsets"][0]


def _too_long(header: Header) -> None:
    header["mean"]["data_offsets"][1] += 4


def _as_list(header: Header) -> None:
    mean = header["mean"]
    header["mean"] = [mean["dtype"], mean["shape"], mean["data_offsets"]]


def _repeated() -> bytes:
    """A file that names a tensor twice, each time correctly: safetensors alone would take the second."""
    text, data = _parts(MODEL)
    mean = json.dumps(json.loads(text)["mean"])
    return _with_header(text[:1] + f'"mean":{mean},'.encode() + text[1:], data)


def _encoded(encoding: str) -> bytes:
    text, data = _parts(MODEL)
    return _with_header(text.decode().encode(encoding), data)


FORGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "header is missing"),
    "a huge header": ((2**62).to_bytes(8, "little") + bytes(50), "larger than 1 MiB"),
    "a padded header": (_with_header(_parts(MODEL)[0] + b" " * (1 << 20), _parts(MODEL)[1]), "larger than 1 MiB"),
    "not JSON": (_with_header(b"{", b""), "invalid JSON"),
    "not an object": (_with_header(b"[1]", b""), "invalid JSON"),
    "nested": (_with_header(b"[" * 100_000, b""), "invalid JSON"),
    **{encoding: (_encoded(encoding), "in header") for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig")},
    "half a character in a name": (_header(lambda h: h.update({"\ud800": h.pop("mean")})), "invalid JSON"),
    "half a character in the metadata": (_header(lambda h: h["__metadata__"].update(a="\udfff")), "invalid JSON"),
    "half a character for settings": (_header(lambda h: h["__metadata__"].update(genconvnet="\ud800")), "invalid JSON"),
    "half a character in the settings": (_about(format="\ud800"), "not JSON in UTF-8"),
    "a tensor twice": (_repeated(), "'mean' twice"),
    "junk behind": (MODEL + b"x", "not fully covered"),
    "truncated": (MODEL[:-4], "not fully covered"),
    "reversed offsets": (_header(_reversed), "`mean`"),
    "overlapping offsets": (_header(_overlapping), "invalid offset"),
    "longer than its shape": (_header(_too_long), "invalid shape"),
    "more in the header": (_header(lambda h: h["mean"].update(more=1)), "'mean' must have dtype"),
    "a list for a tensor": (_header(_as_list), "'mean' must have dtype"),
    "an unknown dtype": (_header(lambda h: h["mean"].update(dtype="F99")), "`F99`"),
    "a list for a dtype": (_header(lambda h: h["mean"].update(dtype=["F32"])), "invalid JSON"),
    "true for a number": (_header(lambda h: h["gain"].update(data_offsets=[False, 8])), "boolean"),
    "no metadata": (_header(lambda h: h.pop("__metadata__")), "__metadata__.genconvnet is not JSON"),
    "another format": (_about(format="other/1"), "format: 'other/1'"),
    "no settings": (_about(params=None), "params: "),
    "bad settings": (_about(params={**PARAMS.model_dump(mode="json"), "image_size": 2}), "params.image_size"),
    "unknown settings": (_about(params={**PARAMS.model_dump(mode="json"), "more": 2}), "params.more"),
    "a tensor missing": (_tensors(biases__0=None), "'biases.0' is missing"),
    "a tensor too many": (_tensors(weights__1=torch.zeros(1)), "'weights.1' belongs to no"),
    "another shape": (_tensors(weights__0=torch.zeros(4, 3, 4, 4)), "'weights.0' is F32 [4, 3, 4, 4]"),
    "another dtype": (_tensors(biases__0=torch.zeros(4, dtype=torch.float64)), "'biases.0' is F64"),
    "a dtype that numpy lacks": (_tensors(biases__0=torch.zeros(4, dtype=torch.bfloat16)), "'biases.0' is BF16"),
    "chains of another size": (_tensors(chains=torch.zeros(2, 3, 18, 16)), "'chains' is"),
    "no chains": (_tensors(chains=torch.zeros(0, 3, 16, 16)), "'chains' is"),
    "two channels": (_tensors(mean=torch.zeros(2)), "'mean' is of shape [2]"),
    "a weight that is not a number": (_tensors(weights__0=_zeros_but(float("nan"), 4, 3, 5, 5)), "'weights.0' holds"),
    "an infinite value in a chain": (_tensors(chains=_zeros_but(float("inf"), 2, 3, 16, 16)), "'chains' holds"),
    "an infinite gain": (_tensors(gain=torch.tensor(float("inf"), dtype=torch.float64)), "'gain' holds"),
    "a gain of zero": (_tensors(gain=torch.tensor(0.0, dtype=torch.float64)), "'gain' is not positive"),
    "half a box": (_tensors(colours__low=torch.zeros(3, 1, 1)), "'colours.high' is missing"),
    "a box inside out": (
        _tensors(colours__low=torch.ones(3, 1, 1), colours__high=torch.zeros(3, 1, 1), colours__axes=torch.eye(3)),
        "'colours.low' is above",
    ),
    "a skew box": (
        _tensors(colours__low=torch.zeros(3, 1, 1), colours__high=torch.ones(3, 1, 1), colours__axes=torch.ones(3, 3)),
        "'colours.axes' are not orthonormal",
    ),
}


@pytest.mark.parametrize(("content", "reason"), FORGED.values(), ids=FORGED.keys())
def test_a_forged_model_is_refused_with_the_reason(api: Api, content: bytes, reason: str) -> None:
    before = api.stored()
    (error,) = problem(_post(api, content), 422)["errors"]
    assert (error["field"], error["file"]) == ("model", "m.safetensors")
    assert reason in error["message"]
    assert api.stored() == before


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(MODEL) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_harmless(at: int, byte: int) -> None:
    content = MODEL[:at] + bytes([byte]) + MODEL[at + 1 :]
    with tempfile.TemporaryFile() as file:
        file.write(content)
        with contextlib.suppress(BrokenFile):
            assert check_model_file(file).channels == 3


def test_a_large_model_is_checked_in_chunks() -> None:
    content = _tensors(chains=torch.zeros(1024, 3, 16, 16), weights__0=torch.zeros(4, 3, 5, 5))
    with tempfile.TemporaryFile() as file:
        file.write(content)
        tracemalloc.start()
        try:
            check_model_file(file)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert len(content) > 3_000_000
    assert peak < 1_000_000
