"""Every refusal to start is one sentence that says what to do, with exit code 2 and nothing half-written."""

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from support.service import GENCONVNET, clean_environment

from core.runtime.settings import Settings
from core.storage.database import Database

Refuse = Callable[..., str]

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["keys", "list"], ["audit"], ["sweep"]])
@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("file", "is not a folder but a file"),
        ("file/below", "Not a directory"),
        ("dangling", "is not a folder but a file"),
        ("/proc/genconvnet", "cannot be created"),
        ("a" * 300, "File name too long"),
    ],
)
def test_a_data_folder_that_cannot_be_made(
    refuse: Refuse, tmp_path: Path, command: list[str], folder: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "missing" / "folder")
    sentence = refuse(*command, "--data-dir", folder)
    assert folder in sentence
    assert reason in sentence
    assert "--data-dir" in sentence
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]


def _without_right_to_override() -> None:
    """Make an administrator's next program heed the permissions of files, as any other user's does."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


@pytest.mark.parametrize("unwritable", [".", "broker", "genconvnet.sqlite3"])
def test_a_data_folder_that_cannot_be_written(tmp_path: Path, unwritable: str) -> None:
    data = tmp_path / "data"
    (data / "broker").mkdir(parents=True)
    database = Database(Settings(data_dir=data).rows_url)
    database.migrate()
    database.dispose()
    (data / unwritable).chmod(0o500 if (data / unwritable).is_dir() else 0o400)
    done = subprocess.run(
        [GENCONVNET, "serve", "--port", "0", "--data-dir", str(data)],
        env=clean_environment(),
        preexec_fn=_without_right_to_override if os.geteuid() == 0 else None,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    (data / unwritable).chmod(0o700)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "writable for this user" in done.stderr
    assert str(data) in done.stderr


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["keys", "list"], ["sweep"], ["backup", "new.backup"]])
def test_a_file_that_is_no_database(refuse: Refuse, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "genconvnet.sqlite3").write_bytes(b"no database " * 100)
    sentence = refuse(*command, "--data-dir", "data")
    assert "file is not a database" in sentence
    assert "restore a backup" in sentence


def test_a_path_too_long_for_sqlite(refuse: Refuse, tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a" * 200] * 3)
    assert "500 bytes" in refuse("serve", "--port", "0", "--data-dir", str(folder))


@pytest.mark.parametrize(
    "command", [["serve", "--port", "0"], ["keys", "list"], ["audit"], ["sweep"], ["backup", "new.backup"]]
)
def test_a_schema_of_a_newer_release(refuse: Refuse, tmp_path: Path, command: list[str]) -> None:
    _at_revision(tmp_path, "9999")
    sentence = refuse(*command, "--data-dir", str(tmp_path))
    assert "9999" in sentence
    assert "newer than this release" in sentence
    assert "restore a backup" in sentence


@pytest.mark.parametrize("command", [["keys", "list"], ["audit"], ["sweep"], ["backup", "new.backup"]])
def test_commands_do_not_upgrade_the_schema_below_a_running_service(
    refuse: Refuse, tmp_path: Path, command: list[str]
) -> None:
    _at_revision(tmp_path, "0001")
    assert "the schema of the database is 0001" in refuse(*command, "--data-dir", str(tmp_path))


def _at_revision(folder: Path, revision: str) -> None:
    database = Database(Settings(data_dir=folder).rows_url)
    database.migrate()
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    database.dispose()


@pytest.mark.parametrize(
    ("host", "advice"),
    [("127.0.0.1", "--port 0"), ("::1", "--port 0"), ("192.0.2.1", "--host"), ("no.such.invalid", "--host")],
)
def test_an_address_that_cannot_be_listened_on(refuse: Refuse, tmp_path: Path, host: str, advice: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as taken:
        taken.bind(("::1" if ":" in host else "127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        sentence = refuse("serve", "--port", port, "--host", host, "--data-dir", str(tmp_path / "data"))
    assert advice in sentence
    assert not (tmp_path / "data" / "genconvnet.sqlite3").exists()


def test_a_database_server_that_does_not_answer(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCONVNET_DATABASE_URL", "postgresql+psycopg://ada:hidden@127.0.0.1:9/genconvnet")
    sentence = refuse("keys", "list")
    assert "GENCONVNET_DATABASE_URL" in sentence
    assert "127.0.0.1:9" in sentence
    assert "hidden" not in sentence


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("BROKER_URL", "redis://h:x/0", "Port could not be cast"),
        ("BROKER_URL", "redis:///0", "names no host"),
        ("BROKER_URL", "unix://socket", "three slashes"),
        ("BROKER_URL", "localhost:6379", "redis://host:6379/0"),
        ("BLOB_URL", "s3://", "AWS_"),
        ("BLOB_URL", "s3://no bucket/x", "AWS_"),
        ("BLOB_URL", "file:///proc/genconvnet", "choose another place with GENCONVNET_BLOB_URL"),
        ("DATABASE_URL", "sqlite://", "names no file"),
        ("DATABASE_URL", "sqlite:////proc/genconvnet/rows", "cannot be created"),
        ("DATABASE_URL", "postgresql://ada@host:port/rows", "is not a valid URL"),
        ("DATA_DIR", "~no-such-user/data", "home folder"),
        ("LOG_FORMAT", "text", "auto, json or console"),
    ],
)
def test_an_address_that_means_nothing(
    refuse: Refuse, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(f"GENCONVNET_{variable}", value)
    assert reason in refuse("sweep")


def test_the_module_with_arguments_is_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "api", "keys", "list", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "id"), done.stderr


def test_a_worker_refuses_as_json_if_logs_are_json(tmp_path: Path) -> None:
    _at_revision(tmp_path, "9999")
    done = subprocess.run(
        [GENCONVNET, "worker", "--queue", "train", "--data-dir", str(tmp_path)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    line = json.loads(done.stderr)
    assert line["event"] == "cannot_start"
    assert line["reason"].startswith("genconvnet worker: the schema 9999")
