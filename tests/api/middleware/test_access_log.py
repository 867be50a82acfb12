"""Access lines name the client and its key; successful probes are logged at DEBUG only."""

import json
from typing import Any

from support.http import Api
from support.keys import holder
from support.waiting import until


def _line(api: Api, request_id: str) -> dict[str, Any]:
    def found() -> list[dict[str, Any]]:
        lines = map(json.loads, api.log.read_text().splitlines())
        return [line for line in lines if line["event"] == "request" and line.get("request_id") == request_id]

    (line,) = until(found)
    return line


def test_an_access_line_names_the_client_and_the_key(api: Api) -> None:
    ada = holder(api.database, "ada")
    api.client.get("/v1/jobs", headers={"X-Request-ID": "with-key", **ada.headers}).raise_for_status()
    api.client.get("/v1/jobs", headers={"X-Request-ID": "without-key"})
    with_key, without_key = _line(api, "with-key"), _line(api, "without-key")
    assert (with_key["client"], with_key["key_id"], with_key["status"]) == ("127.0.0.1", ada.id, 200)
    assert (without_key["client"], without_key["status"]) == ("127.0.0.1", 401)
    assert "key_id" not in without_key


def test_an_access_line_names_the_client_that_a_proxy_of_this_machine_forwards(api: Api) -> None:
    headers = {"X-Request-ID": "forwarded", "X-Forwarded-For": "203.0.113.7"}
    api.client.get("/v1/jobs", headers=headers).raise_for_status()
    assert _line(api, "forwarded")["client"] == "203.0.113.7"


def test_successful_probes_are_logged_at_debug_and_others_as_requests(api: Api) -> None:
    for path, request_id in (("/healthz", "alive"), ("/readyz", "not-ready"), ("/v1/presets", "after")):
        api.client.get(path, headers={"X-Request-ID": request_id})
    assert _line(api, "not-ready")["status"] == 503
    _line(api, "after")
    assert '"alive"' not in api.log.read_text()
