"""What holds for all requests: problems, request ids, methods and the OpenAPI document; and the presets."""

import pytest
from support import rows
from support.http import Api, problem

from core.recipe.presets import PRESETS
from core.schemas.learning import LearningParams


def test_presets_describe_every_parameter(api: Api) -> None:
    presets = {preset["name"]: preset for preset in api.client.get("/v1/presets").json()["data"]}
    assert set(presets) == set(PRESETS)
    for name, preset in presets.items():
        assert preset["description"]
        assert LearningParams.model_validate(preset["params"]) == PRESETS[name]
        assert [parameter["name"] for parameter in preset["parameters"]] == list(LearningParams.model_fields)
        for parameter in preset["parameters"]:
            assert parameter["description"]
            assert parameter["bounds"]
            assert parameter["default"] == preset["params"][parameter["name"]]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_accepted(api: Api, name: str) -> None:
    dataset_id = rows.add_dataset(api.database).id
    job = api.post({"kind": "train", "dataset_id": dataset_id, "preset": name}).json()
    assert job["params"] == {**PRESETS[name].model_dump(mode="json"), "seed": job["params"]["seed"]}


@pytest.mark.parametrize(
    "path", ["/nowhere", "/v1", "/v1/nowhere", "/v1/jobs/a/b/c", "/v1/jobs/none", "/v1/models/none"]
)
def test_an_unknown_path_or_id_is_a_404_problem(each_api: Api, path: str) -> None:
    problem(each_api.client.get(path), 404)


@pytest.mark.parametrize("path", ["/v1/jobs/%00", "/v1/datasets/%00", "/v1/models/a%00b", "/v1/jobs/%ff%fe"])
def test_an_id_that_no_row_can_have_is_a_problem(each_api: Api, path: str) -> None:
    problem(each_api.client.get(path), 404, 422)


def test_a_method_that_a_route_does_not_have_is_a_405_problem(api: Api) -> None:
    answer = api.client.put("/v1/jobs")
    problem(answer, 405)
    assert set(answer.headers["allow"].split(", ")) & {"GET", "POST"}


def test_the_answer_carries_the_request_id_that_was_sent(api: Api) -> None:
    assert api.client.get("/healthz", headers={"X-Request-ID": "abc-1.2:3_4"}).headers["x-request-id"] == "abc-1.2:3_4"
    refused = api.client.get("/v1/jobs/none", headers={"X-Request-ID": "abc"})
    assert refused.headers["x-request-id"] == "abc"


@pytest.mark.parametrize("given", ["", "a b", "x" * 101, '"><script>', "a;b"])
def test_an_invalid_request_id_is_replaced(api: Api, given: str) -> None:
    kept = api.client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"]
    assert kept
    assert kept != given


def test_the_openapi_document_and_its_page_are_served(api: Api) -> None:
    paths = api.client.get("/openapi.json").json()["paths"]
    assert {"/v1/datasets", "/v1/jobs", "/v1/jobs/{job_id}/events", "/v1/models", "/v1/presets"} <= set(paths)
    assert api.client.get("/docs").status_code == 200


def test_the_openapi_document_says_how_a_key_is_sent(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert document["security"] == [{"key": []}, {}]
