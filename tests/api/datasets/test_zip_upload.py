"""Zips as people make them: what is no picture is skipped, and the answer says so."""

import io
import zipfile

import pytest
from support import pictures
from support.http import Api, problem

APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        "


def test_what_systems_and_people_add_to_pictures_is_skipped_and_listed(each_api: Api) -> None:
    skipped = {
        "__MACOSX/photos/._a.png": "macOS",
        "photos/._a.png": "macOS",  # beside the picture, as on exFAT
        "photos/.DS_Store": "hidden",
        "photos/Thumbs.db": "operating system",
        "photos/DESKTOP.INI": "operating system",
        "photos/@eaDir/a.png/SYNOPHOTO_THUMB.jpg": "operating system",
        ".git/objects/a.png": "hidden",
        "photos/a.txt": "text",
        "photos/metadata.jsonl": "text",
        "photos/IMG_1.AAE": "edits of a photograph",
        "photos/IMG_1.MOV": "a film",
        "photos/IMG_1.mp4": "a film",
        "latents.npz": "data",
        "photos/camera.lnk": "operating system",
        "photos/folder.ini": "operating system",
        "rename.py": "a program",
    }
    kept = {"photos/a.png": pictures.png(5, 5), "photos/b.PNG": pictures.png(6, 6), "./c.png": pictures.png(7, 7)}
    answer = each_api.upload_zip(pictures.zipped({**dict.fromkeys(skipped, APPLE_DOUBLE), **kept}))
    assert answer.status_code == 201, answer.text
    assert [one["width"] for one in answer.json()["images"]] == [7, 5, 6]
    said = {one["file"]: one["reason"] for one in answer.json()["skipped"]}
    assert said.keys() == skipped.keys()
    assert all(skipped[file] in reason for file, reason in said.items())
    assert each_api.client.get(answer.headers["location"]).json() == answer.json()


def test_as_many_pictures_as_allowed_may_each_have_a_caption_and_metadata(api: Api) -> None:
    entries = {
        f"{n}/{name}": content
        for n in range(12)
        for name, content in {"a.png": pictures.png(1, 1), "a.txt": b"x", "._a.png": b"x", "._a.txt": b"x"}.items()
    }
    answer = api.upload_zip(pictures.zipped(entries))
    assert (answer.status_code, len(answer.json()["images"]), len(answer.json()["skipped"])) == (201, 12, 36)


def test_nothing_is_said_if_nothing_was_skipped(api: Api) -> None:
    assert api.upload_zip(pictures.zipped({"a.png": pictures.png()})).json()["skipped"] == []


def test_of_a_long_path_that_is_skipped_the_end_is_kept(api: Api) -> None:
    path = "photos/" * 1000 + "a.txt"
    (skipped,) = api.upload_zip(pictures.zipped({path: b"x", "a.png": pictures.png()})).json()["skipped"]
    assert skipped == {"file": path[-200:], "reason": "text, such as a caption"}


def _written_by_windows() -> bytes:
    """Return a zip as PowerShell makes it: backslashes, also at the end of a folder's name."""
    content = pictures.zipped({"photos/": b"", "photos/sub/": b"", "photos/sub/a.png": pictures.png()})
    return content.replace(b"photos/", b"photos\\").replace(b"sub/", b"sub\\")


def _folder_by_attribute() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        folder = zipfile.ZipInfo("photos")
        folder.create_system, folder.external_attr = 0, 0x10
        archive.writestr(folder, b"")
        archive.writestr("photos/a.png", pictures.png())
    return buffer.getvalue()


@pytest.mark.parametrize("content", [_written_by_windows(), _folder_by_attribute()], ids=["backslash", "attribute"])
def test_folders_of_windows_are_no_pictures(api: Api, content: bytes) -> None:
    answer = api.upload_zip(content)
    assert answer.status_code == 201, answer.text
    assert [one["filename"] for one in answer.json()["images"]] == ["a.png"]


def test_a_name_in_utf8_without_the_flag_keeps_its_letters(api: Api) -> None:
    """As Info-ZIP and macOS write them."""
    content = pictures.zipped({"photos/x__.png": pictures.png()}).replace(b"x__.png", "x\u00ef.png".encode())
    assert api.upload_zip(content).json()["images"][0]["filename"] == "x\u00ef.png"
    old = pictures.zipped({"x_.png": pictures.png()}).replace(b"x_.png", b"x\x8b.png")  # code page 437
    assert api.upload_zip(old).json()["images"][0]["filename"] == "x\u00ef.png"


def test_a_zip_of_nothing_but_skipped_files_says_what_was_skipped(api: Api) -> None:
    before = api.stored()
    entries = {f"{n}.txt": b"caption" for n in range(5)}
    detail = problem(api.upload_zip(pictures.zipped(entries)), 422)["detail"]
    assert "holds no pictures" in detail
    assert "0.txt (text, such as a caption)" in detail
    assert "2 more" in detail
    assert api.stored() == before


def test_a_zip_that_was_cut_off_is_called_broken(api: Api) -> None:
    content = pictures.zipped({"a.png": pictures.png(40, 40)})
    for answer in (api.upload_zip(content[:-30]), api.upload(("a.zip", content[: len(content) // 2]))):
        assert "cut off" in problem(answer, 422)["detail"]
    assert "not a zip" in problem(api.upload_zip(pictures.png()), 415)["detail"]
    assert "empty" in problem(api.upload(("a.png", b"")), 415)["detail"]


def test_a_skipped_file_may_not_leave_the_archive(api: Api) -> None:
    problem(api.upload_zip(pictures.zipped({"../notes.txt": b"x", "a.png": pictures.png()})), 422)
