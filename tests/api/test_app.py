"""What holds for all requests: problems, request ids, methods and the OpenAPI document; and the presets."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import in_process, rows
from support.http import Api, problem
from support.in_process import InProcessApi
from support.valkey import Valkey

from api.settings import ApiSettings
from core.jobs import outcomes
from core.recipe.presets import PRESETS, TWO_CORE_SECONDS
from core.schemas.learning import LearningParams
from core.storage import keys
from core.storage.keys import NewKey


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


def test_presets_are_expected_to_take_what_jobs_take_on_this_service(each_api: Api) -> None:
    def seconds() -> dict[str, float | None]:
        presets = each_api.client.get("/v1/presets").json()["data"]
        return {preset["name"]: preset["expected_seconds"] for preset in presets}

    assert set(seconds().values()) == {None}
    lease = rows.claimed(each_api.database)
    outcomes.succeed(each_api.database, lease, [], rows.DONE.model_copy(update={"iteration": 400}))
    rows.alter(each_api.database, lease.job_id, started_at=0.0, finished_at=26.0)  # three times 8 s, and 2
    found = seconds()
    assert found["quick"] == 26.0
    assert found["texture-cpu"] == 2 + 3 * (TWO_CORE_SECONDS["texture-cpu"] - 2)
    assert found["object"] is None


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


@pytest.fixture
def shared_with_a_page(tmp_path: Path, valkey: Valkey) -> Iterator[InProcessApi]:
    """An API that the pages of one other origin may use."""
    settings = ApiSettings(
        data_dir=tmp_path / "data", broker_url=valkey.url, allowed_origins=("https://Page.example/",)
    )
    with in_process.running(settings) as api:
        yield api


def test_pages_of_allowed_origins_read_and_write(shared_with_a_page: InProcessApi) -> None:
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization,idempotency-key"}
    keys.create(
        shared_with_a_page.app_state.database, NewKey("ada")
    )  # from now on a key is needed, except for a preflight
    preflight = shared_with_a_page.request("OPTIONS", "/v1/jobs", Origin="https://page.example", **asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://page.example"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    refused = shared_with_a_page.request("POST", "/v1/jobs", {}, Origin="https://page.example")
    problem(refused, 401)  # which the page can read
    assert refused.headers["access-control-allow-origin"] == "https://page.example"
    assert {"Location", "ETag"} <= set(refused.headers["access-control-expose-headers"].split(", "))
    assert "access-control-allow-credentials" not in {**preflight.headers, **refused.headers}


def test_pages_of_allowed_origins_can_read_that_the_service_broke(
    shared_with_a_page: InProcessApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("core.storage.datasets.listing")
    broken = shared_with_a_page.request("GET", "/v1/datasets", Origin="https://page.example", X_Request_ID="b-1")
    assert "internal error" in problem(broken, 500)["detail"]
    assert broken.headers["access-control-allow-origin"] == "https://page.example"
    assert (broken.headers["x-request-id"], broken.headers["connection"]) == ("b-1", "close")


def test_the_operator_may_allow_credentials(tmp_path: Path, valkey: Valkey) -> None:
    origins = ("https://page.example",)
    settings = ApiSettings(
        data_dir=tmp_path / "data", broker_url=valkey.url, allowed_origins=origins, allow_credentials=True
    )
    with in_process.running(settings) as api:
        answer = api.request("GET", "/v1/presets", Origin=origins[0])
    assert answer.headers["access-control-allow-credentials"] == "true"


def test_pages_of_other_origins_are_told_nothing(shared_with_a_page: InProcessApi, api: Api) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    shared = {name.replace("-", "_"): value for name, value in asked.items()}
    for method in ("GET", "OPTIONS"):
        answers = (
            shared_with_a_page.request(method, "/v1/jobs", **shared),
            api.client.request(method, "/v1/jobs", headers=asked),
        )
        for answer in answers:
            assert "access-control-allow-origin" not in answer.headers
            assert answer.is_success == (method == "GET")


def test_the_openapi_document_says_how_a_key_is_sent(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert document["security"] == [{"key": []}, {}]
