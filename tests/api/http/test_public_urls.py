"""The service below the path of a reverse proxy: every address that it gives carries the path."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support import in_process, pictures, rows
from support.http import Api
from support.in_process import InProcessApi
from support.keys import holder
from support.valkey import Valkey

from api.http.public_urls import parse_prefix
from api.settings import ApiSettings
from core.broker import events
from core.jobs import outcomes
from core.runtime.settings import BadSettings

BELOW = {"X-Forwarded-Prefix": "/a/pictures"}


@pytest.fixture
def rooted(tmp_path: Path, valkey: Valkey) -> Iterator[InProcessApi]:
    """An API with a root path in its settings."""
    settings = ApiSettings(data_dir=tmp_path / "data", broker_url=valkey.url, root_path="/a/pictures/")
    with in_process.running(settings) as api:
        yield api


def test_every_url_carries_the_proxys_prefix(api: Api, valkey: Valkey) -> None:
    sent = api.client.post("/v1/datasets", files={"images": ("a.png", pictures.png())}, headers=BELOW)
    dataset = sent.json()
    assert sent.headers["location"] == f"/a/pictures/v1/datasets/{dataset['id']}"
    assert dataset["images"][0]["url"] == f"/a/pictures/v1/datasets/{dataset['id']}/images/0"
    posted = api.client.post("/v1/jobs", json={"kind": "train", "dataset_id": dataset["id"]}, headers=BELOW)
    assert posted.headers["location"] == f"/a/pictures/v1/jobs/{posted.json()['id']}"
    lease = rows.claim(api.database)
    with valkey.client() as redis:
        preview = f"/v1/jobs/{lease.job_id}/artifacts/preview.png"
        events.publish(redis, lease.job_id, "preview", {"step": 1, "url": preview})
    outcomes.succeed(api.database, lease, [rows.artifact("a.png")], rows.DONE, model=rows.new_model())
    job = api.client.get(f"/v1/jobs/{lease.job_id}", headers=BELOW).json()
    assert job["artifacts"][0]["url"] == f"/a/pictures/v1/jobs/{lease.job_id}/artifacts/a.png"
    model = api.client.get(f"/v1/models/{job['model_id']}", headers=BELOW).json()
    assert model["url"] == f"/a/pictures/v1/models/{job['model_id']}/download"
    assert f'"url": "/a/pictures{preview}"' in api.client.get(f"/v1/jobs/{lease.job_id}/events", headers=BELOW).text
    assert api.client.get(f"/v1/jobs/{lease.job_id}").json()["artifacts"][0]["url"].startswith("/v1/")


@pytest.mark.parametrize("path", ["/v1/presets", "/a/pictures/v1/presets", "/a/pictures/", "/a/pictures", "/docs"])
def test_the_proxy_may_remove_the_prefix_or_leave_it(api: Api, path: str) -> None:
    assert api.client.get(path, headers=BELOW).status_code == 200


@pytest.mark.parametrize("prefix", ["/v1", "/docs", "/web/pictures"])
def test_a_prefix_may_be_called_like_a_folder_of_the_service(api: Api, prefix: str) -> None:
    below = {"X-Forwarded-Prefix": prefix}
    for path in ("/v1/presets", "/docs/swagger-ui.css", "/web/1/api.js"):
        assert api.client.get(path, headers=below).status_code == 200
    redirect = api.client.get("/v1/presets/", headers=below)
    assert redirect.headers["location"].endswith(f"{prefix}/v1/presets")


def test_the_document_and_the_page_name_the_prefix(api: Api) -> None:
    assert api.client.get("/openapi.json", headers=BELOW).json()["servers"] == [{"url": "/a/pictures"}]
    assert "servers" not in api.client.get("/openapi.json").json()
    assert '<base href="/a/pictures/">' in api.client.get("/", headers=BELOW).text
    assert "<base" not in api.client.get("/").text


def test_the_cookie_of_the_page_stays_below_the_prefix(api: Api) -> None:
    key = holder(api.database, "ada").key
    answer = api.client.post("/v1/session", json={"key": key}, headers=BELOW)
    assert "Path=/a/pictures/;" in answer.headers["set-cookie"]
    assert "Path=/;" in api.client.post("/v1/session", json={"key": key}).headers["set-cookie"]


def test_the_root_path_of_the_settings_is_the_prefix(rooted: InProcessApi) -> None:
    for path in ("/openapi.json", "/a/pictures/openapi.json"):
        assert rooted.request("GET", path).json()["servers"] == [{"url": "/a/pictures"}]
    outer = rooted.request("GET", "/openapi.json", X_Forwarded_Prefix="/other")
    assert outer.json()["servers"] == [{"url": "/other"}]


@pytest.mark.parametrize("given", ["pictures", "/a b", "//evil.example", "/a/../b", "/a?b", '/"><script>', "/\u00e4"])
def test_what_is_not_a_path_is_no_prefix(api: Api, given: str) -> None:
    with pytest.raises(ValueError, match="must be a path"):
        parse_prefix(given)
    with pytest.raises(BadSettings, match="GENCONVNET_ROOT_PATH"):
        ApiSettings(root_path=given)
    headers = httpx.Headers([("X-Forwarded-Prefix", given)], encoding="utf-8")
    assert "servers" not in api.client.get("/openapi.json", headers=headers).json()


def test_the_prefixes_of_several_proxies_are_joined(api: Api) -> None:
    headers = [("X-Forwarded-Prefix", "/outer, /middle/"), ("X-Forwarded-Prefix", "/inner")]
    servers = api.client.get("/openapi.json", headers=headers).json()["servers"]
    assert servers == [{"url": "/outer/middle/inner"}]
