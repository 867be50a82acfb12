"""Names of uploaded files, and how a refused one is called."""

import pytest

from api.datasets.files import PictureRefused, UploadedFile, clean_name


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\a.png", "a.png"),
        ("x" * 300 + ".png", "x" * 196 + ".png"),
        ("a\u202eb\u2067c.png", "abc.png"),
        ("a\nb\x1bc\ud800\u2028.png", "abc.png"),
        ("9.41\u202fPM.png", "9.41\u202fPM.png"),
        (None, "image-0"),
        ("", "image-0"),
        ("/", "image-0"),
        ("\n", "image-0"),
    ],
)
def test_a_name_is_its_last_part_without_what_could_mislead(given: str | None, cleaned: str) -> None:
    assert clean_name(given, "image-0") == cleaned


def test_a_refused_file_is_named_with_the_archive_that_it_was_in() -> None:
    alone, packed = UploadedFile("images[0]", "a.png", b""), UploadedFile("archive", "a.png", b"", "all.zip")
    assert str(PictureRefused(415, alone, "is text")) == "a.png: is text"
    assert str(PictureRefused(415, packed, "is text")) == "all.zip: a.png: is text"
