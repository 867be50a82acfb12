"""Files of jobs as one zip, written while it is sent."""

import io
import zipfile

import pytest

from api.jobs.zip_stream import stream_zip
from core.storage.blobs import BlobMissing, Blobs
from core.storage.tables import Artifact


def _artifact(blobs: Blobs, path: str, content: bytes) -> Artifact:
    stored = blobs.put(path, content)
    return Artifact(blob=stored.blob, bytes=stored.bytes)


def test_each_file_is_there_by_its_name_uncompressed(blobs: Blobs) -> None:
    contents = {"ü/a.png": b"abc" * 1000, "b.json": b"{}", "empty": b""}
    files = {name: _artifact(blobs, f"jobs/{index}", one) for index, (name, one) in enumerate(contents.items())}
    with zipfile.ZipFile(io.BytesIO(b"".join(stream_zip(blobs, files)))) as archive:
        assert archive.testzip() is None
        assert {one.filename: archive.read(one) for one in archive.infolist()} == contents
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}


def test_without_files_the_zip_is_empty(blobs: Blobs) -> None:
    assert zipfile.ZipFile(io.BytesIO(b"".join(stream_zip(blobs, {})))).namelist() == []


def test_a_file_that_was_deleted_meanwhile_breaks_it_off(blobs: Blobs) -> None:
    files = {name: _artifact(blobs, f"jobs/{name}", b"abc") for name in ("a", "b")}
    chunks = stream_zip(blobs, files)
    next(chunks)
    blobs.delete(files["b"].blob)
    with pytest.raises(BlobMissing):
        list(chunks)
