"""APIs that a group of tests shares, one on SQLite and one on PostgreSQL."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import pictures, rows
from support import valkey as valkey_server
from support.http import Api
from support.postgres import PostgresServer
from support.uploads import DEFAULT_LIMITS
from support.valkey import Valkey

from api import cli
from api.settings import ApiSettings
from core.runtime import logs
from core.storage.blobs import Blobs
from core.storage.database import Database

SHORT_TIMEOUTS = {
    "GENCONVNET_UPLOAD_IDLE_SECONDS": "1",
    "GENCONVNET_UPLOAD_GRACE_SECONDS": "1",
    "GENCONVNET_MIN_UPLOAD_BYTES_PER_SECOND": "1000",
    "GENCONVNET_HEADERS_SECONDS": "1",
}


@pytest.fixture(scope="session")
def _valkey() -> Iterator[Valkey]:
    """The broker of these APIs and of no other: their reconcilers notify for as long as they run."""
    with valkey_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def _api_sqlite(tmp_path_factory: pytest.TempPathFactory, _valkey: Valkey, group_end: ExitStack) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("api-sqlite"), _valkey.url) as api:
        group_end.callback(api.stop)
        yield api


@pytest.fixture(scope="session")
def _api_postgresql(
    tmp_path_factory: pytest.TempPathFactory, _valkey: Valkey, postgres_server: PostgresServer, group_end: ExitStack
) -> Iterator[Api]:
    with postgres_server.fresh() as url, Api(tmp_path_factory.mktemp("api-postgresql"), _valkey.url, url) as api:
        group_end.callback(api.stop)
        yield api


def _emptied(running: Api, broker: Valkey) -> Iterator[Api]:
    """Yield the API without rows, files and events; afterwards check that no request made it fail with a 500."""
    _empty(running)
    broker.flush()  # after the jobs of other tests are gone, of which the reconciler notifies
    running.breakages()
    running.client.cookies.clear()
    yield running
    assert running.breakages() == []


@pytest.fixture
def api(_api_sqlite: Api, _valkey: Valkey) -> Iterator[Api]:
    """The API on SQLite, for tests that do not depend on the database."""
    yield from _emptied(_api_sqlite, _valkey)


@pytest.fixture(params=["sqlite", "postgresql"])
def each_api(request: pytest.FixtureRequest, _valkey: Valkey) -> Iterator[Api]:
    yield from _emptied(request.getfixturevalue(f"_api_{request.param}"), _valkey)


@pytest.fixture
def postgresql_api(_api_postgresql: Api, _valkey: Valkey) -> Iterator[Api]:
    yield from _emptied(_api_postgresql, _valkey)


@pytest.fixture
def dataset(api: Api) -> str:
    """The id of a dataset of one small picture."""
    return str(api.upload(("a.png", pictures.png())).json()["id"])


@pytest.fixture
def each_dataset(each_api: Api) -> str:
    return str(each_api.upload(("a.png", pictures.png())).json()["id"])


@pytest.fixture(scope="session")
def _stoppable_valkey() -> Iterator[Valkey]:
    with valkey_server.running() as server:
        yield server


@pytest.fixture
def own_valkey(_stoppable_valkey: Valkey) -> Valkey:
    """The broker of `own_api`, running and empty; the test may stop it."""
    if not _stoppable_valkey.is_running:
        _stoppable_valkey.start()
    _stoppable_valkey.flush()
    return _stoppable_valkey


@pytest.fixture(scope="session")
def _own_apis() -> list[Api]:
    """The processes started for `own_api`; the last may be running."""
    return []


@pytest.fixture
def own_api(
    _own_apis: list[Api], own_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory, group_end: ExitStack
) -> Api:
    """An empty API, whose process and broker the test may stop."""
    if not _own_apis or _own_apis[-1].process.poll() is not None:
        _own_apis.append(group_end.enter_context(Api(tmp_path_factory.mktemp("own-api"), own_valkey.url)))
    api = _own_apis[-1]
    _empty(api)
    api.client.cookies.clear()
    return api


def _empty(api: Api) -> None:
    """Delete all rows and files: those of hundreds of tests would make each listing of the folder slow."""
    rows.empty(api.database)
    blobs = api.data_dir / "blobs"
    for folder in blobs.iterdir() if blobs.exists() else ():
        shutil.rmtree(folder, ignore_errors=True)  # what an upload still writes is deleted before the next test


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory, _valkey: Valkey, group_end: ExitStack) -> Iterator[Api]:
    """An API with timeouts of one second."""
    with Api(tmp_path_factory.mktemp("impatient"), _valkey.url, **SHORT_TIMEOUTS) as api:
        group_end.callback(api.stop)
        yield api


@pytest.fixture(scope="session")
def one_decoder(tmp_path_factory: pytest.TempPathFactory, _valkey: Valkey, group_end: ExitStack) -> Iterator[Api]:
    """An API with one decoder, which receives four uploads at once."""
    environment = {**DEFAULT_LIMITS, "GENCONVNET_DECODERS": "1", "GENCONVNET_UPLOADS_AT_ONCE": "4"}
    with Api(tmp_path_factory.mktemp("one-decoder"), _valkey.url, **environment) as api:
        group_end.callback(api.stop)
        yield api


Refuse = Callable[..., str]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refuse:
    """Run a command that must refuse, with its standard error in a pipe; return its sentence."""
    monkeypatch.setattr(logs, "configure_logs", lambda _: None)
    monkeypatch.setattr("api.commands.database.configure_logs", lambda _: None)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["genconvnet", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert (ended.value.code, printed.out, printed.err.count("\n")) == (2, "", 1), printed
        line: str = printed.err.removesuffix("\n")
        return str(json.loads(line)["reason"]) if line.startswith("{") else line

    return run


@pytest.fixture
def app_state(sqlite_database: Database, blobs: Blobs, tmp_path: Path) -> Any:
    """What datasets and models need of a running API, in the test's own process; a dataset may have three pictures."""
    settings = ApiSettings(data_dir=tmp_path, max_pictures=3)
    return SimpleNamespace(settings=settings, database=sqlite_database, blobs=blobs)
