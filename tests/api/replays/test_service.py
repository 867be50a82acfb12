"""What a picture says about its making becomes a job, checked like any request."""

import pytest
from support import pictures, rows
from support.http import Api, fields, problem
from support.keys import ask, holder
from support.models import CANVAS, model_file
from support.origins import SAMPLE, picture_of

from core.pictures.origin import DatasetOrigin

UNSET = dict.fromkeys(("start_dataset_id", "start_strength", "guide_dataset_id", "guide_strength", "blend"))
UNSET |= {**dict.fromkeys(("end_dataset_id", "end_shares")), "layout_strength": 0.0}


def replay(api: Api, content: bytes, **headers: str):
    return api.client.post("/v1/replays", files={"image": ("a.png", content)}, headers=headers)


def imported(api: Api, content: bytes | None = None, **headers: str) -> dict:
    files = {"model": ("m.safetensors", content or model_file())}
    return api.client.post("/v1/models", files=files, headers=headers).raise_for_status().json()


def test_a_sampled_picture_is_queued_with_its_parameters_for_the_model_of_this_content(each_api: Api) -> None:
    first, second = imported(each_api), imported(each_api)
    answer = replay(each_api, picture_of(model=second["sha256"], version="0.0.9"))
    job = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{job['id']}")
    assert (job["kind"], job["status"], job["model_id"]) == ("sample", "queued", second["id"])
    assert job["params"] == {**SAMPLE, **UNSET}
    expected = {"name": "synthesized-000.png", "version": "0.0.9", "precision": "float32", "device": "cpu X"}
    expected["processes"] = None
    assert job["replays"] == expected
    assert each_api.client.get(f"/v1/jobs/{job['id']}").json()["replays"] == expected
    each_api.client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
    each_api.client.delete(f"/v1/models/{second['id']}").raise_for_status()
    assert replay(each_api, picture_of(model=first["sha256"])).json()["model_id"] == first["id"], "imported again"


def test_a_picture_from_before_layouts_were_held_is_drawn_without(api: Api) -> None:
    canvas = imported(api, model_file(**CANVAS))
    drawn = api.post({"kind": "sample", "model_id": canvas["id"], "params": SAMPLE}).json()
    assert drawn["params"]["layout_strength"] == 1.0
    assert replay(api, picture_of(model=canvas["sha256"])).json()["params"]["layout_strength"] == 0.0
    again = picture_of(model=canvas["sha256"], params={**SAMPLE, "layout_strength": 0.5})
    assert replay(api, again).json()["params"]["layout_strength"] == 0.5


def test_a_training_picture_is_queued_for_the_dataset_of_this_content(api: Api) -> None:
    contents = [("a.png", pictures.png(20)), ("b.png", pictures.png(30))]
    one, both = (api.upload(*some).json() for some in (contents[:1], contents))
    origin = DatasetOrigin.of([image["sha256"] for image in both["images"]])
    picture = picture_of(kind="train", params=dict(rows.PARAMS), dataset=origin, model="f" * 64, processes=2)
    job = replay(api, picture).json()
    assert job["replays"]["processes"] == 2
    assert (job["dataset_id"], job["params"], job["preset"]) == (both["id"], dict(rows.PARAMS), None)
    assert one["id"] != both["id"]
    api.client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
    api.client.delete(f"/v1/datasets/{both['id']}").raise_for_status()
    gone = problem(replay(api, picture), 404)
    assert origin.sha256 in gone["detail"]
    assert "not there" in gone["detail"]


def test_a_variation_is_queued_for_the_dataset_of_this_content(api: Api) -> None:
    dataset = api.upload(("a.png", pictures.png())).json()
    origin = DatasetOrigin.of([image["sha256"] for image in dataset["images"]])
    params = {**SAMPLE, **UNSET, "start_strength": 0.25}
    del params["start_dataset_id"]
    picture = picture_of(params=params, datasets={"start_dataset_id": origin}, model=imported(api)["sha256"])
    assert replay(api, picture).json()["params"] == {**params, "start_dataset_id": dataset["id"]}


def test_a_blended_picture_is_queued_for_the_models_and_masks_of_this_content(api: Api) -> None:
    masks = [api.upload(("a.png", pictures.png(20))).json()]
    origin = DatasetOrigin.of([image["sha256"] for image in masks[0]["images"]])
    model = imported(api)
    asked = {**SAMPLE, **UNSET, "blend": [{"weight": 0.5}, {"weight": 0.25, "mask_dataset_id": None}]}
    about = {"datasets": {"blend[0].mask_dataset_id": origin}, "model": model["sha256"], "params": asked}
    named = {f"blend[{index}].model_id": model["sha256"] for index in range(2)}
    job = replay(api, picture_of(**about, models=named)).json()
    masks_of = [masks[0]["id"], None]
    assert [one["mask_dataset_id"] for one in job["params"]["blend"]] == masks_of
    assert [(one["model_id"], one["weight"]) for one in job["params"]["blend"]] == [
        (model["id"], w) for w in (0.5, 0.25)
    ]
    gone = problem(replay(api, picture_of(**about, models={**named, "blend[1].model_id": "0" * 64})), 404)
    assert "a model that is not there" in gone["detail"]
    for names in ({"blend[1].model_id": model["sha256"]}, {**named, "blend[2].model_id": model["sha256"]}):
        problem(replay(api, picture_of(**about, models=names)), 422)


def test_the_same_request_queues_one_job(api: Api) -> None:
    picture = picture_of(model=imported(api)["sha256"])
    ids = [replay(api, picture, **{"Idempotency-Key": "k"}).json()["id"] for _ in range(2)]
    assert ids[0] == ids[1]


def test_a_model_that_is_gone_or_anothers_is_not_found_alike(api: Api) -> None:
    ada, bob = holder(api.database, "ada"), holder(api.database, "bob")
    picture = picture_of(model=imported(api, **ada.headers)["sha256"])
    files = {"image": ("a.png", picture)}
    assert ask(api, ada, "POST", "/v1/replays", files=files).status_code == 202
    foreign = problem(ask(api, bob, "POST", "/v1/replays", files=files), 404)
    absent = problem(ask(api, bob, "POST", "/v1/replays", files={"image": ("a.png", picture_of(model="0" * 64))}), 404)
    assert "0" * 64 in absent["detail"]
    hash_ = foreign["detail"].split()[-1]
    assert foreign["detail"].replace(hash_, "") == absent["detail"].replace("0" * 64, "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pictures.png(), "does not say how it was made"),
        (b"GIF89a", "no PNG"),
        (picture_of(model="0" * 64).replace(b'"kind":"sample"', b'"kind":"sampel"'), "checksum"),
    ],
)
def test_a_file_that_does_not_say_how_it_was_made_is_refused(api: Api, content: bytes, said: str) -> None:
    refused = problem(replay(api, content), 422)
    assert said in refused["detail"]
    assert [error["field"] for error in refused["errors"]] == ["image"]


@pytest.mark.parametrize(
    ("kind", "params", "field"),
    [
        ("sample", {**SAMPLE, "x": 1}, "image.params.x"),
        ("sample", {**SAMPLE, "width": 10**9}, "image.params.width"),
        ("sample", {**SAMPLE, "step_size": 1e6}, "params.step_size"),
        ("train", {"layers": []}, "image.params.layers"),
    ],
)
def test_parameters_are_checked_like_those_of_any_request(api: Api, kind: str, params: dict, field: str) -> None:
    images = api.upload(("a.png", pictures.png())).json()["images"]
    dataset = DatasetOrigin.of([image["sha256"] for image in images])
    picture = picture_of(kind=kind, params=params, model=imported(api)["sha256"], dataset=dataset)
    assert fields(replay(api, picture)) == [field]
