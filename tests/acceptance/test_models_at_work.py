"""Finished models put to use over HTTP: pictures reconstructed, painted where they are transparent, told apart."""

import io
import json

import numpy as np
import pytest
from acceptance.conftest import Service, read_picture
from PIL import Image
from support import pictures

SIDE = 32
QUICK = {"iterations": 150, "learning_rate": 0.003}


@pytest.fixture(scope="module")
def models(service: Service) -> list[str]:
    """Of stripes that lie, and of stripes that stand."""
    jobs = [
        service.train(_upload(service, content), **QUICK)
        for content in (pictures.stripes(), _turned(pictures.stripes()))
    ]
    ended = [service.ended(job_id) for job_id in jobs]
    assert [job["status"] for job in ended] == ["succeeded"] * 2, ended
    return [job["model_id"] for job in ended]


def _upload(service: Service, *contents: bytes) -> str:
    parts = [("images", (f"{index}.png", content, "image/png")) for index, content in enumerate(contents)]
    answer = service.client.post("/v1/datasets", files=parts)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def _turned(content: bytes) -> bytes:
    return _png(Image.fromarray(read_picture(content)).transpose(Image.Transpose.ROTATE_90))


def _holed(content: bytes) -> bytes:
    """Twice the model's side, so that it is scaled; a quarter of it transparent."""
    picture = Image.fromarray(read_picture(content)).resize((2 * SIDE, 2 * SIDE)).convert("LA")
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (SIDE // 2, SIDE // 2, 3 * SIDE // 2, 3 * SIDE // 2))
    picture.putalpha(alpha)
    return _png(picture)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _done(service: Service, body: dict) -> dict:
    job = service.ended(service.accepted(body)["id"])
    assert job["status"] == "succeeded", job
    assert job["progress"]["fraction"] == 1.0
    return job


def _file(service: Service, job: dict, name: str) -> bytes:
    return service.client.get(f"/v1/jobs/{job['id']}/artifacts/{name}").raise_for_status().content


def test_pictures_are_reconstructed_in_both_modes(service: Service, models: list[str]) -> None:
    dataset_id = _upload(service, pictures.stripes(), _turned(pictures.stripes()))
    body = {"kind": "reconstruct", "model_id": models[0], "dataset_id": dataset_id}
    for mode in ("one_pass", "attractor"):
        job = _done(service, {**body, "params": {"mode": mode, "steps": 50}})
        assert [one["name"] for one in job["artifacts"]] == [
            "contact-sheet.png",
            "reconstructed-000.png",
            "reconstructed-001.png",
        ]
        assert read_picture(_file(service, job, "reconstructed-001.png")).shape == (SIDE, SIDE)
        told = job["metrics"]["reconstructions"]
        assert [one["filename"] for one in told] == ["0.png", "1.png"]
        assert all(one["rmse"] > 0 for one in told)
        assert job["metrics"]["mean_rmse"] == pytest.approx(np.mean([one["rmse"] for one in told]), abs=1e-3)
        assert all((one["converged"] is None) == (mode == "one_pass") for one in told)


def test_the_transparent_part_is_painted_and_the_rest_stays(service: Service, models: list[str]) -> None:
    picture = _holed(pictures.stripes())
    params = {"count": 2, "steps": 20, "seed": 4}
    body = {"kind": "inpaint", "model_id": models[0], "dataset_id": _upload(service, picture), "params": params}
    first, second = (_done(service, body) for _ in range(2))
    painted = [read_picture(_file(service, first, f"inpainted-00{index}.png")) for index in range(2)]
    assert _file(service, first, "inpainted-000.png") == _file(service, second, "inpainted-000.png")
    assert not np.array_equal(*painted)
    hole = np.zeros((SIDE, SIDE), dtype=bool)
    hole[SIDE // 4 : 3 * SIDE // 4, SIDE // 4 : 3 * SIDE // 4] = True
    assert np.array_equal(painted[0][~hole], painted[1][~hole])
    assert (painted[0][hole] != painted[1][hole]).mean() > 0.1  # each from a seed of its own
    assert [one["unknown_fraction"] for one in first["metrics"]["inpaintings"]] == [0.25, 0.25]
    refused = service.client.post("/v1/jobs", json={**body, "dataset_id": _upload(service, pictures.stripes())})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["file"] == "0.png"


def test_models_tell_their_own_pictures_apart(service: Service, models: list[str]) -> None:
    dataset_id = _upload(service, pictures.stripes(), _turned(pictures.stripes()))
    params = {"chains": 4, "temperatures": 50, "steps": 4, "seed": 2}
    job = _done(service, {"kind": "classify", "model_ids": models, "dataset_id": dataset_id, "params": params})
    found = json.loads(_file(service, job, "classification.json"))
    assert [one["most_likely"] for one in found["pictures"]] == models
    assert all(sum(one["probabilities"].values()) == pytest.approx(1) for one in found["pictures"])
    assert job["metrics"]["most_likely"] == dict.fromkeys(models, 1)
    assert (job["model_id"], job["params"]["model_ids"]) == (None, models)


def test_a_running_inpainting_is_canceled(service: Service, models: list[str]) -> None:
    dataset_id = _upload(service, _holed(pictures.stripes()))
    params = {"count": 64, "steps": 100_000}
    body = {"kind": "inpaint", "model_id": models[0], "dataset_id": dataset_id, "params": params}
    job_id = service.accepted(body)["id"]
    service.wait(job_id, lambda job: job["progress"]["iteration"] > 0)
    assert service.client.delete(f"/v1/models/{models[0]}").status_code == 409
    assert service.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert service.ended(job_id)["status"] == "canceled"


def test_a_model_that_is_downloaded_and_imported_draws_the_same_pictures(service: Service, models: list[str]) -> None:
    content = service.client.get(f"/v1/models/{models[0]}/download").raise_for_status().content
    answer = service.client.post("/v1/models", files={"model": ("mine.safetensors", content)}, data={"name": "mine"})
    assert answer.status_code == 201, answer.text
    drawn = []
    for model_id in (models[0], answer.json()["id"]):
        job = _done(service, {"kind": "sample", "model_id": model_id, "params": {"count": 2, "steps": 10, "seed": 5}})
        drawn.append([_file(service, job, f"synthesized-00{index}.png") for index in range(2)])
    assert drawn[0] == drawn[1]
