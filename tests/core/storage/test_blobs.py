"""The blob store, in a local folder and on an S3-compatible server."""

import hashlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from obstore.exceptions import BaseError
from support.s3 import S3
from support.waiting import until

from core.runtime.settings import Settings
from core.storage.blobs import STREAM_CHUNK_BYTES, BlobMissing, Blobs, BlobStoreUnavailable, source_path, thumbnail_path

CONTENT = bytes(range(256)) * 20
TRANSIENT = (BaseError, ConnectionError)  # as in worker/runner.py
REMOVING = """
import os
from contextlib import suppress
while True:
    for folder in ("v/w/x/y", "v/w/x", "v/w", "v"):
        with suppress(OSError):  # it is not empty, or not there
            os.rmdir(folder)
"""


@pytest.fixture
def blobs(each_blobs: Blobs) -> Blobs:
    """A folder and an S3-compatible store in turn."""
    return each_blobs


def test_get_returns_what_put_stored_and_put_returns_its_size_and_sha256(blobs: Blobs) -> None:
    stored = blobs.put("jobs/j/1/a.png", CONTENT)
    assert (stored.blob, stored.bytes, stored.sha256) == (
        "jobs/j/1/a.png",
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
    )
    assert blobs.get(stored.blob) == CONTENT
    assert list(blobs.paths()) == ["jobs/j/1/a.png"]


def test_a_second_put_replaces_the_first(blobs: Blobs) -> None:
    blobs.put("a", CONTENT)
    blobs.put("a", b"new")
    assert blobs.get("a") == b"new"


def test_stream_yields_the_requested_range(blobs: Blobs) -> None:
    blobs.put("a", CONTENT)
    for start, length in ((0, 5120), (0, 1), (5119, 1), (100, 1000), (7, 0)):
        assert b"".join(blobs.stream("a", start, length)) == CONTENT[start : start + length]


def test_stream_yields_a_large_file_in_chunks(blobs: Blobs) -> None:
    content = CONTENT * 500
    blobs.put("a", content)
    chunks = list(blobs.stream("a", 0, len(content)))
    assert len(chunks) == len(content) // STREAM_CHUNK_BYTES + 1
    assert b"".join(chunks) == content


def test_an_empty_file_can_be_stored(blobs: Blobs) -> None:
    blobs.put("a", b"")
    assert blobs.get("a") == b""
    assert list(blobs.stream("a", 0, 0)) == []


def test_delete_ignores_paths_that_do_not_exist(blobs: Blobs) -> None:
    blobs.put("x/a", CONTENT)
    blobs.delete("x/a", "x/b", "y/c")
    assert list(blobs.paths()) == []


def test_a_folder_is_deleted_with_its_last_file(tmp_path: Path) -> None:
    blobs = Blobs((tmp_path / "blobs").as_uri())
    for name in ("jobs/a/1/x", "jobs/a/1/y", "jobs/b/x"):
        blobs.put(name, CONTENT)
    blobs.delete("jobs/a/1/x")
    assert (tmp_path / "blobs/jobs/a/1").is_dir()
    blobs.delete("jobs/a/1/y")
    assert [path.name for path in (tmp_path / "blobs/jobs").iterdir()] == ["b"]
    blobs.delete("jobs/b/x")
    assert list((tmp_path / "blobs").iterdir()) == []
    blobs.ping()
    blobs.put("jobs/a/1/x", CONTENT)
    assert blobs.get("jobs/a/1/x") == CONTENT


def test_a_missing_file_raises_blob_missing_with_its_path(blobs: Blobs) -> None:
    with pytest.raises(BlobMissing, match="x/a"):
        blobs.get("x/a")
    with pytest.raises(BlobMissing, match="x/a"):
        next(blobs.stream("x/a", 0, 1))


def test_ping_succeeds_with_and_without_files(blobs: Blobs) -> None:
    blobs.ping()
    blobs.put("datasets/d/0.png", CONTENT)
    blobs.ping()


@pytest.mark.parametrize("name", ["with spaces and ü", "per%20cent", "hash#mark", "what?", "plus+and&"])
def test_the_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    settings = Settings(data_dir=tmp_path / name)
    blobs = Blobs(settings.blobs_url)
    blobs.put("a/b", CONTENT)
    assert blobs.get("a/b") == CONTENT
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [tmp_path / name / "blobs" / "a" / "b"]


def test_a_reader_never_sees_a_partial_file(blobs: Blobs) -> None:
    versions = [bytes([number]) * 300_000 for number in range(2)]
    blobs.put("a", versions[0])
    done = threading.Event()

    def write() -> None:
        for number in range(40):
            blobs.put("a", versions[number % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert blobs.get("a") in versions
    writer.join()


def test_files_are_added_while_others_in_their_folder_are_deleted(blobs: Blobs) -> None:
    def churn(name: str) -> None:
        for _ in range(15):
            blobs.put(f"x/y/{name}", CONTENT)
            assert blobs.get(f"x/y/{name}") == CONTENT
            blobs.delete(f"x/y/{name}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(churn, "abcd"))


def test_a_file_is_added_however_often_its_empty_folders_are_removed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another process, as `delete` does, until three attempts have met one of its removals."""
    blobs = Blobs(tmp_path.as_uri())
    put, disturbed = blobs._store.put, []

    def put_once(*given: Any) -> None:
        try:
            put(*given)
        except BaseError as error:
            disturbed.append(error)
            raise

    monkeypatch.setattr(blobs, "_store", SimpleNamespace(put=put_once, get=blobs._store.get))

    def add_some() -> bool:
        for _ in range(10):
            blobs.put("v/w/x/y/a", CONTENT)
            assert blobs.get("v/w/x/y/a") == CONTENT
            (tmp_path / "v/w/x/y/a").unlink()
        return len(disturbed) >= 3

    with subprocess.Popen([sys.executable, "-S", "-c", REMOVING], cwd=tmp_path) as remover:
        try:
            until(add_some)
        finally:
            remover.kill()


def test_a_missing_bucket_is_unavailable_and_not_a_missing_file(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    blobs = Blobs("s3://no-such-bucket/files")
    with pytest.raises(BlobStoreUnavailable, match="bucket"):
        blobs.put("a", CONTENT)
    with pytest.raises(BaseError):
        blobs.ping()


def test_a_store_that_stops_raises_transient_errors_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.storage.blobs.RETRIES", 1)
    server = S3()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.start()
    blobs = Blobs(server.make_bucket("bucket"))
    blobs.put("a", CONTENT)
    server.stop()
    for call in (lambda: blobs.get("a"), lambda: blobs.put("a", b""), blobs.ping):
        with pytest.raises(TRANSIENT):
            call()
    server.start()
    server.make_bucket("bucket")
    blobs.put("a", b"new")
    assert blobs.get("a") == b"new"
    server.stop()


def test_a_file_is_opened_to_read_as_one_with_a_descriptor(blobs: Blobs) -> None:
    content = bytes(range(256)) * 9000  # more than one chunk
    blobs.put("jobs/j/a.png", content)
    with blobs.open("jobs/j/a.png") as file:
        assert file.fileno() > 0
        assert file.read() == content
    with pytest.raises(BlobMissing), blobs.open("jobs/j/b.png"):
        pass


def test_a_picture_is_deleted_with_its_thumbnail(blobs: Blobs) -> None:
    for path in ("jobs/j/a.png", "jobs/j/b.png", "jobs/j/b.png.thumbnail.webp", "jobs/j/c.json"):
        blobs.put(path, b"abc")
    assert [thumbnail_path("jobs/j/b.png"), source_path("jobs/j/b.png.thumbnail.webp")] == [
        "jobs/j/b.png.thumbnail.webp",
        "jobs/j/b.png",
    ]
    blobs.delete("jobs/j/a.png", "jobs/j/b.png")
    assert set(blobs.paths()) == {"jobs/j/c.json"}
