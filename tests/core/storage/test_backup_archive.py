"""An archive that is incomplete or was altered is refused with a reason, and nothing is changed."""

import io
import json
import tarfile
from collections.abc import Callable

import pytest
from support.backups import Source, all_rows, restore_archive

from core.storage.backup_archive import BadArchive
from core.storage.blobs import Blobs
from core.storage.database import Database

CUTS = (0.1, 0.5, 0.7, 0.9, 0.97)


Change = Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]


def _edited(archive: bytes, change: Change) -> bytes:
    """Return the archive with `change` applied to each member; None removes a member."""
    edited = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=edited, mode="w:gz") as new:
        for info in old:
            file = old.extractfile(info)
            assert file is not None
            if (changed := change(info, file.read())) is not None:
                info, content = changed
                info.size = len(content)
                new.addfile(info, io.BytesIO(content))
    return edited.getvalue()


def _cut(archive: bytes, share: float) -> bytes:
    return archive[: int(len(archive) * share)]


def _without_contents(archive: bytes) -> bytes:
    return _edited(archive, lambda info, content: None if info.name == "contents.jsonl" else (info, content))


def _with_damaged_picture(archive: bytes) -> bytes:
    return _edited(archive, lambda info, content: (info, content.replace(b"picture", b"Picture")))


def _of_newer_release(archive: bytes) -> bytes:
    def raise_revision(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if info.name == "backup.json":
            content = json.dumps({**json.loads(content), "revision": "9999"}).encode()
        return info, content

    return _edited(archive, raise_revision)


def _with_blobs_renamed(name: str, type_: bytes = tarfile.REGTYPE) -> Callable[[bytes], bytes]:
    def rename(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if info.name.startswith("blobs/"):
            info.name, info.type, info.linkname = name, type_, "/etc/passwd"
            return info, content if type_ == tarfile.REGTYPE else b""
        return info, content

    return lambda archive: _edited(archive, rename)


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (lambda _: b"", "begin|read"),
        (lambda _: b"no archive" * 100, "read"),
        *((lambda archive, share=share: _cut(archive, share), "cut short|read to the end") for share in CUTS),
        (_without_contents, "cut short"),
        (_with_damaged_picture, "SHA-256"),
        (_of_newer_release, "9999"),
        (_with_blobs_renamed("blobs/../../slip"), "not part of a backup"),
        (_with_blobs_renamed("/blobs/slip"), "not part of a backup"),
        (_with_blobs_renamed("blobs/a\nb"), "not part of a backup"),
        (_with_blobs_renamed("blobs/link", tarfile.SYMTYPE), "not part of a backup"),
        (_with_blobs_renamed("rows/alembic_version.jsonl"), "alembic_version|missing"),
    ],
)
def test_an_incomplete_or_altered_archive_is_refused_with_a_reason_and_changes_nothing(
    source: Source, sqlite_target: Database, files: Blobs, alter: Callable[[bytes], bytes], reason: str
) -> None:
    with pytest.raises(BadArchive, match=reason):
        restore_archive(sqlite_target, files, alter(source.archive))
    assert list(files.paths()) == []
    assert all_rows(sqlite_target) == {}
