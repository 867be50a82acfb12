"""What is backed up comes back, on either kind of database; what is no whole backup does not."""

import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from support import rows
from support.rows import DONE

from api.retention_sweep import sweep
from api.settings import ApiSettings
from core.jobs import requests, running
from core.jobs.requests import Idempotency
from core.jobs.results import NewArtifact
from core.schemas.jobs import JobStatus, Queue
from core.storage import restore
from core.storage.backup import BackupFailed, back_up, tables_of
from core.storage.backup_archive import BadArchive
from core.storage.blobs import Blobs
from core.storage.database import Database, UnknownCommit
from core.storage.restore import NotEmpty
from core.storage.tables import ApiKey, DatasetImage, Webhook

SECRET = bytes(range(32))
CUTS = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)


@pytest.fixture
def target(empty_database_url: str) -> Iterator[Database]:
    opened = Database(empty_database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs((tmp_path / "here").as_uri())


def _fill(database: Database, blobs: Blobs) -> str:
    """Rows of many kinds and their files; gives a job that runs and has a checkpoint."""
    dataset = rows.add_dataset(database)
    stored = blobs.put(dataset.images[0].blob, b"picture")
    with database.write() as session:
        image = session.scalars(select(DatasetImage)).one()
        image.bytes, image.sha256 = stored.bytes, stored.sha256
        key = ApiKey(id="key_1", name="Ann", prefix="gcn_a", sha256=SECRET, admin=True)
        session.add(key)
        session.flush()
        session.add(Webhook(id="webhook_1", url="https://example.org", secret="whsec_x", owner_seq=key.seq))
    job_id = rows.accept(database, rows.train(dataset.id), Idempotency("mine", SECRET))
    held = rows.claim(database, Queue.TRAIN)
    running.checkpoint(database, held, blobs.put(held.path("checkpoint"), b"learned so far"))
    shown = NewArtifact("preview.png", "image/png", blobs.put(held.path("preview.png"), b"shown"), 4, 4)
    running.publish(database, held, shown)
    running.record(database, held, DONE, [(1, {"chain_std": 1.5}), (2, {"chain_std": 2.5})])
    return job_id


def _everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    with database.engine.connect() as connection:
        return {
            table.name: [
                dict(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            ]
            for table in tables_of(connection)
        }


def _restored(target: Database, blobs: Blobs, archive: Path) -> None:
    with archive.open("rb") as source:
        restore.restore(target, blobs, source)


def _back_up(database: Database, blobs: Blobs, folder: Path) -> Path:
    back_up(database, blobs, folder / "backup.tar.gz")
    return folder / "backup.tar.gz"


def test_everything_comes_back_on_any_kind_of_database(
    database: Database, blobs: Blobs, target: Database, each_blobs: Blobs, tmp_path: Path
) -> None:
    files = each_blobs
    job_id = _fill(database, blobs)
    archive = _back_up(database, blobs, tmp_path)
    assert [path.name for path in tmp_path.glob("backup*")] == ["backup.tar.gz"]
    _restored(target, files, archive)
    before, after = _everything(database), _everything(target)
    (ran,), (waits,) = before.pop("jobs"), after.pop("jobs")
    assert after == before
    void = {
        "status": "queued",
        "worker": None,
        "lease_until": None,
        "leased_at": None,
        "notified_at": None,
        "failures": 0,
    }
    assert waits == {**ran, **void}
    assert files.get(waits["checkpoint"]) == b"learned so far"
    assert sorted(files.paths()) == sorted(blobs.paths())
    held = rows.claim(target, Queue.TRAIN)
    assert (held.job_id, held.attempt, held.token) == (job_id, 2, 2)
    assert rows.accept(target, rows.train(), Idempotency("mine", SECRET)) == job_id
    assert rows.add_dataset(target).seq == after["datasets"][0]["seq"] + 1


def test_a_backup_while_files_are_replaced_has_the_file_of_every_row(
    database: Database, blobs: Blobs, tmp_path: Path
) -> None:
    _fill(database, blobs)
    held = rows.claimed(database)
    stop = threading.Event()

    def go_on() -> None:
        number = 0
        while not stop.wait(0.01):
            number += 1
            stored = blobs.put(held.path(f"checkpoint-{number}"), str(number).encode())
            blobs.delete(*running.checkpoint(database, held, stored))

    worker = threading.Thread(target=go_on)
    worker.start()
    try:
        archive = _back_up(database, blobs, tmp_path)
    finally:
        stop.set()
        worker.join()
    files = Blobs((tmp_path / "restored").as_uri())
    fresh = Database(f"sqlite:///{tmp_path / 'fresh.sqlite3'}")
    _restored(fresh, files, archive)
    checkpoint = rows.row(fresh, held.job_id).checkpoint
    assert checkpoint is None or files.get(checkpoint).decode() == checkpoint.rpartition("-")[2]
    fresh.dispose()


def test_a_row_whose_file_is_gone_or_changed_is_no_backup(
    sqlite_database: Database, blobs: Blobs, tmp_path: Path
) -> None:
    _fill(sqlite_database, blobs)
    (path,) = (path for path in blobs.paths() if path.startswith("datasets"))
    for damage in (lambda: blobs.put(path, b"another"), lambda: blobs.delete(path)):
        damage()
        with pytest.raises(BackupFailed, match=path):
            back_up(sqlite_database, blobs, tmp_path / "backup")
    assert list(tmp_path.glob("backup*")) == []


def test_a_backup_is_for_its_owners_eyes(sqlite_database: Database, blobs: Blobs, tmp_path: Path) -> None:
    _fill(sqlite_database, blobs)
    seen: list[int] = []
    archive, part = tmp_path / "backup", tmp_path / "backup.part"
    part.write_bytes(b"of one that was killed")
    part.chmod(0o644)
    get = blobs.get

    def looked_at(path: str) -> bytes:
        seen.append(part.stat().st_mode & 0o777)
        return get(path)

    blobs.get = looked_at  # type: ignore[method-assign]
    before = os.umask(0)
    try:
        back_up(sqlite_database, blobs, archive)
    finally:
        os.umask(before)
    assert {*seen, archive.stat().st_mode & 0o777} == {0o600}
    assert not part.exists()


def test_what_is_not_empty_is_left_as_it_is(sqlite_database: Database, blobs: Blobs, tmp_path: Path) -> None:
    job_id = _fill(sqlite_database, blobs)
    archive = _back_up(sqlite_database, blobs, tmp_path)
    before = _everything(sqlite_database)
    with pytest.raises(NotEmpty, match="has rows"):
        _restored(sqlite_database, Blobs((tmp_path / "empty").as_uri()), archive)
    assert _everything(sqlite_database) == before
    fresh = Database(f"sqlite:///{tmp_path / 'fresh.sqlite3'}")
    with pytest.raises(NotEmpty, match="contains"):
        _restored(fresh, blobs, archive)
    assert blobs.get(str(rows.row(sqlite_database, job_id).checkpoint)) == b"learned so far"
    fresh.dispose()


def test_files_of_a_restoration_that_was_killed_are_in_nobodys_way(
    sqlite_database: Database, blobs: Blobs, tmp_path: Path
) -> None:
    _fill(sqlite_database, blobs)
    archive = _back_up(sqlite_database, blobs, tmp_path)
    files = Blobs((tmp_path / "restored").as_uri())
    files.put(restore.MARKER, b"")
    files.put("jobs/half/1/of-it", b"")
    fresh = Database(f"sqlite:///{tmp_path / 'fresh.sqlite3'}")
    _restored(fresh, files, archive)
    assert sorted(files.paths()) == sorted(blobs.paths())
    fresh.dispose()


def test_files_of_a_restoration_that_was_killed_stay_until_there_is_a_backup_to_bring(
    sqlite_database: Database, tmp_path: Path
) -> None:
    files = Blobs((tmp_path / "restored").as_uri())
    files.put(restore.MARKER, b"")
    files.put("jobs/half/1/of-it", b"")
    for content in (b"", b"no archive" * 100):
        with pytest.raises(BadArchive):
            restore.restore(sqlite_database, files, io.BytesIO(content))
        assert files.exists("jobs/half/1/of-it")


def test_beside_rows_the_mark_of_a_killed_restoration_is_forgotten(
    sqlite_database: Database, blobs: Blobs, tmp_path: Path
) -> None:
    """A service that was begun anew after it would lose its files to the next restoration."""
    blobs.put(restore.MARKER, b"")
    sweep(sqlite_database, blobs, ApiSettings())
    assert blobs.exists(restore.MARKER)
    _fill(sqlite_database, blobs)
    archive = _back_up(sqlite_database, blobs, tmp_path)
    sweep(sqlite_database, blobs, ApiSettings())
    fresh = Database(f"sqlite:///{tmp_path / 'fresh.sqlite3'}")
    with pytest.raises(NotEmpty):
        _restored(fresh, blobs, archive)
    assert back_up(sqlite_database, blobs, tmp_path / "again").files == 3
    fresh.dispose()


def test_files_stay_where_rows_came_though_the_word_of_it_was_lost(
    sqlite_database: Database, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(sqlite_database, blobs)
    archive = _back_up(sqlite_database, blobs, tmp_path)
    files, fresh = Blobs((tmp_path / "restored").as_uri()), Database(f"sqlite:///{tmp_path / 'fresh.sqlite3'}")
    replace = Database.fill_at_revision

    def cut_off(*arguments: Any) -> int:
        replace(*arguments)
        raise OSError("the connection was lost after the commit")

    monkeypatch.setattr(Database, "fill_at_revision", cut_off)
    with pytest.raises(OSError, match="lost"):
        _restored(fresh, files, archive)
    assert set(blobs.paths()) <= set(files.paths())
    assert rows.count(fresh) == rows.count(sqlite_database)
    with pytest.raises(NotEmpty):  # said to whoever tries again
        _restored(fresh, files, archive)
    assert sorted(files.paths()) == sorted(blobs.paths()), "beside the rows no mark stays"
    fresh.dispose()


@pytest.mark.parametrize("error", [OSError("lost"), UnknownCommit("COMMIT", {}, OSError("lost"))])
def test_a_restoration_whose_rows_did_not_come_is_run_again(
    target: Database, sqlite_database: Database, blobs: Blobs, tmp_path: Path, monkeypatch: Any, error: Exception
) -> None:
    _fill(sqlite_database, blobs)
    archive = _back_up(sqlite_database, blobs, tmp_path)
    files = Blobs((tmp_path / "restored").as_uri())

    def cut_off(*_: Any) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Database, "fill_at_revision", cut_off)
        with pytest.raises(type(error), match="lost"):
            _restored(target, files, archive)
    _restored(target, files, archive)
    assert sorted(files.paths()) == sorted(blobs.paths())


def _cut(content: bytes, share: float) -> bytes:
    return content[: int(len(content) * share)]


def _without_list(content: bytes) -> bytes:
    return _rebuilt(content, lambda info, data: None if info.name == "contents.jsonl" else (info, data))


def _damaged(content: bytes) -> bytes:
    def swap(info: tarfile.TarInfo, data: bytes) -> Any:
        return info, data.replace(b"picture", b"Picture")

    return _rebuilt(content, swap)


def _newer(content: bytes) -> bytes:
    def age(info: tarfile.TarInfo, data: bytes) -> Any:
        if info.name == "backup.json":
            data = json.dumps({**json.loads(data), "revision": "9999"}).encode()
        return info, data

    return _rebuilt(content, age)


def _named(name: str, type_: bytes = tarfile.REGTYPE) -> Any:
    def forge(content: bytes) -> bytes:
        def rename(info: tarfile.TarInfo, data: bytes) -> Any:
            if info.name.startswith("blobs/"):
                info.name, info.type, info.linkname = name, type_, "/etc/passwd"
                return info, data if type_ == tarfile.REGTYPE else b""
            return info, data

        return _rebuilt(content, rename)

    return forge


def _rebuilt(content: bytes, change: Any) -> bytes:
    built = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=built, mode="w:gz") as new:
        for info in old:
            file = old.extractfile(info)
            assert file is not None
            if (changed := change(info, file.read())) is not None:
                put, data = changed
                put.size = len(data)
                new.addfile(put, io.BytesIO(data))
    return built.getvalue()


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda _: b"", "begin|read"),
        (lambda _: b"no archive" * 100, "read"),
        *((lambda content, share=share: _cut(content, share), "cut short|read to the end") for share in CUTS),
        (_without_list, "cut short"),
        (_damaged, "SHA-256"),
        (_newer, "9999"),
        (_named("blobs/../../slip"), "not part of a backup"),
        (_named("/blobs/slip"), "not part of a backup"),
        (_named("blobs/a\nb"), "not part of a backup"),
        (_named("blobs/link", tarfile.SYMTYPE), "not part of a backup"),
        (_named("rows/alembic_version.jsonl"), "alembic_version|missing"),
    ],
)
def test_what_is_no_whole_backup_is_refused_by_name_and_changes_nothing(
    sqlite_database: Database, blobs: Blobs, tmp_path: Path, forge: Any, reason: str
) -> None:
    _fill(sqlite_database, blobs)
    archive = _back_up(sqlite_database, blobs, tmp_path)
    archive.write_bytes(forge(archive.read_bytes()))
    files = Blobs((tmp_path / "restored").as_uri())
    fresh = Database(f"sqlite:///{tmp_path / 'fresh.sqlite3'}")
    with pytest.raises(BadArchive, match=reason):
        _restored(fresh, files, archive)
    assert list(files.paths()) == []
    assert _everything(fresh) == {}
    fresh.dispose()


def test_a_backup_of_an_older_schema_is_brought_up_to_date(
    target: Database, sqlite_database: Database, blobs: Blobs, tmp_path: Path
) -> None:
    """As the release before wrote it: the same archive, with the rows of its own schema."""
    job_id = _fill(sqlite_database, blobs)
    archive = _back_up(sqlite_database, blobs, tmp_path)
    old = {"failures": "strikes", "notified_at": "rung_at"}
    later = {"owner_seq", "leased_at", "worked_seconds", "time_limit_seconds", "priority", "owner"}

    def older(info: tarfile.TarInfo, data: bytes) -> Any:
        import hashlib

        if info.name == "backup.json":
            return info, json.dumps({**json.loads(data), "revision": "0003"}).encode()
        if info.name in ("rows/api_keys.jsonl", "rows/audit_log.jsonl", "rows/webhooks.jsonl", "rows/deliveries.jsonl"):
            return None
        if info.name.startswith("rows/"):
            dropped = later | ({"created_at"} if "idempotency" in info.name else set())
            lines = [json.loads(line) for line in data.splitlines()]
            data = b"".join(
                json.dumps({old.get(name, name): value for name, value in line.items() if name not in dropped}).encode()
                + b"\n"
                for line in lines
            )
            contents[info.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if info.name == "contents.jsonl":
            lines = [json.loads(line) for line in data.splitlines()]
            kept = [line for line in lines if line["name"] in contents or line["name"].startswith("blobs/")]
            data = b"".join(json.dumps({**line, **contents.get(line["name"], {})}).encode() + b"\n" for line in kept)
        return info, data

    contents: dict[str, Any] = {}
    archive.write_bytes(_rebuilt(archive.read_bytes(), older))
    files = Blobs((tmp_path / "restored").as_uri())
    _restored(target, files, archive)
    assert JobStatus(rows.row(target, job_id).status) == JobStatus.QUEUED
    assert [point["step"] for point in requests.metrics(target, job_id)] == [1, 2]
    with target.read() as session:
        assert session.scalar(text("SELECT priority FROM jobs")) == 0
