"""Jobs on materials: training and sampling are accepted, and what takes pictures says so."""

import math
from typing import Any

import pytest
from support import pictures, rows
from support.http import Api, problem

from core.schemas.learning_checks import MAX_PIXELS
from core.schemas.materials import MaterialMap

MAPS = (MaterialMap(role="normal", channels=3, bits=8), MaterialMap(role="albedo", channels=3, bits=8))


@pytest.fixture
def material(api: Api) -> str:
    names = {"n.png": "normal", "a.png": "albedo"}
    text = str(names).replace("'", '"')
    return str(api.upload(*((name, pictures.png()) for name in names), maps=text).json()["id"])


@pytest.fixture
def picture(api: Api) -> str:
    return str(api.upload(("a.png", pictures.with_hole(hole=(2, 2, 5, 5)))).json()["id"])


@pytest.fixture
def model(api: Api) -> str:
    return rows.add_model(api.database, 6, MAPS)


def test_training_on_a_material_is_accepted_unless_it_is_no_texture(api: Api, material: str) -> None:
    def train(preset: str = "quick", **params: Any) -> Any:
        return api.post({"kind": "train", "dataset_id": material, "preset": preset, "params": params})

    assert train().status_code == train("photo").status_code == 202
    refused = {
        "params.top": train("object-cpu"),
        "params.contrastive": train("autoencoder-cpu"),
        "params.patch_size": train(patch_size=32, boundary="valid", random_lattice=False),
        "params.num_chains": train(image_size=1024, num_chains=MAX_PIXELS // 1024**2 // 2 + 1, even_light=None),
        "params.layers": train(layers=[{"filters": 512, "kernel_size": side} for side in (63, 15)]),
    }
    for field, answer in refused.items():
        assert field in [error["field"] for error in problem(answer, 422)["errors"]], field


@pytest.mark.parametrize("kind", ["reconstruct", "inpaint", "classify"])
def test_jobs_on_pictures_refuse_materials_and_their_models(
    api: Api, material: str, picture: str, model: str, kind: str
) -> None:
    of_pictures = rows.add_model(api.database, 3)

    def refusal(model_id: str, dataset_id: str) -> tuple[str, str]:
        models = (
            {"model_ids": [model_id, rows.add_model(api.database, 3)]} if kind == "classify" else {"model_id": model_id}
        )
        (error,) = problem(api.post({"kind": kind, "dataset_id": dataset_id, **models}), 422)["errors"]
        return error["field"], error["message"]

    assert refusal(of_pictures, material)[0] == "dataset_id"
    assert "a dataset of pictures is needed" in refusal(of_pictures, material)[1]
    assert refusal(model, picture)[0] == ("model_ids[0]" if kind == "classify" else "model_id")
    assert "a model of pictures is needed" in refusal(model, picture)[1]


def test_a_material_is_sampled_at_any_size_but_not_from_pictures(api: Api, picture: str, model: str) -> None:
    def sample(model_id: str = model, **params: Any) -> Any:
        return api.post({"kind": "sample", "model_id": model_id, "params": params})

    assert sample(width=64, height=48, tileable=True).status_code == 202
    for field in ("start_dataset_id", "guide_dataset_id"):
        (error,) = problem(sample(**{field: picture}), 422)["errors"]
        assert error == {
            "field": f"params.{field}",
            "message": "must be absent: the model learned the maps of a material, not pictures",
        }
    assert problem(sample(width=8192, height=8192), 422)["errors"][0]["field"] == "params.width"
    most = math.isqrt(3 * 8192**2 // 6)  # of a material of six channels
    assert sample(width=most, height=most).status_code == 202
    two = [{"model_id": model, "weight": 0.5}]
    (error,) = problem(sample(width=most, height=most, blend=two), 422)["errors"]
    assert error["field"] == "params.width"
    assert "of 2 models" in error["message"]


def test_a_material_of_one_map_is_no_picture_to_start_from(api: Api) -> None:
    one = api.upload(("a.png", pictures.png()), maps='{"a.png": "albedo"}').json()["id"]
    body = {"kind": "sample", "model_id": rows.add_model(api.database, 3), "params": {"start_dataset_id": one}}
    (error,) = problem(api.post(body), 422)["errors"]
    assert "a dataset of pictures is needed" in error["message"]


HEIGHT = MaterialMap(role="height", channels=1, bits=8)
DIFFERENT = {
    "pictures": (
        (),
        "it learned pictures, but the job's own model the maps of a material; both must have learned the same",
    ),
    "roles": ((HEIGHT,), "it learned the maps height, but the job's own model normal, albedo"),
    "order": (MAPS[::-1], "it learned the maps in the order albedo, normal, but the job's own model normal, albedo"),
    "bits": (
        (MAPS[0], MAPS[1].model_copy(update={"bits": 16})),
        "it learned albedo of 3 channels of 16 bits, but the job's own model of 3 channels of 8 bits",
    ),
    "channels": (
        (MAPS[0], MAPS[1].model_copy(update={"channels": 1})),
        "it learned albedo of 1 channel of 8 bits, but the job's own model of 3 channels of 8 bits",
    ),
}


@pytest.mark.parametrize(("maps", "said"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_blend_of_materials_that_differ_is_refused_and_says_in_what(
    api: Api, model: str, maps: tuple[MaterialMap, ...], said: str
) -> None:
    def blended(*others: str) -> Any:
        entries = [{"model_id": other, "weight": 0.5} for other in others]
        return api.post({"kind": "sample", "model_id": model, "params": {"blend": entries}})

    other = rows.add_model(api.database, sum(one.channels for one in maps) or 6, maps)
    (error,) = problem(blended(rows.add_model(api.database, 6, MAPS), other), 422)["errors"]
    assert error == {"field": "params.blend[1].model_id", "message": f"cannot be blended: {said}"}
    assert blended(rows.add_model(api.database, 6, MAPS)).status_code == 202
