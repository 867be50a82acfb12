"""What holds for all requests: request ids, and the pages of other origins."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import in_process
from support.http import Api, problem
from support.in_process import InProcessApi
from support.valkey import Valkey

from api.settings import ApiSettings
from core.storage import keys
from core.storage.keys import NewKey


def test_the_answer_carries_the_request_id_that_was_sent(api: Api) -> None:
    assert api.client.get("/healthz", headers={"X-Request-ID": "abc-1.2:3_4"}).headers["x-request-id"] == "abc-1.2:3_4"
    refused = api.client.get("/v1/jobs/none", headers={"X-Request-ID": "abc"})
    assert refused.headers["x-request-id"] == "abc"


@pytest.mark.parametrize("given", ["", "a b", "x" * 101, '"><script>', "a;b"])
def test_an_invalid_request_id_is_replaced(api: Api, given: str) -> None:
    kept = api.client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"]
    assert kept
    assert kept != given


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
