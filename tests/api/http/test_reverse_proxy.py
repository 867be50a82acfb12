"""The service behind nginx, configured as docs/reverse-proxy.md says."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from support import nginx, pictures, rows
from support.http import Api, problem
from support.keys import holder
from support.valkey import Valkey
from support.waiting import PATIENCE_SECONDS

from core.broker import events


@pytest.fixture
def proxy(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the service at its public address."""
    with (
        nginx.running(tmp_path_factory.mktemp("nginx"), api.port) as url,
        httpx.Client(base_url=f"{url}/genconvnet", timeout=PATIENCE_SECONDS) as client,
    ):
        yield client


def test_the_service_works_behind_nginx(api: Api, proxy: httpx.Client, valkey: Valkey) -> None:
    root = str(proxy.base_url.copy_with(path=""))
    _check_pages(proxy)

    own_page = {"Origin": root}
    large = [("images", (f"{n}.png", pictures.png(400, 400))) for n in range(12)]  # more than nginx keeps in memory
    answer = proxy.post("/v1/datasets", files=large, headers=own_page)
    assert answer.status_code == 201, answer.text
    assert httpx.get(root + answer.headers["location"]).json() == answer.json()
    picture = httpx.get(root + answer.json()["images"][0]["url"])
    assert picture.headers["content-type"] == "image/png"
    problem(proxy.post("/v1/jobs", json={}, headers={"Origin": "https://evil.example"}), 403)

    lease = rows.claimed(api.database)
    with valkey.client() as redis, proxy.stream("GET", f"/v1/jobs/{lease.job_id}/events") as stream:
        lines = stream.iter_lines()
        for iteration in range(3):  # each is received before the next is sent, so nothing holds them back
            events.publish(redis, lease.job_id, "progress", {"iteration": iteration})
            received = next(line for line in lines if line.startswith("data: {"))
            assert json.loads(received.removeprefix("data: ")) == {"iteration": iteration}

    key = holder(api.database, "ada").key
    problem(proxy.post("/v1/datasets", files=large), 401)
    assert proxy.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def _check_pages(proxy: httpx.Client) -> None:
    """Check that everything that the pages load is below the proxy's path."""
    document = proxy.get("/openapi.json").json()
    assert document["servers"] == [{"url": "/genconvnet"}]
    for page in ("/", "/docs", "/redoc"):
        text = proxy.get(page).text
        linked = re.findall(r"""(?:href|src|spec-url|url:) ?=? ?["']([^"']+)""", text)
        assert len(linked) > 2
        for link in linked:
            if link != "data:,":
                assert proxy.head(f"/{link}" if not link.startswith("/") else f"/{link.split('/', 2)[2]}").is_success
                assert link.startswith("/genconvnet/") or not link.startswith("/")
