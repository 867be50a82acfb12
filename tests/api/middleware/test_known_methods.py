import pytest
from support.http import Api, problem
from support.keys import ask, holder

from core.storage import keys


@pytest.mark.parametrize("method", ["FOO", "TRACE", "CONNECT", "A" * 500])
@pytest.mark.parametrize("path", ["/v1/jobs", "/", "/healthz", "/v1/nowhere"])
def test_an_unknown_method_is_refused_and_does_not_become_a_label(api: Api, method: str, path: str) -> None:
    refused = api.client.request(method, path)
    problem(refused, 405)
    assert "GET" in refused.headers["allow"].split(", ")
    ada = holder(api.database, "ada")
    problem(api.client.request(method, path), 405)
    problem(ask(api, ada, method, path), 405)
    keys.revoke(api.database, ada.id)
    assert f'method="{method}"' not in api.client.get("/metrics").text
