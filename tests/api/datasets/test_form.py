"""What clients send is taken if it is plain what they mean, or else they are told which field to use."""

import pytest
from support import pictures
from support.http import Api, fields, problem

PNG = ("a.png", pictures.png())
ZIP = ("a.zip", pictures.zipped({"b.png": pictures.png(5, 5), "a.png": pictures.png(4, 4), "a.txt": b"a caption"}))


def _send(api: Api, *files: tuple[str, tuple[str, bytes]]) -> list[tuple[str, int]]:
    answer = api.client.post("/v1/datasets", files=list(files))
    assert answer.status_code == 201, answer.text
    return [(one["filename"], one["width"]) for one in answer.json()["images"]]


def test_a_zip_among_the_pictures_is_opened(each_api: Api) -> None:
    shown = _send(each_api, ("images", PNG), ("images", ZIP), ("images", ("c.png", pictures.png(6, 6))))
    assert shown == [("a.png", 12), ("a.png", 4), ("b.png", 5), ("c.png", 6)]


def test_a_bad_entry_of_a_zip_among_the_pictures_is_named(api: Api) -> None:
    before = api.stored()
    broken = ("z.zip", pictures.zipped({"a.png": pictures.png(), "b.png": pictures.png()[:50]}))
    answer = api.client.post("/v1/datasets", files=[("images", PNG), ("images", broken)])
    (error,) = problem(answer, 422)["errors"]
    assert (error["field"], error["file"]) == ("images[1][1]", "b.png")
    assert api.stored() == before


def test_several_zips_share_the_limits_of_one(api: Api) -> None:
    before = api.stored()
    seven = {f"{n}.png": pictures.png(1, 1) for n in range(7)}
    many = [("images", (f"{n}.zip", pictures.zipped(seven))) for n in range(2)]
    problem(api.client.post("/v1/datasets", files=many), 413)
    large = pictures.encoded(pictures.colors(400, 400), "BMP")
    heavy = {f"{n}.bmp": large for n in range(4)}  # 1.9 MB, of at most 3 in all, in a file of a hundredth
    deep = [("images", (f"{n}.zip", pictures.zipped(heavy))) for n in range(2)]
    assert "too large" in problem(api.client.post("/v1/datasets", files=deep), 413)["detail"]
    assert len(_send(api, deep[0])) == 4
    assert len(api.stored()[1]) == len(before[1]) + 4


@pytest.mark.parametrize("field", ["image", "images[]", "images[0]", "file", "files", "picture", "photos[3]"])
def test_pictures_are_taken_from_fields_of_other_names(api: Api, field: str) -> None:
    assert _send(api, (field, PNG)) == [("a.png", 12)]
    assert len(_send(api, (field, PNG), (field, ZIP))) == 3


@pytest.mark.parametrize("field", ["mask", "archive2", "", "name"])
def test_a_file_in_a_field_of_no_known_meaning_is_refused(api: Api, field: str) -> None:
    before = api.stored()
    (error,) = problem(api.client.post("/v1/datasets", files=[("images", PNG), (field, PNG)]), 422)["errors"]
    assert (error["field"], error["file"]) == (field, "a.png")
    assert "in the field images" in error["message"]
    assert api.stored() == before


def test_text_in_the_place_of_a_file_is_explained(api: Api) -> None:
    for field in ("images", "archive", "file"):
        answer = api.client.post("/v1/datasets", files={field: (None, "picture.png")})
        assert fields(answer) == [field]
        assert f"-F {field}=@" in answer.json()["detail"]


def test_a_body_that_is_no_form_is_explained(api: Api) -> None:
    for content in (pictures.png(), b"", b"{}"):
        answer = api.client.post("/v1/datasets", content=content)
        assert fields(answer) == ["images"]
        assert "multipart/form-data" in answer.json()["detail"]


def test_a_picture_in_the_archives_field_is_sent_to_images(api: Api) -> None:
    assert "in the field images" in problem(api.upload_zip(pictures.png()), 415)["detail"]


def test_a_file_that_was_not_chosen_is_not_there(api: Api) -> None:
    """A browser sends an empty file without a name."""
    boundary = b'--b\r\nContent-Disposition: form-data; name="archive"; filename=""\r\n\r\n\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n' + pictures.png()
    answer = _post_form(api, boundary + file)
    assert answer == [("a.png", 12)]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (b"filename*=UTF-8''na%C3%AFve%E2%80%AF1.png", "na\u00efve\u202f1.png"),
        (b"filename*=utf-8'en'%e2%82%ac.png", "\u20ac.png"),
        (b"filename*=ISO-8859-1''caf%E9.png", "caf\u00e9.png"),
        (b"filename=\"plain.png\"; filename*=UTF-8''%F0%9F%98%80.png", "\U0001f600.png"),
        (b"filename*=UTF-8''..%2F..%2Fa.png", "a.png"),
        (b"filename*=no-charset''%FF.png", "\u00ff.png"),
        (b"filename*=nonsense", "nonsense"),
        (b"filename*=unicode_escape''a%5Cud83d.png", "a?.png"),  # half of a pair of surrogates
    ],
)
def test_a_file_may_have_an_extended_name(each_api: Api, given: bytes, shown: str) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="images"; %s\r\n\r\n' % given
    assert _post_form(each_api, part + pictures.png()) == [(shown, 12)]


def test_what_cannot_be_encoded_is_named_in_the_answer(api: Api) -> None:
    """An encoding that has lone surrogates, in a field's name and in a file's."""
    part = b'--b\r\nContent-Disposition: form-data; name="m\\ud800"; filename="\\ud800.png"\r\n\r\nx\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b; charset=unicode_escape"}
    (error,) = problem(api.client.post("/v1/datasets", content=part, headers=headers), 422)["errors"]
    assert (error["field"], error["file"]) == ("m?", "?.png")
    name = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\\ud800\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n' + pictures.png()
    answer = api.client.post("/v1/datasets", content=name + file + b"\r\n--b--\r\n", headers=headers)
    assert answer.json()["name"] == "?"


def test_a_file_with_an_extended_name_counts_as_a_file(api: Api) -> None:
    part = b"--b\r\nContent-Disposition: form-data; name=\"images\"; filename*=UTF-8''a.png\r\n\r\n" + pictures.png()
    body = b"\r\n".join([part] * 13) + b"\r\n--b--\r\n"
    answer = api.client.post("/v1/datasets", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    problem(answer, 413)


def _post_form(api: Api, body: bytes) -> list[tuple[str, int]]:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = api.client.post("/v1/datasets", content=body + b"\r\n--b--\r\n", headers=headers)
    assert answer.status_code == 201, answer.text
    return [(one["filename"], one["width"]) for one in answer.json()["images"]]
