"""Models over HTTP: uploaded, downloaded unchanged, renamed and deleted."""

from typing import Any

from support.http import Api, fields
from support.saved_files import PARAMS, trained_model

from core.schemas.learning import LearningParams
from core.synthesis.trained_model import save_model

MODEL = save_model(trained_model())


def _post(api: Api, content: bytes, **data: str) -> Any:
    return api.client.post("/v1/models", files={"model": ("m.safetensors", content)}, data=data)


def test_a_model_is_downloaded_as_it_was_uploaded(each_api: Api) -> None:
    answer = _post(each_api, MODEL, name="bricks")
    assert answer.status_code == 201, answer.text
    model = answer.json()
    assert answer.headers["location"] == f"/v1/models/{model['id']}"
    assert (model["name"], model["channels"], model["bytes"], model["job_id"]) == ("bricks", 3, len(MODEL), None)
    assert LearningParams.model_validate(model["params"]) == PARAMS
    assert each_api.client.get(model["url"]).content == MODEL
    sample = each_api.post({"kind": "sample", "model_id": model["id"]})
    assert sample.status_code == 202, sample.text


def test_a_request_without_a_model_is_refused(api: Api) -> None:
    assert fields(api.client.post("/v1/models", data={"name": "nothing"})) == ["model"]
    assert fields(_post(api, MODEL, name="n" * 201)) == ["name"]


def test_a_model_is_deleted_with_its_file(api: Api) -> None:
    before = api.stored()
    model = _post(api, MODEL).json()
    assert api.client.delete(f"/v1/models/{model['id']}").status_code == 204
    assert api.stored() == before


def test_a_model_is_renamed(each_api: Api) -> None:
    model = _post(each_api, MODEL, name="bricks").json()
    url = f"/v1/models/{model['id']}"
    for name in ("pavement", None):
        assert each_api.client.patch(url, json={"name": name}).json() == {**model, "name": name}
        assert each_api.client.get(url).json()["name"] == name
    for wrong in ("", "n" * 201, "a\0b", 3):
        assert fields(each_api.client.patch(url, json={"name": wrong})) == ["name"]
    assert fields(each_api.client.patch(url, json={"params": {}})) == ["name", "params"]
