"""Which files beside pictures are skipped, and what is said of them."""

import pytest

from core.schemas.companion_files import COMPANIONS, SKIPPED_SUFFIXES, skip_reason


@pytest.mark.parametrize("path", ["a.png", "in/a.JPG", "./a.png", "a", "a.b/c.tif", "txt", "folder.txt/a.png"])
def test_what_may_be_a_picture_is_not_skipped(path: str) -> None:
    assert skip_reason(path) is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a.txt", "text, such as a caption"),
        ("in/A.XMP", "edits of a photograph, or its metadata"),
        ("a.png.mov", "a film"),
        ("__MACOSX/a.png", "metadata of macOS"),
        ("in/._a.png", "metadata of macOS"),
        ("in/Thumbs.DB", "a file of the operating system"),
        ("@eaDir/a.png", "a file of the operating system"),
        (".DS_Store", "a hidden file"),
        (".git/a.png", "a hidden file"),
        (".txt", "a hidden file"),
    ],
)
def test_the_reason_is_said(path: str, reason: str) -> None:
    assert skip_reason(path) == reason


def test_each_suffix_has_one_reason() -> None:
    every = [suffix for suffixes in COMPANIONS.values() for suffix in suffixes.split()]
    assert len(every) == len(SKIPPED_SUFFIXES)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in every)
