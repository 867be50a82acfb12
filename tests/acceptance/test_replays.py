"""Pictures are made again from what their files say, by a real service: byte for byte the same."""

import io
from typing import Any

from PIL import Image
from support import pictures
from support.service import Service

from core.pictures.origin import read_origin


def _replayed(service: Service, picture: bytes) -> dict[str, Any]:
    answer = service.http.post("/v1/replays", files={"image": ("found.png", picture, "image/png")})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    return service.succeeded(answer.json()["id"])


def test_each_kind_of_picture_is_made_again(service: Service) -> None:
    hole = io.BytesIO()
    picture = Image.open(io.BytesIO(pictures.stripes())).convert("LA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(hole, "PNG")
    opaque = pictures.encoded(picture.convert("L").crop((0, 0, 32, 32)), "PNG")  # as large as the model's pictures
    holes, others = service.upload(hole.getvalue()), service.upload(opaque)
    trained = service.succeeded(service.train(holes, iterations=15))  # from its opaque part
    model_id = trained["model_id"]
    drawn = {"count": 3, "steps": 5, "width": 40}
    controls = {"start_dataset_id": others, "guide_dataset_id": holes, "guide_strength": 0.3}
    bodies = [
        {"kind": "sample", "model_id": model_id, "params": drawn},
        {"kind": "sample", "model_id": model_id, "params": {**drawn, **controls, "end_dataset_id": holes}},
        {"kind": "inpaint", "model_id": model_id, "dataset_id": holes, "params": {"count": 2, "steps": 5}},
        {"kind": "inpaint", "model_id": model_id, "dataset_id": others, "params": {"seam": True, "steps": 5}},
        {"kind": "reconstruct", "model_id": model_id, "dataset_id": others},
    ]
    made = [trained, *(service.succeeded(service.post_job(body)) for body in bodies)]
    names = ["synthesized-001.png", "synthesized-002.png", "synthesized-002.png"]
    names += ["inpainted-001.png", "inpainted-000.png", "reconstructed-000.png"]
    for job, name in zip(made, names, strict=True):
        original = service.artifact(job, name)
        origin = read_origin(io.BytesIO(original))
        assert (origin.kind, origin.precision) == (job["kind"], job["metrics"].get("precision", "float32"))
        again = _replayed(service, original)
        assert again["replays"]["name"] == origin.name
        assert service.artifact(again, origin.name) == original
        named = {key: job["params"][key] for key in origin.datasets}
        assert (again["kind"], again["params"], again["preset"]) == (job["kind"], {**origin.params, **named}, None)
        assert [one for one in again["metrics"]["remarks"] if "made with" in one] == []
        if job["kind"] != "sample":
            assert again["params"] == job["params"]
            assert origin.name == name
    model = service.http.get(f"/v1/models/{model_id}").json()
    assert origin.model == model["sha256"]
    assert read_origin(io.BytesIO(service.artifact(trained, names[0]))).model == model["sha256"]
    same = [one["id"] for one in service.http.get("/v1/models").json()["data"] if one["sha256"] == model["sha256"]]
    for one in same:  # the model, and what its own picture made again
        service.http.delete(f"/v1/models/{one}").raise_for_status()
    gone = service.http.post("/v1/replays", files={"image": service.artifact(made[1], names[1])})
    assert gone.status_code == 404
    assert any(f"({one} in job job_" in gone.json()["detail"] for one in same)
