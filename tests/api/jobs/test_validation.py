"""Jobs that use finished models: invalid ones are refused by field or file, accepted ones have all parameters."""

from typing import Any

import pytest
from PIL import Image
from support import pictures, rows
from support.http import Api, fields, problem
from support.keys import ask, holder
from support.models import model_file

from api.jobs.validation import partly_transparent
from core.jobs import outcomes
from core.recipe.presets import PRESETS
from core.schemas.geometry import receptive_field
from core.schemas.inpainting import MAX_RESULTS
from core.schemas.jobs import JobKind, Queue
from core.storage.tables import Dataset, DatasetImage

QUICK = PRESETS["quick"]
OBJECT = {"top": "object", "boundary": "padded"}
PATCHES = {"patch_size": 12, "boundary": "valid"}
HOLE = (2, 2, 5, 5)
KINDS = ["reconstruct", "inpaint", "classify"]


@pytest.fixture
def model(api: Api) -> str:
    return rows.add_model(api.database)


@pytest.fixture
def holed(api: Api) -> str:
    """A dataset of one picture with a hole."""
    return _dataset(api, pictures.with_hole(hole=HOLE))


def _dataset(api: Api, *contents: bytes) -> str:
    answer = api.upload(*((f"{index}.png", content) for index, content in enumerate(contents)))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _body(kind: str, dataset_id: str, *model_ids: str, **params: Any) -> dict[str, Any]:
    models = {"model_ids": list(model_ids)} if kind == "classify" else {"model_id": model_ids[0]}
    return {"kind": kind, "dataset_id": dataset_id, "params": params, **models}


def _accepted(api: Api, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    answer = api.post(body, key)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert api.client.get(f"/v1/jobs/{job['id']}").json() == job
    return job


def test_a_reconstruction_is_accepted_fully_resolved(each_api: Api) -> None:
    model_id, dataset_id = rows.add_model(each_api.database), _dataset(each_api, pictures.png(), pictures.png())
    job = _accepted(each_api, _body("reconstruct", dataset_id, model_id))
    assert job["params"] == {"mode": "one_pass", "steps": 1000, "frames": 0}
    assert (job["model_id"], job["dataset_id"], job["queue_position"]) == (model_id, dataset_id, 1)
    assert (job["progress"]["stages"], job["progress"]["iterations"]) == (2, 1)
    job = _accepted(each_api, _body("reconstruct", dataset_id, model_id, mode="attractor", steps=30))
    assert (job["params"]["steps"], job["progress"]["iterations"], job["queue_position"]) == (30, 30, 2)
    many = _dataset(each_api, *[pictures.png()] * 9)
    refused = problem(each_api.post(_body("reconstruct", many, model_id, mode="attractor", frames=32)), 422)
    assert "9 pictures x 32 are 288 frames, more than 256" in refused["detail"]
    assert [error["field"] for error in refused["errors"]] == ["params.frames"]


def test_an_inpainting_is_accepted_fully_resolved(each_api: Api) -> None:
    model_id = rows.add_model(each_api.database)
    dataset_id = _dataset(each_api, pictures.with_hole(hole=HOLE), pictures.with_hole(hole=HOLE, grey=True))
    job = _accepted(each_api, _body("inpaint", dataset_id, model_id, count=3))
    seed = job["params"]["seed"]
    assert isinstance(seed, int)
    expected = {"count": 3, "steps": 200, "step_size": QUICK.step_size, "seed": seed, "seam": False, "seam_width": None}
    assert job["params"] == expected
    assert (job["progress"]["stages"], job["progress"]["iterations"]) == (6, 200)


def test_a_drawn_seed_is_exact_in_every_json_reader_and_a_larger_given_one_is_kept(api: Api) -> None:
    model_id, dataset_id = rows.add_model(api.database), _dataset(api, pictures.png())
    train, sample = {"kind": "train", "dataset_id": dataset_id}, {"kind": "sample", "model_id": model_id}
    for body in (train, sample, _body("classify", dataset_id, model_id, rows.add_model(api.database))):
        drawn = [_accepted(api, body)["params"]["seed"] for _ in range(6)]
        assert all(float(seed) == seed < 2**53 for seed in drawn)
        assert len(set(drawn)) == 6
        assert _accepted(api, {**body, "params": {"seed": 2**63 - 1}})["params"]["seed"] == 2**63 - 1


def test_a_classification_is_accepted_fully_resolved(each_api: Api) -> None:
    dataset_id, chosen = _dataset(each_api, pictures.png()), [rows.add_model(each_api.database) for _ in range(3)]
    job = _accepted(each_api, _body("classify", dataset_id, *chosen, temperatures=50, seed=4))
    asked = {"chains": 16, "temperatures": 50, "steps": 8, "seed": 4, "refine": False}
    assert job["params"] == {"model_ids": chosen, **asked}
    assert (job["model_id"], job["dataset_id"]) == (None, dataset_id)
    assert (job["progress"]["stages"], job["progress"]["iterations"]) == (3, 800)
    assert rows.claim(each_api.database, Queue.SAMPLE).model_ids == tuple(chosen)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_key_and_body_return_the_same_job(api: Api, holed: str, kind: str) -> None:
    chosen = [rows.add_model(api.database) for _ in range(2)]
    first = _accepted(api, _body(kind, holed, *chosen), "k")
    assert _accepted(api, _body(kind, holed, *chosen), "k")["id"] == first["id"]
    problem(api.post(_body(kind, holed, *chosen, steps=7), "k"), 409)


@pytest.mark.parametrize("kind", KINDS)
def test_models_and_datasets_of_a_job_cannot_be_deleted_before_it_has_ended(each_api: Api, kind: str) -> None:
    dataset_id = _dataset(each_api, pictures.with_hole(hole=HOLE))
    chosen = [rows.add_model(each_api.database) for _ in range(2)]
    url = f"/v1/jobs/{_accepted(each_api, _body(kind, dataset_id, *chosen))['id']}"
    needed = chosen if kind == "classify" else chosen[:1]
    for path in (f"datasets/{dataset_id}", *(f"models/{model_id}" for model_id in needed)):
        problem(each_api.client.delete(f"/v1/{path}"), 409)
    listed = each_api.client.get("/v1/jobs", params={"kind": kind}).json()["data"]
    assert [job["kind"] for job in listed] == [kind]
    assert each_api.client.post(f"{url}/cancel").json()["status"] == "canceled"
    assert each_api.client.post(f"{url}/resume").json()["status"] == "queued"
    outcomes.succeed(each_api.database, rows.claim(each_api.database, Queue.SAMPLE), [], rows.DONE)
    problem(each_api.client.post(f"{url}/resume"), 409)
    answer = each_api.client.post(f"{url}/resume", json={"params": {"iterations": 9}})
    assert fields(answer) == ["params.iterations"]
    assert each_api.client.delete(f"/v1/models/{needed[-1]}").status_code == 204
    assert each_api.client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    assert each_api.client.delete(url).status_code == 204


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_without_its_model_cannot_be_resumed(api: Api, holed: str, kind: str) -> None:
    chosen = [rows.add_model(api.database) for _ in range(2)]
    url = f"/v1/jobs/{_accepted(api, _body(kind, holed, *chosen))['id']}"
    api.client.post(f"{url}/cancel")
    assert api.client.delete(f"/v1/models/{chosen[0]}").status_code == 204
    assert "cannot go on" in problem(api.client.post(f"{url}/resume"), 409)["detail"]


@pytest.mark.parametrize(
    ("kind", "params", "field"),
    [
        ("reconstruct", {"mode": "both"}, "params.mode"),
        ("reconstruct", {"steps": 0}, "params.steps"),
        ("reconstruct", {"seed": 1}, "params.seed"),
        ("inpaint", {"count": 0}, "params.count"),
        ("inpaint", {"count": 65}, "params.count"),
        ("inpaint", {"steps": 100_001}, "params.steps"),
        ("inpaint", {"step_size": 2 * QUICK.reference_std}, "params.step_size"),
        ("inpaint", {"step_size": -1}, "params.step_size"),
        ("inpaint", {"tileable": True}, "params.tileable"),
        ("classify", {"chains": 1}, "params.chains"),
        ("classify", {"temperatures": 0}, "params.temperatures"),
        ("classify", {"steps": 1001}, "params.steps"),
        ("classify", {"seed": -1}, "params.seed"),
    ],
)
def test_an_invalid_parameter_is_refused(
    api: Api, model: str, holed: str, kind: str, params: dict[str, Any], field: str
) -> None:
    other = rows.add_model(api.database)
    before = rows.count(api.database)["jobs"]
    assert fields(api.post(_body(kind, holed, model, other, **params))) == [field]
    assert rows.count(api.database)["jobs"] == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "reconstruct", "dataset_id": "d"}, "model_id"),
        ({"kind": "inpaint", "model_id": "m"}, "dataset_id"),
        ({"kind": "inpaint", "model_id": "m", "dataset_id": "d", "mask": "x"}, "mask"),
        ({"kind": "classify", "dataset_id": "d"}, "model_ids"),
        ({"kind": "classify", "dataset_id": "d", "model_ids": ["m"]}, "model_ids"),
        ({"kind": "classify", "dataset_id": "d", "model_ids": ["m"] * 17}, "model_ids"),
        ({"kind": "classify", "dataset_id": "d", "model_ids": ["m", 5]}, "model_ids[1]"),
        ({"kind": "classify", "dataset_id": "d", "model_id": "m"}, "model_ids"),
    ],
)
def test_an_invalid_body_is_refused(api: Api, body: dict[str, Any], field: str) -> None:
    assert fields(api.post(body))[0] == field


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_dataset_or_model_is_not_found(each_api: Api, kind: str) -> None:
    dataset_id, model_id = _dataset(each_api, pictures.with_hole(hole=HOLE)), rows.add_model(each_api.database)
    other = rows.add_model(each_api.database)
    for name in ("none", "\u0000", "' OR 1=1 --"):
        problem(each_api.post(_body(kind, dataset_id, name, model_id)), 404, 422)
        problem(each_api.post(_body(kind, name, model_id, other)), 404, 422)
    assert "dataset 'none'" in problem(each_api.post(_body(kind, "none", model_id, other)), 404)["detail"]
    assert "model 'none'" in problem(each_api.post(_body(kind, dataset_id, "none", model_id)), 404)["detail"]


@pytest.mark.parametrize(("learned", "side"), [(OBJECT, QUICK.image_size), (PATCHES, 12)])
def test_objects_and_patches_are_drawn_only_at_their_own_size(api: Api, learned: dict[str, Any], side: int) -> None:
    model_id = rows.add_model(api.database, **learned)

    def sample(**params: Any) -> dict[str, Any]:
        return {"kind": "sample", "model_id": model_id, "params": params}

    job = _accepted(api, sample())
    assert (job["params"]["width"], job["params"]["height"]) == (side, side)
    assert fields(api.post(sample(width=side + 8))) == ["params.width"]
    assert fields(api.post(sample(height=200, tileable=True))) == ["params.height", "params.tileable"]
    assert f"must be {side}" in problem(api.post(sample(width=200)), 422)["detail"]


WINDOWS = {"image_size": 2048, "patch_size": 128, "boundary": "torus", "top": "convolutional"}


@pytest.mark.parametrize("kind", ["reconstruct", "inpaint", "classify"])
def test_a_model_of_windows_of_large_pictures_takes_no_whole_ones(api: Api, holed: str, model: str, kind: str) -> None:
    windows = rows.add_model(api.database, **WINDOWS)
    answer = api.post(_body(kind, holed, windows, model))
    assert answer.status_code == 422
    assert "learned from pictures of 2048 pixels" in answer.json()["detail"]
    assert api.post({"kind": "sample", "model_id": windows, "params": {"width": 64, "height": 48}}).status_code == 202


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_patches_is_refused(api: Api, holed: str, model: str, kind: str) -> None:
    patches = rows.add_model(api.database, **PATCHES)
    field = "model_ids[0]" if kind == "classify" else "model_id"
    answer = api.post(_body(kind, holed, patches, model))
    assert fields(answer) == [field]
    assert "patches of 12 x 12 pixels" in answer.json()["detail"]
    if kind == "classify":
        assert fields(api.post(_body(kind, holed, model, patches))) == ["model_ids[1]"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_an_object_is_accepted(api: Api, holed: str, kind: str) -> None:
    _accepted(api, _body(kind, holed, *(rows.add_model(api.database, **OBJECT) for _ in range(2))))


@pytest.mark.parametrize("kind", ["reconstruct", "inpaint"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_pictures_are_accepted_by_any_model(api: Api, kind: str, channels: int) -> None:
    dataset_id = _dataset(api, pictures.with_hole(hole=HOLE), pictures.with_hole(hole=HOLE, grey=True))
    _accepted(api, _body(kind, dataset_id, rows.add_model(api.database, channels=channels)))


def test_pictures_with_nothing_to_paint_or_to_keep_are_refused(each_api: Api) -> None:
    model_id = rows.add_model(each_api.database)
    width, height = pictures.WIDTH, pictures.HEIGHT
    contents = {
        "fine.png": pictures.with_hole(hole=HOLE),
        "opaque.png": pictures.png(),
        "nothing.png": pictures.with_hole(hole=(0, 0, 0, 0)),
        "everything.png": pictures.with_hole(hole=(0, 0, width, height)),
        "at the cropped side.png": pictures.with_hole(hole=(0, 0, 2, height)),
    }
    dataset_id = each_api.upload(*contents.items()).json()["id"]
    body = problem(each_api.post(_body("inpaint", dataset_id, model_id)), 422)
    messages = {error["file"]: error["message"] for error in body["errors"]}
    assert {error["field"] for error in body["errors"]} == {"dataset_id"}
    assert list(messages) == ["opaque.png", "nothing.png", "everything.png", "at the cropped side.png"]
    assert "no alpha channel" in messages["opaque.png"]
    assert "nothing is transparent" in messages["nothing.png"]
    assert "everything is transparent" in messages["everything.png"]
    assert "nothing is transparent" in messages["at the cropped side.png"]
    assert "opaque.png" in body["detail"]
    assert rows.count(each_api.database)["jobs"] == 1  # the one that learned the model


def test_pictures_whose_transparent_parts_leave_nothing_to_learn_from_are_refused(each_api: Api) -> None:
    width, height = pictures.WIDTH, pictures.HEIGHT
    contents = {
        "opaque.png": pictures.png(),
        "part.png": pictures.with_hole(hole=(0, 0, width // 3, height)),
        "everything.png": pictures.with_hole(hole=(0, 0, width, height)),
    }
    dataset_id = each_api.upload(*contents.items()).json()["id"]
    body = {"kind": "train", "dataset_id": dataset_id, "preset": "quick"}
    refused = problem(each_api.post(body), 422)
    assert [(one["field"], one["file"]) for one in refused["errors"]] == [("dataset_id", "everything.png")]
    assert "no unit of the net" in refused["errors"][0]["message"]
    on_white = {"contrastive": True, "boundary": "padded", "keep_nearest": False, "random_lattice": False}
    assert each_api.post({**body, "params": on_white}).status_code == 202
    some = each_api.upload(*list(contents.items())[:2]).json()["id"]
    assert each_api.post({**body, "dataset_id": some}).status_code == 202
    large = {"layers": [{"filters": 4, "kernel_size": 63}], "layerwise": False, "image_size": 64}
    answer = each_api.post({**body, "dataset_id": some, "params": large})
    assert [one["file"] for one in problem(answer, 422)["errors"]] == ["part.png"]


def test_pictures_turned_by_any_angle_need_an_opaque_part_that_windows_can_be_resampled_from(api: Api) -> None:
    window = receptive_field(QUICK.layers)
    params = {"image_size": 64, "orientations": "any"}
    for side, status in ((window, 422), (window + 3, 422), (window + 4, 202)):
        alpha = Image.new("L", (64, 64))
        alpha.paste(255, (10, 20, 10 + side, 20 + side))
        picture = pictures.colors(64, 64)
        picture.putalpha(alpha)
        body = {"kind": "train", "dataset_id": _dataset(api, pictures.encoded(picture, "PNG")), "preset": "quick"}
        assert api.post(body | {"params": {"image_size": 64}}).status_code == 202
        answer = api.post(body | {"params": params})
        assert answer.status_code == status
        if status == 422:
            assert f"resampled from {window + 4} x {window + 4} pixels" in problem(answer, 422)["detail"]


def test_each_picture_with_transparency_is_looked_at_as_far_as_time_allows() -> None:
    def dataset(side: int, count: int) -> Dataset:
        modes = ["RGB", *["RGBA", "LA"] * (count // 2)]
        return Dataset(images=[DatasetImage(width=side, height=side, mode=mode) for mode in modes])

    small = dataset(256, 1000)
    assert partly_transparent(small) == small.images[1:]
    large = dataset(4096, 6)
    assert partly_transparent(large) == large.images[1:5]
    assert len(partly_transparent(dataset(8193, 2))) == 1
    assert partly_transparent(dataset(64, 0)) == []


def test_too_many_inpaintings_are_refused(api: Api, model: str) -> None:
    most = MAX_RESULTS // 64
    dataset_id = _dataset(api, *[pictures.with_hole(hole=HOLE)] * (most + 1))
    answer = api.post(_body("inpaint", dataset_id, model, count=64))
    assert fields(answer) == ["params.count"]
    assert str(MAX_RESULTS) in answer.json()["detail"]
    _accepted(api, _body("inpaint", dataset_id, model, count=MAX_RESULTS // (most + 1)))


def test_models_of_other_sizes_or_channels_are_refused(each_api: Api) -> None:
    dataset_id = _dataset(each_api, pictures.png())
    model = rows.add_model(each_api.database)
    other_size = rows.add_model(each_api.database, image_size=64)
    colour = rows.add_model(each_api.database, channels=3)
    answer = each_api.post(_body("classify", dataset_id, model, other_size, colour, model))
    assert fields(answer) == ["model_ids[1]", "model_ids[2]", "model_ids[3]"]
    messages = [error["message"] for error in answer.json()["errors"]]
    assert f"64 pixels a side, but model_ids[0] from pictures of {QUICK.image_size}" in messages[0]
    assert "3 channels, but model_ids[0] from pictures of 1" in messages[1]
    assert "named twice" in messages[2]
    answer = each_api.post(_body("classify", dataset_id, colour, model))
    assert "from pictures of 1 channel, but model_ids[0] from pictures of 3;" in answer.json()["errors"][0]["message"]


def test_every_kind_of_job_is_in_the_openapi_document(api: Api) -> None:
    schemas = api.client.get("/openapi.json").json()["components"]["schemas"]
    kinds = {schema["properties"]["kind"]["const"] for name, schema in schemas.items() if name.endswith("JobIn")}
    assert kinds == {kind.value for kind in JobKind}
    assert {"top", "patch_size", "contrastive", "batch_size"} <= set(schemas["LearningOverrides"]["properties"])
    for name in ("SampleParams", "ReconstructParams", "InpaintParams", "ClassifyParams"):
        assert all(about["description"] for about in schemas[name]["properties"].values())


def test_a_variation_needs_a_dataset_of_one_picture_which_stays_until_it_has_ended(each_api: Api) -> None:
    model_id, one = rows.add_model(each_api.database), _dataset(each_api, pictures.png())

    def vary(**params: Any) -> dict[str, Any]:
        return {"kind": "sample", "model_id": model_id, "params": params}

    two = _dataset(each_api, pictures.png(), pictures.png())
    answer = each_api.post(vary(start_dataset_id=two))
    assert fields(answer) == ["params.start_dataset_id"]
    assert "has 2 pictures" in answer.json()["detail"]
    assert fields(each_api.post(vary(start_strength=0.5))) == ["params.start_strength"]
    assert fields(each_api.post(vary(start_dataset_id=one, start_strength=1.5))) == ["params.start_strength"]
    problem(each_api.post(vary(start_dataset_id="dataset_gone")), 404)
    job = _accepted(each_api, vary(start_dataset_id=one, start_strength=0.25, steps=40))
    assert (job["params"]["start_dataset_id"], job["dataset_id"]) == (one, None)
    assert job["progress"]["iterations"] == 10
    url = f"/v1/jobs/{job['id']}"
    problem(each_api.client.delete(f"/v1/datasets/{one}"), 409)
    each_api.client.post(f"{url}/cancel").raise_for_status()
    assert each_api.client.delete(f"/v1/datasets/{one}").status_code == 204
    assert "cannot go on" in problem(each_api.client.post(f"{url}/resume"), 409)["detail"]


def test_a_picture_is_made_tileable_only_as_it_is(api: Api, model: str) -> None:
    size = QUICK.image_size
    fitting = [pictures.png(size, size), pictures.png(size + 40, size), opaque(size)]
    job = _accepted(api, _body("inpaint", _dataset(api, *fitting), model, seam=True))
    assert (job["params"]["seam"], job["params"]["seam_width"]) == (True, 21)
    hole = pictures.with_hole(size, size, hole=HOLE)
    wrong = _dataset(api, pictures.png(size + 1, size + 1), hole)
    answer = api.post(_body("inpaint", wrong, model, seam=True))
    said = {error["file"]: error["message"] for error in answer.json()["errors"]}
    assert answer.status_code == 422
    assert f"its short side must be {size}" in said["0.png"]
    assert said["0.png"].endswith(f"; scale or crop it, or learn a model with image_size {size + 1}")
    assert "transparent pixels" in said["1.png"]
    assert said.keys() == {"0.png", "1.png"}


def opaque(size: int) -> bytes:
    picture = pictures.colors(size, size).convert("RGBA")
    return pictures.encoded(picture, "PNG")


def test_a_guide_is_a_dataset_of_one_picture_for_models_of_textures(api: Api, model: str) -> None:
    one, two = _dataset(api, pictures.png()), _dataset(api, pictures.png(), pictures.png())

    def guided(model_id: str, **params: Any) -> dict[str, Any]:
        return {"kind": "sample", "model_id": model_id, "params": params}

    job = _accepted(api, guided(model, guide_dataset_id=one))
    assert job["params"]["guide_strength"] == 0.05
    problem(api.client.delete(f"/v1/datasets/{one}"), 409)
    assert fields(api.post(guided(model, guide_dataset_id=two))) == ["params.guide_dataset_id"]
    assert fields(api.post(guided(model, guide_dataset_id=one, guide_strength=1e6))) == ["params.guide_strength"]
    of_objects = rows.add_model(api.database, **OBJECT)
    assert fields(api.post(guided(of_objects, guide_dataset_id=one))) == ["params.guide_dataset_id"]


def test_a_blend_is_of_textures_with_as_many_channels_and_masks_of_one_picture(each_api: Api) -> None:
    first, other = rows.add_model(each_api.database), rows.add_model(each_api.database)
    one, two = _dataset(each_api, pictures.png()), _dataset(each_api, pictures.png(), pictures.png())

    def blended(*blend: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "sample", "model_id": first, "params": {"blend": list(blend)}}

    def refused(**entry: Any) -> str:
        body = problem(each_api.post(blended({"model_id": other, "weight": 0.5}, entry)), 422)
        (error,) = body["errors"]
        assert error["field"].startswith("params.blend[1]."), error
        return str(error["message"])

    layers = [{"filters": 4, "kernel_size": 15, "stride": 5}, {"filters": 4, "kernel_size": 7, "stride": 7}]
    strided = rows.add_model(each_api.database, layers=layers, random_lattice=False)
    for changes, said in (({"channels": 3}, "3 channels"), (OBJECT, "an object"), (PATCHES, "patches of 12")):
        assert said in refused(model_id=rows.add_model(each_api.database, **changes), weight=0.5)
    assert "multiples of 105" in refused(model_id=strided, weight=0.5)
    assert "has 2 pictures" in refused(model_id=other, mask_dataset_id=two)
    assert "needed without mask_dataset_id" in refused(model_id=other)
    problem(each_api.post(blended({"model_id": "model_gone", "weight": 0.5})), 404)
    problem(each_api.post(blended({"model_id": other, "mask_dataset_id": "dataset_gone"})), 404)
    job = _accepted(each_api, blended({"model_id": first, "weight": 0}, {"model_id": other, "mask_dataset_id": one}))
    assert job["params"]["blend"][1] == {"model_id": other, "mask_dataset_id": one, "weight": None, "softness": None}
    for path in (f"models/{other}", f"datasets/{one}"):
        assert job["id"] in problem(each_api.client.delete(f"/v1/{path}"), 409)["detail"]
    each_api.client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
    for path in (f"models/{other}", f"datasets/{one}"):
        assert each_api.client.delete(f"/v1/{path}").status_code == 204
    assert "cannot go on" in problem(each_api.client.post(f"/v1/jobs/{job['id']}/resume"), 409)["detail"]


def test_a_blend_with_anothers_model_or_mask_is_not_found(api: Api) -> None:
    ada, bob = holder(api.database, "ada"), holder(api.database, "bob")
    files = {"model": ("m.safetensors", model_file())}
    first, other = (ask(api, key, "POST", "/v1/models", files=files).json()["id"] for key in (ada, bob))
    mask = ask(api, bob, "POST", "/v1/datasets", files={"images": ("a.png", pictures.png())}).json()["id"]
    for entry in ({"model_id": other, "weight": 0.5}, {"model_id": first, "mask_dataset_id": mask}):
        body = {"kind": "sample", "model_id": first, "params": {"blend": [entry]}}
        assert "no " in problem(ask(api, ada, "POST", "/v1/jobs", json=body), 404)["detail"]
