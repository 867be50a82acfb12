"""A model's file is taken in as it was given out; one that is forged is refused, and what is wrong is named."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from support.http import Api, fields, problem

from core.pictures.images import Levels
from core.recipe.checkpoint import TrainedModel, save_model
from core.schemas.learning import LayerParams, LearningParams
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


def test_a_model_is_given_out_as_it_was_taken_in(each_api: Api) -> None:
    answer = _post(each_api, MODEL, name="bricks")
    assert answer.status_code == 201, answer.text
    model = answer.json()
    assert answer.headers["location"] == f"/v1/models/{model['id']}"
    assert (model["name"], model["channels"], model["bytes"], model["job_id"]) == ("bricks", 3, len(MODEL), None)
    assert LearningParams.model_validate(model["params"]) == PARAMS
    assert each_api.client.get(model["url"]).content == MODEL
    sample = each_api.post({"kind": "sample", "model_id": model["id"]})
    assert sample.status_code == 202, sample.text


def _turned_round(header: Header) -> None:
    header["mean"]["data_offsets"].reverse()


def _overlapping(header: Header) -> None:
    header["weights.0"]["data_offsets"] = header["chains"]["data_offsets"]


def _grown(header: Header) -> None:
    header["mean"]["data_offsets"][1] += 4


def _in(encoding: str) -> bytes:
    text, data = _parts(MODEL)
    return _with_header(text.decode().encode(encoding), data)


FORGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "header is missing"),
    "a huge header": ((2**62).to_bytes(8, "little") + bytes(50), "larger than 1 MiB"),
    "no JSON": (_with_header(b"{", b""), "no JSON"),
    "no object": (_with_header(b"[1]", b""), "no JSON object"),
    "nested": (_with_header(b"[" * 100_000, b""), "no JSON"),
    **{encoding: (_in(encoding), "no JSON in UTF-8") for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig")},
    "half a character in a name": (_header(lambda h: h.update({"\ud800": h.pop("mean")})), "no JSON in UTF-8"),
    "half a character in the metadata": (_header(lambda h: h["__metadata__"].update(a="\udfff")), "no JSON in UTF-8"),
    "half a character for settings": (
        _header(lambda h: h["__metadata__"].update(genconvnet="\ud800")),
        "no JSON in UTF-8",
    ),
    "half a character in the settings": (_about(format="\ud800"), "no JSON in UTF-8"),
    "a tensor twice": (_with_header(b'{"mean":{},"mean":{}}', b""), "'mean' twice"),
    "junk behind": (MODEL + b"x", "the file has"),
    "truncated": (MODEL[:-4], "the file has"),
    "offsets turned round": (_header(_turned_round), "'mean' has -12 bytes"),
    "overlapping": (_header(_overlapping), "'weights.0' has"),
    "longer than its shape": (_header(_grown), "'mean' has 16 bytes"),
    "more in the header": (_header(lambda h: h["mean"].update(more=1)), "'mean' has not dtype"),
    "a dtype of no kind": (_header(lambda h: h["mean"].update(dtype="F99")), "'mean' is of dtype"),
    "a list for a dtype": (_header(lambda h: h["mean"].update(dtype=["F32"])), "'mean' is of dtype"),
    "true for a number": (_header(lambda h: h["gain"].update(data_offsets=[False, 8])), "'gain' has a shape"),
    "another format": (_about(format="other/1"), "format: 'other/1'"),
    "no settings": (_about(params=None), "params: "),
    "bad settings": (_about(params={**PARAMS.model_dump(mode="json"), "image_size": 2}), "params.image_size"),
    "unknown settings": (_about(params={**PARAMS.model_dump(mode="json"), "more": 2}), "params.more"),
    "a tensor missing": (_tensors(biases__0=None), "'biases.0' is missing"),
    "a tensor too many": (_tensors(weights__1=torch.zeros(1)), "'weights.1' belongs to no"),
    "another shape": (_tensors(weights__0=torch.zeros(4, 3, 4, 4)), "'weights.0' is F32 [4, 3, 4, 4]"),
    "another dtype": (_tensors(biases__0=torch.zeros(4, dtype=torch.float64)), "'biases.0' is F64"),
    "chains of another size": (_tensors(chains=torch.zeros(2, 3, 18, 16)), "'chains' is"),
    "no chains": (_tensors(chains=torch.zeros(0, 3, 16, 16)), "'chains' is"),
    "two channels": (_tensors(mean=torch.zeros(2)), "'mean' is of shape [2]"),
    "a weight that is no number": (_tensors(weights__0=torch.full((4, 3, 5, 5), float("nan"))), "'weights.0' holds"),
    "an infinite gain": (_tensors(gain=torch.tensor(float("inf"), dtype=torch.float64)), "'gain' holds"),
    "a gain of nothing": (_tensors(gain=torch.tensor(0.0, dtype=torch.float64)), "'gain' is not positive"),
    "half a box": (_tensors(colours__low=torch.zeros(3, 1, 1)), "'colours.high' is missing"),
    "a skew box": (
        _tensors(colours__low=torch.zeros(3, 1, 1), colours__high=torch.ones(3, 1, 1), colours__axes=torch.ones(3, 3)),
        "'colours.axes'",
    ),
}


@pytest.mark.parametrize(("content", "told"), FORGED.values(), ids=FORGED.keys())
def test_a_forged_model_is_refused_and_what_is_wrong_is_named(api: Api, content: bytes, told: str) -> None:
    before = api.stored()
    (error,) = problem(_post(api, content), 422)["errors"]
    assert (error["field"], error["file"]) == ("model", "m.safetensors")
    assert told in error["message"]
    assert api.stored() == before


def test_a_request_without_a_model_is_refused(api: Api) -> None:
    assert fields(api.client.post("/v1/models", data={"name": "nothing"})) == ["model"]
    assert fields(_post(api, MODEL, name="n" * 201)) == ["name"]


def test_a_model_is_deleted_with_its_file(api: Api) -> None:
    before = api.stored()
    model = _post(api, io.BytesIO(MODEL).getvalue()).json()
    assert api.client.delete(f"/v1/models/{model['id']}").status_code == 204
    assert api.stored() == before
