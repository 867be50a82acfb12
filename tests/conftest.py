"""Servers, databases and blob stores for the tests. They are real, and no test is skipped for want of one."""

import gc
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog
from playwright.sync_api import Browser
from redis import Redis
from support import browser, postgres, rows
from support import valkey as valkey_server
from support.postgres import PostgresServer
from support.s3 import S3
from support.service import Service
from support.valkey import Valkey

from core.storage.blobs import Blobs
from core.storage.database import Database

# Modules and collected tests stay until the end: no search for garbage among them, which would take a fifth of the time
# of collecting the tests, and later as long at every search.
gc.disable()

# `nohup make test &` ignores Ctrl-C, and so would every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An exception in a log as Python prints it: structlog's own way, with all local variables, takes seconds.
structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])

# The tests reach only servers of this machine, whatever proxies its environment names.
for name in ("ALL_PROXY", "all_proxy"):
    os.environ.pop(name, None)
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1,::1"

# Files of the tests are kept in memory where there is room for them: a disk would have to store each of thousands of
# small transactions. xdist's processes inherit the folder.
MEMORY = Path("/dev/shm")
if (
    "TMPDIR" not in os.environ
    and os.access(MEMORY, os.W_OK)
    and shutil.disk_usage(MEMORY).free > 4 * 2**30
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
):
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# Threads of torch that wait for each other sleep, as in `worker.work_process`: there are more of them than processors.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["MATPLOTLIBRC"] = str(Path(__file__).parent / "support" / "matplotlibrc")

GROUP = pytest.StashKey[str]()
# Fixtures that start processes for a group of tests. Each group runs in one process of xdist.
SHARED_FIXTURES = {
    "studio_service": "studio",
    "service": "service",
    "rig": "rig",
    "own_api": "own_api",
    "impatient": "impatient",
    "one_decoder": "one_decoder",
    "api": "api",
    "each_api": "api",
    "postgresql_api": "api",
}
# Beginnings of the names of groups; what takes longest starts first.
FIRST = (
    "service",
    "studio",
    "api",
    "rig",
    "tests/chaos",
    "tests/acceptance",
    "own_api",
    "one_decoder",
    "impatient",
    "tests/api",
    "tests/observability",
)


def pytest_configure(config: pytest.Config) -> None:
    """Make a folder for all processes of the run, which inherit its name."""
    if postgres.TEMPLATES not in os.environ:
        os.environ[postgres.TEMPLATES] = folder = tempfile.mkdtemp(prefix="genconvnet-pg-templates-")
        config.add_cleanup(lambda: shutil.rmtree(folder))


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests into groups for `--dist loadgroup`, and the longest groups first."""
    for item in items:
        item.stash[GROUP] = _group(item)
        item.add_marker(pytest.mark.xdist_group(item.stash[GROUP]))
    items.sort(key=lambda item: (_rank(item.stash[GROUP]), _turn(item)))


@pytest.hookimpl(trylast=True)  # after the fixtures of the test and of its module
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or nextitem.stash[GROUP] != item.stash[GROUP]:
        _group_end.close()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def _group(item: pytest.Item) -> str:
    """Return the name of the fixture that the test shares; else its function in chaos/, else its module."""
    names = getattr(item, "fixturenames", ())
    if shared := next((group for name, group in SHARED_FIXTURES.items() if name in names), None):
        return shared
    module = item.path.relative_to(item.config.rootpath).as_posix()
    return f"{module}:{item.name.split('[')[0]}" if "/chaos/" in module else module


def _rank(group: str) -> int:
    return next((place for place, start in enumerate(FIRST) if group.startswith(start)), len(FIRST))


def _turn(item: pytest.Item) -> int:
    """Return when it is a test's turn in its group: the end of its service comes last."""
    return int("service_to_kill" in getattr(item, "fixturenames", ()))


_group_end = ExitStack()


@pytest.fixture(scope="session")
def group_end() -> Iterator[ExitStack]:
    """What is entered here ends with the group of tests: until the end of the session, it would cost time idly."""
    with _group_end:  # an interrupted session ends within a group
        yield _group_end


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a file's content in a test's id in one word: a zip has the time in it, and processes must agree on ids."""
    return "content" if isinstance(val, bytes) and len(val) > 8 else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with our tables, for copies."""
    path = tmp_path_factory.mktemp("template") / "rows.sqlite3"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.dispose()  # the last connection folds the journal into the file
    return path


@pytest.fixture(scope="session")
def _sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = Database(sqlite_copy(sqlite_template, tmp_path_factory.mktemp("sqlite")))
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def _postgresql(postgres_server: PostgresServer) -> Iterator[Database]:
    opened = Database(postgres_server.emptied())
    yield opened
    opened.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        return
    with request.getfixturevalue("postgres_server").fresh() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """A database with our tables and no rows, of each kind.

    It stays open for the session, because SQLAlchemy compiles statements anew for each engine.
    """
    opened: Database = request.getfixturevalue(f"_{request.param}")
    rows.empty(opened)
    return opened


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """A database for tests that do not depend on its kind."""
    opened = Database(sqlite_copy(sqlite_template, tmp_path))
    yield opened
    opened.dispose()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs((tmp_path / "blobs").as_uri())


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    server = S3()
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def each_blobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    """An empty blob store of each kind."""
    if request.param == "folder":
        return Blobs((tmp_path / "blobs").as_uri())
    server: S3 = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return Blobs(server.make_bucket(f"test-{uuid.uuid4().hex}"))


@pytest.fixture(scope="session")
def _valkey() -> Iterator[Valkey]:
    with valkey_server.running() as server:
        yield server


@pytest.fixture
def valkey(_valkey: Valkey) -> Valkey:
    """The broker of the session, empty."""
    _valkey.flush()
    return _valkey


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A running broker that the test may stop and start."""
    with valkey_server.running() as server:
        yield server


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Redis]:
    with valkey.client() as client:
        yield client


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, group_end: ExitStack) -> Service:
    """A running `genconvnet serve` that tests use in turn; each ends the jobs it began.

    No lease expires by itself while the tests last. The tests of the studio have one of their own.
    """
    return _shared_service(tmp_path_factory, group_end)


@pytest.fixture(scope="session")
def studio_service(tmp_path_factory: pytest.TempPathFactory, group_end: ExitStack) -> Service:
    """The same for the tests of the studio, which take as long as all others of `service`."""
    return _shared_service(tmp_path_factory, group_end)


def _shared_service(tmp_path_factory: pytest.TempPathFactory, group_end: ExitStack) -> Service:
    settings = {
        "LEASE_SECONDS": "600",
        "NICENESS": "1",
        "PREVIEW_SECONDS": "0.5",
        "WEBHOOKS_TO_PRIVATE_ADDRESSES": "true",
    }
    environment = {f"GENCONVNET_{name}": value for name, value in settings.items()}
    running = Service(tmp_path_factory.mktemp("service") / "data", **environment)
    group_end.callback(running.stop)
    return running


@pytest.fixture
def service_to_kill(service: Service) -> Service:
    """The same service for the last of its tests, which ends it."""
    return service


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of a module. While playwright runs, no test in its process can call `asyncio.run`."""
    with browser.running() as running:
        yield running


def sqlite_copy(template: Path, folder: Path) -> str:
    return f"sqlite:///{shutil.copy(template, folder / 'rows.sqlite3')}"
