"""Finished models at work over HTTP: reconstruct pictures, fill in transparent parts, classify."""

import json

import numpy as np
import pytest
from PIL import Image
from support import pictures
from support.pictures import encoded, pixels
from support.service import Service

SIDE = 32
QUICK = {"iterations": 150, "learning_rate": 0.003}


@pytest.fixture(scope="module")
def models(service: Service) -> list[str]:
    """The ids of two models: one of horizontal stripes, one of vertical stripes."""
    jobs = [service.train(service.upload(content), **QUICK) for content in (pictures.stripes(), _vertical_stripes())]
    return [service.succeeded(job_id)["model_id"] for job_id in jobs]


def _vertical_stripes() -> bytes:
    return encoded(Image.fromarray(pixels(pictures.stripes())).transpose(Image.Transpose.ROTATE_90), "PNG")


def _with_a_hole(content: bytes) -> bytes:
    """Return the picture at twice the model's side, so that it must be scaled, with a quarter of it transparent."""
    picture = Image.fromarray(pixels(content)).resize((2 * SIDE, 2 * SIDE)).convert("LA")
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (SIDE // 2, SIDE // 2, 3 * SIDE // 2, 3 * SIDE // 2))
    picture.putalpha(alpha)
    return encoded(picture, "PNG")


def _done(service: Service, body: dict) -> dict:
    job = service.succeeded(service.post_job(body))
    assert job["progress"]["fraction"] == 1.0
    return job


def test_pictures_are_reconstructed_in_both_modes(service: Service, models: list[str]) -> None:
    dataset_id = service.upload(pictures.stripes(), _vertical_stripes())
    body = {"kind": "reconstruct", "model_id": models[0], "dataset_id": dataset_id}
    for mode in ("one_pass", "attractor"):
        job = _done(service, {**body, "params": {"mode": mode, "steps": 50}})
        assert [one["name"] for one in job["artifacts"]] == [
            "contact-sheet.png",
            "reconstructed-000.png",
            "reconstructed-001.png",
        ]
        assert pixels(service.artifact(job, "reconstructed-001.png")).shape == (SIDE, SIDE)
        measured = job["metrics"]["reconstructions"]
        assert [one["filename"] for one in measured] == ["0.png", "1.png"]
        assert all(one["rmse"] > 0 for one in measured)
        assert job["metrics"]["mean_rmse"] == pytest.approx(np.mean([one["rmse"] for one in measured]), abs=1e-3)
        assert all((one["converged"] is None) == (mode == "one_pass") for one in measured)


def test_transparent_pixels_are_filled_in_and_the_others_stay(service: Service, models: list[str]) -> None:
    picture = _with_a_hole(pictures.stripes())
    params = {"count": 2, "steps": 20, "seed": 4}
    body = {"kind": "inpaint", "model_id": models[0], "dataset_id": service.upload(picture), "params": params}
    first, second = (_done(service, body) for _ in range(2))
    inpainted = [pixels(service.artifact(first, f"inpainted-00{index}.png")) for index in range(2)]
    assert service.artifact(first, "inpainted-000.png") == service.artifact(second, "inpainted-000.png")
    assert not np.array_equal(*inpainted)
    hole = np.zeros((SIDE, SIDE), dtype=bool)
    hole[SIDE // 4 : 3 * SIDE // 4, SIDE // 4 : 3 * SIDE // 4] = True
    assert np.array_equal(inpainted[0][~hole], inpainted[1][~hole])
    assert (inpainted[0][hole] != inpainted[1][hole]).mean() > 0.1  # each picture has its own seed
    assert [one["unknown_fraction"] for one in first["metrics"]["inpaintings"]] == [0.25, 0.25]
    refused = service.http.post("/v1/jobs", json={**body, "dataset_id": service.upload(pictures.stripes())})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["file"] == "0.png"


def test_pictures_are_classified_by_the_models_of_their_kind(service: Service, models: list[str]) -> None:
    dataset_id = service.upload(pictures.stripes(), _vertical_stripes())
    params = {"chains": 4, "temperatures": 50, "steps": 4, "seed": 2}
    job = _done(service, {"kind": "classify", "model_ids": models, "dataset_id": dataset_id, "params": params})
    found = json.loads(service.artifact(job, "classification.json"))
    assert [one["most_likely"] for one in found["pictures"]] == models
    assert all(sum(one["probabilities"].values()) == pytest.approx(1) for one in found["pictures"])
    assert job["metrics"]["most_likely"] == dict.fromkeys(models, 1)
    assert (job["model_id"], job["params"]["model_ids"]) == (None, models)


def test_a_running_inpainting_is_canceled(service: Service, models: list[str]) -> None:
    dataset_id = service.upload(_with_a_hole(pictures.stripes()))
    params = {"count": 64, "steps": 100_000}
    body = {"kind": "inpaint", "model_id": models[0], "dataset_id": dataset_id, "params": params}
    job_id = service.post_job(body)
    service.wait(job_id, lambda job: job["progress"]["iteration"] > 0)
    assert service.http.delete(f"/v1/models/{models[0]}").status_code == 409
    service.cancel(job_id)


def test_a_model_that_is_downloaded_and_imported_draws_the_same_pictures(service: Service, models: list[str]) -> None:
    content = service.http.get(f"/v1/models/{models[0]}/download").raise_for_status().content
    answer = service.http.post("/v1/models", files={"model": ("mine.safetensors", content)}, data={"name": "mine"})
    assert answer.status_code == 201, answer.text
    drawn = []
    for model_id in (models[0], answer.json()["id"]):
        job = _done(service, {"kind": "sample", "model_id": model_id, "params": {"count": 2, "steps": 10, "seed": 5}})
        drawn.append([service.artifact(job, f"synthesized-00{index}.png") for index in range(2)])
    assert drawn[0] == drawn[1]
