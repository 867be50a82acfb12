"""Datasets over HTTP: an upload is stored whole or not at all, within limits; listing, names and deletion."""

import io
import random
import socket
import struct
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import pictures
from support.http import Api, fields, problem
from support.uploads import HEAD, OPENING

from core.storage import datasets

FUZZ = settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
LINK = 0o120777 << 16


def test_several_pictures_are_stored_in_order(each_api: Api) -> None:
    sizes = [(5, 9), (6, 8), (7, 7)]
    answer = each_api.upload(*((f"{w}.png", pictures.png(w, h)) for w, h in sizes), name="bricks ü")
    assert answer.status_code == 201
    dataset = answer.json()
    assert answer.headers["location"] == f"/v1/datasets/{dataset['id']}"
    assert dataset["name"] == "bricks ü"
    assert [(one["index"], one["filename"], one["width"], one["height"]) for one in dataset["images"]] == [
        (index, f"{w}.png", w, h) for index, (w, h) in enumerate(sizes)
    ]
    assert each_api.client.get(answer.headers["location"]).json() == dataset
    for image in dataset["images"]:
        stored = each_api.client.get(image["url"])
        assert len(stored.content) == image["bytes"]
        assert stored.headers["etag"] == f'"{image["sha256"]}"'
        assert stored.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in stored.headers["content-security-policy"]


def test_deleting_a_dataset_deletes_its_files(each_api: Api) -> None:
    before = each_api.stored()
    dataset = each_api.upload(("a.png", pictures.png()), ("b.png", pictures.png())).json()
    assert each_api.client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    assert each_api.stored() == before
    for url in (f"/v1/datasets/{dataset['id']}", dataset["images"][0]["url"]):
        problem(each_api.client.get(url), 404)
    problem(each_api.client.delete(f"/v1/datasets/{dataset['id']}"), 404)


def test_a_dataset_that_a_job_needs_cannot_be_deleted(each_api: Api) -> None:
    dataset = each_api.upload(("a.png", pictures.png())).json()
    job = each_api.post({"kind": "train", "dataset_id": dataset["id"]}).json()
    assert job["id"] in problem(each_api.client.delete(f"/v1/datasets/{dataset['id']}"), 409)["detail"]
    assert each_api.client.get(dataset["images"][0]["url"]).status_code == 200
    each_api.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert each_api.client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204


def test_datasets_are_listed_in_pages(each_api: Api) -> None:
    made = [each_api.upload(("a.png", pictures.png())).json() for _ in range(5)]
    seen, after = [], None
    while True:
        page = each_api.client.get("/v1/datasets", params={"limit": 2, **({"after": after} if after else {})}).json()
        seen += page["data"]
        assert page["has_more"] == (page["next"] is not None)
        if not page["has_more"]:
            break
        after = page["next"]
    assert seen == made[::-1]
    assert fields(each_api.client.get("/v1/datasets", params={"limit": 0})) == ["limit"]
    problem(each_api.client.get("/v1/datasets", params={"after": "dataset_none"}), 404)


@pytest.mark.parametrize("index", ["1", "-1", "x", str(2**70)])
def test_an_unknown_picture_is_not_found(api: Api, index: str) -> None:
    dataset = api.upload(("a.png", pictures.png())).json()
    problem(api.client.get(f"/v1/datasets/{dataset['id']}/images/{index}"), 404, 422)


def test_a_picture_whose_file_is_missing_is_not_found(api: Api) -> None:
    image = api.upload(("a.png", pictures.png())).json()["images"][0]
    row = datasets.find(api.database, image["url"].split("/")[3]).images[0]
    api.blobs.delete(row.blob)
    problem(api.client.get(image["url"]), 404)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\a.png", "a.png"),
        ("/", "image-0"),
        ("..", ".."),
        ("a\u202eb.png", "ab.png"),
        ("x" * 300 + ".png", "x" * 196 + ".png"),
        ("\U0001f600.png", "\U0001f600.png"),
        ("9.41.00\u202fPM.png", "9.41.00\u202fPM.png"),  # as macOS names screenshots
        ("\U0001f469\u200d\U0001f680.png", "\U0001f469\u200d\U0001f680.png"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.png",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.png",
        ),
        ("a\u200fb\u00ad\ue000.png", "a\u200fb\u00ad\ue000.png"),
        ("a\u2028b\u0085c\x1bd.png", "abcd.png"),
    ],
)
def test_a_filename_is_cleaned_and_shown(each_api: Api, given: str, shown: str) -> None:
    answer = each_api.upload((given, pictures.png()))
    assert answer.status_code == 201, answer.text
    assert answer.json()["images"][0]["filename"] == shown


@pytest.mark.parametrize("name", ["n" * 200, "\U0001f600" * 200, "", "<script>", "' OR 1=1 --"])
def test_a_name_may_be_any_200_characters(each_api: Api, name: str) -> None:
    answer = each_api.upload(("a.png", pictures.png()), name=name)
    assert answer.status_code == 201
    assert (answer.json()["name"] or "") == name


@pytest.mark.parametrize("name", ["n" * 201, "a\0b"])
def test_a_name_that_cannot_be_stored_is_refused(each_api: Api, name: str) -> None:
    before = each_api.stored()
    assert fields(each_api.upload(("a.png", pictures.png()), name=name)) == ["name"]
    assert each_api.stored() == before


def test_a_request_without_pictures_is_refused(api: Api) -> None:
    before = api.stored()
    empty = api.client.post("/v1/datasets", data={"name": "nothing"})
    both = api.client.post(
        "/v1/datasets",
        files=[("images", ("a.png", pictures.png())), ("archive", ("a.zip", pictures.zipped({"a": pictures.png()})))],
    )
    for answer in (empty, both, api.client.post("/v1/datasets")):
        assert fields(answer) == ["images"]
    problem(api.client.post("/v1/datasets", json={"images": []}), 422)
    problem(api.client.post("/v1/datasets", data={"images": "text"}), 422)
    problem(api.client.post("/v1/datasets", content=b"x", headers={"Content-Type": "multipart/form-data"}), 400, 422)
    broken = {"Content-Type": "multipart/form-data; boundary=b"}
    problem(
        api.client.post("/v1/datasets", content=b"--b\r\nContent-Disposition: form-data; na", headers=broken), 400, 422
    )
    assert api.stored() == before


def test_a_zip_is_read_in_the_order_of_its_names(each_api: Api) -> None:
    content = pictures.zipped(
        {
            "b.png": pictures.png(6, 6),
            "folder/": b"",
            "folder/a.png": pictures.png(7, 7),
            "a.png": pictures.png(5, 5),
            "__MACOSX/._a.png": b"junk",
            "folder/.DS_Store": b"junk",
            "Thumbs.db": b"junk",
        }
    )
    answer = each_api.upload_zip(content)
    assert answer.status_code == 201, answer.text
    assert [(one["filename"], one["width"]) for one in answer.json()["images"]] == [
        ("a.png", 5),
        ("b.png", 6),
        ("a.png", 7),
    ]


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_zip_compression_is_read(api: Api, packing: int) -> None:
    assert api.upload_zip(pictures.zipped({"a.png": pictures.png()}, packing)).status_code == 201


def _linked() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("bad.png")
        entry.create_system, entry.external_attr = 3, LINK
        archive.writestr(entry, "/etc/passwd")
        archive.writestr("a.png", pictures.png())
    return buffer.getvalue()


def _flagged(flag: int) -> bytes:
    """Return a zip whose entry bad.png has this flag in its headers; 1 means encrypted."""
    content = bytearray(pictures.zipped({"a.png": pictures.png(), "bad.png": pictures.png()}))
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.rfind(signature)
        struct.pack_into("<H", content, at + place, flag)
    return bytes(content)


def _corrupt() -> bytes:
    content = bytearray(pictures.zipped({"a.png": pictures.png(), "bad.png": pictures.png()}, zipfile.ZIP_STORED))
    content[content.rfind(b"IDAT") + 6] ^= 0xFF
    return bytes(content)


BAD_ENTRIES = {
    "a link": (_linked(), 422, "is a link"),
    "encrypted": (_flagged(1), 422, "is encrypted"),
    "a wrong checksum": (_corrupt(), 422, "cannot be unpacked"),
    "text": (pictures.zipped({"a.png": pictures.png(), "bad.png": b"text"}), 415, "not a PNG"),
    "empty": (pictures.zipped({"a.png": pictures.png(), "bad.png": b""}), 415, "the file is empty"),
    "too large": (
        pictures.zipped({"a.png": pictures.png(), "bad.png": random.Random(0).randbytes(600_001)}, zipfile.ZIP_STORED),
        413,
        "too large",
    ),
    "an SVG": (pictures.zipped({"a.png": pictures.png(), "bad.png": b"<svg/>"}), 415, "not a PNG"),
}


@pytest.mark.parametrize(("content", "status", "reason"), BAD_ENTRIES.values(), ids=BAD_ENTRIES.keys())
def test_a_zip_with_a_bad_entry_is_refused_naming_the_entry(api: Api, content: bytes, status: int, reason: str) -> None:
    before = api.stored()
    (error,) = problem(api.upload_zip(content), status)["errors"]
    assert (error["field"], error["file"]) == ("archive[1]", "bad.png")
    assert reason in error["message"]
    assert api.stored() == before


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 415),
        (b"PK\3\4 no zip", 422),
        (pictures.png(), 415),
        (pictures.zipped({"a.png": pictures.png()})[:-10], 422),
        (pictures.zipped({}), 422),
        (pictures.zipped({"folder/": b"", "__MACOSX/a": b"x"}), 422),
    ],
)
def test_a_file_that_is_not_a_zip_of_pictures_is_refused(api: Api, content: bytes, status: int) -> None:
    before = api.stored()
    (error,) = problem(api.upload_zip(content, "p.zip"), status)["errors"]
    assert (error["field"], error["file"]) == ("archive", "p.zip")
    assert api.stored() == before


def test_a_zip_that_unpacks_to_more_than_the_body_limit_is_refused(api: Api) -> None:
    before = api.stored()
    half = random.Random(0).randbytes(2_000) + b"\0" * 300_000  # just below the ratio that is refused
    content = pictures.zipped({f"{index:02d}.png": pictures.png() + half for index in range(12)})
    problem(api.upload_zip(content), 413, 422)
    assert api.stored() == before


def test_an_incomplete_body_stores_nothing(api: Api) -> None:
    before = api.stored()
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING + pictures.png()[:40])
    assert api.client.get("/healthz").status_code == 200
    assert api.stored() == before


@FUZZ
@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused(api: Api, content: bytes) -> None:
    problem(api.upload(("a.png", content)), 415, 422)
    problem(api.upload_zip(content), 415, 422)
