"""A service that other machines can reach needs keys, unless its operator says otherwise."""

import subprocess
import sys
from pathlib import Path

import pytest
from support import in_process
from support.http import Api, problem
from support.keys import ask, holder
from support.valkey import Valkey

from api.auth.exposure import is_exposed, require_keys
from api.settings import ApiSettings
from core.storage import keys
from core.storage.database import Database

FOREIGN = {"Origin": "https://evil.example"}


@pytest.mark.parametrize(
    ("host", "published_on", "expected"),
    [
        ("127.0.0.1", None, False),
        ("127.5.5.5", None, False),
        ("localhost", None, False),
        ("::1", None, False),
        ("0.0.0.0", None, True),
        ("::", None, True),
        ("192.168.1.5", None, True),
        ("our.example", None, True),
        ("0.0.0.0", "127.0.0.1:8000", False),
        ("0.0.0.0", "[::1]:8000", False),
        ("127.0.0.1", "8000", True),
        ("0.0.0.0", "localhost:8000", False),
        ("0.0.0.0", "0.0.0.0:8000", True),
        ("0.0.0.0", "192.168.1.5:8000", True),
    ],
)
def test_exposure_follows_from_host_and_published_port(host: str, published_on: str | None, expected: bool) -> None:
    assert is_exposed(ApiSettings(host=host, published_on=published_on)) is expected


@pytest.mark.parametrize("part", ["api", "serve"])
def test_an_exposed_service_without_keys_does_not_start(part: str, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("genconvnet")), part, "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(
        [*command, "--data-dir", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "genconvnet keys create" in done.stderr
    assert "--without-keys" in done.stderr


def test_an_exposed_service_with_a_key_always_requires_one(tmp_path: Path, valkey: Valkey) -> None:
    database = Database(f"sqlite:///{tmp_path / 'rows.sqlite3'}")
    database.migrate()
    ada = holder(database, "ada")
    with Api(tmp_path, valkey.url, GENCONVNET_HOST="0.0.0.0") as api:
        assert ask(api, ada, "GET", "/v1/jobs").status_code == 200
        keys.revoke(database, ada.id)
        problem(ask(api, None, "GET", "/v1/jobs"), 401)  # unlike on loopback, even though no key is left
    database.dispose()


def test_an_exposed_service_runs_without_keys_if_configured(tmp_path: Path, valkey: Valkey) -> None:
    settings = ApiSettings(
        data_dir=tmp_path,
        broker_url=valkey.url,
        host="0.0.0.0",
        without_keys=True,
        allowed_hosts="our.example, other.example",
        allowed_origins="https://b.example",
    )
    with in_process.running(settings) as api:
        require_keys(settings, api.app_state.database)
        for host in ("our.example", "other.example:80", "192.168.1.5:8000", "127.0.0.1:8000"):
            assert api.get("/v1/jobs", host=host).status_code == 200
        problem(api.get("/v1/jobs", host="evil.example"), 421)
        allowed = {"origin": "https://b.example", "sec_fetch_site": "cross-site"}
        problem(api.request("POST", "/v1/jobs", {}, **allowed), 422)
        problem(api.request("POST", "/v1/jobs", {}, origin=FOREIGN["Origin"]), 403)


def test_a_container_published_on_loopback_needs_no_keys(tmp_path: Path, valkey: Valkey) -> None:
    """As in docker-compose.yml."""
    settings = ApiSettings(data_dir=tmp_path, broker_url=valkey.url, host="0.0.0.0", published_on="127.0.0.1:8000")
    with in_process.running(settings) as api:
        require_keys(settings, api.app_state.database)
        assert api.get("/v1/jobs").status_code == 200
        problem(api.get("/v1/jobs", host="192.168.1.5:8000"), 421)
