"""Requests of other hosts and of the pages of other origins."""

import pytest
from support.http import Api, problem
from support.keys import holder

FOREIGN = {"Origin": "https://evil.example"}


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1@evil.example", "", "10.0.0.1"])
def test_without_keys_a_foreign_host_is_refused(api: Api, host: str) -> None:
    for path in ("/v1/jobs", "/", "/metrics"):
        problem(api.client.get(path, headers={"Host": host}), 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:8000", "[::1]"])
def test_without_keys_every_loopback_name_is_accepted(api: Api, host: str) -> None:
    assert api.client.get("/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        FOREIGN,
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("with_key", [True, False])
def test_pages_of_other_origins_cannot_write(api: Api, headers: dict[str, str], with_key: bool) -> None:
    key = holder(api.database, "ada").headers if with_key else {}
    before = api.stored()
    for method, path in (("POST", "/v1/datasets"), ("POST", "/v1/session"), ("DELETE", "/v1/jobs/none")):
        problem(api.client.request(method, path, headers={**key, **headers}), 403)
    assert api.stored() == before
    answer = api.client.get("/v1/jobs", headers={**key, **headers})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]
