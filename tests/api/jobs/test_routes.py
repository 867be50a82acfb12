"""Jobs over HTTP: invalid ones are refused by field, valid ones created once, listed, canceled, resumed, deleted."""

import re
from typing import Any

import pytest
from support import rows
from support.http import Api, fields, problem, training
from support.valkey import Valkey, messages

from core.jobs import outcomes, requests, running
from core.recipe.presets import PRESETS
from core.schemas.jobs import Queue
from core.schemas.sampling import SHARD_PICTURES

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def _layers(**values: Any) -> dict[str, Any]:
    return {"layers": [{"filters": 8, "kernel_size": 5, **values}]}


def test_an_accepted_job_is_fully_resolved(each_api: Api, each_dataset: str) -> None:
    job = each_api.accepted(training(each_dataset, iterations=3))
    assert (job["kind"], job["status"], job["queue_position"], job["attempt"]) == ("train", "queued", 1, 0)
    quick = PRESETS["quick"].model_dump(mode="json")
    assert job["params"] == {**quick, "iterations": 3, "seed": job["params"]["seed"]}
    assert isinstance(job["params"]["seed"], int)
    assert (job["preset"], job["dataset_id"], job["model_id"], job["artifacts"]) == ("quick", each_dataset, None, [])
    assert (job["progress"]["stages"], job["progress"]["iterations"]) == (PRESETS["quick"].stages, 3)
    assert MOMENT.fullmatch(job["created_at"])
    assert (job["started_at"], job["finished_at"], job["error"]) == (None, None, None)
    assert each_api.client.get(f"/v1/jobs/{job['id']}").json() == job


def test_a_job_says_what_its_dataset_is_called(each_api: Api) -> None:
    sets = [rows.add_dataset(each_api.database, *of) for of in (("Bricks", 2), (None, 1), (None, 3))]
    jobs = [each_api.accepted(training(one.id)) for one in sets]
    assert [job["dataset_name"] for job in jobs] == ["Bricks", "0.png", "0.png and 2 more"]
    each_api.client.post(f"/v1/jobs/{jobs[1]['id']}/cancel")
    each_api.client.delete(f"/v1/datasets/{sets[1].id}").raise_for_status()
    listed = each_api.client.get("/v1/jobs").json()["data"]
    assert [job["dataset_name"] for job in listed] == ["0.png and 2 more", None, "Bricks"]


def test_a_job_says_what_its_model_will_be_called(each_api: Api, each_dataset: str) -> None:
    named = each_api.accepted({**training(each_dataset), "model_name": "Bricks"})
    assert [named["model_name"], each_api.accepted(training(each_dataset))["model_name"]] == ["Bricks", None]
    assert fields(each_api.post({**training(each_dataset), "model_name": "x" * 201})) == ["model_name"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        (_layers(kernel_size=0), "params.layers[0].kernel_size"),
        (_layers(kernel_size=64), "params.layers[0].kernel_size"),
        (_layers(kernel_size="five"), "params.layers[0].kernel_size"),
        (_layers(filters=0), "params.layers[0].filters"),
        (_layers(stride=17), "params.layers[0].stride"),
        (_layers(padding=1), "params.layers[0].padding"),
        ({"image_size": 16, **_layers(kernel_size=17)}, "params.layers"),
        ({"layers": []}, "params.layers"),
        ({"layers": None}, "params.layers"),
        ({"layers": [{"filters": 8}]}, "params.layers[0].kernel_size"),
        ({"reference_std": 1.0, "step_size": 2.0}, "params.step_size"),
        ({"step_size": 0}, "params.step_size"),
        ({"step_size": -0.1}, "params.step_size"),
        ({"reference_std": 0.1}, "params.reference_std"),
        ({"reference_std": 0}, "params.reference_std"),
        ({"num_chains": 0}, "params.num_chains"),
        ({"num_chains": 257}, "params.num_chains"),
        ({"num_chains": 1.5}, "params.num_chains"),
        ({"num_chains": 10**400}, "params.num_chains"),
        ({"langevin_steps": 0}, "params.langevin_steps"),
        ({"iterations": 100_001}, "params.iterations"),
        ({"image_size": 15}, "params.image_size"),
        ({"image_size": 4097}, "params.image_size"),
        ({"learning_rate": 0}, "params.learning_rate"),
        ({"seed": -1}, "params.seed"),
        ({"seed": 2**63}, "params.seed"),
        ({"precision": "float64"}, "params.precision"),
        ({"boundary": "reflect"}, "params.boundary"),
        ({"initialization": "ones"}, "params.initialization"),
        ({"layerwise": "perhaps"}, "params.layerwise"),
        ({"checkpoint_seconds": 0}, "params.checkpoint_seconds"),
        ({"processes": 0}, "params.processes"),
        ({"processes": 65}, "params.processes"),
        ({"processes": 2}, "params.processes"),  # of one chain and one picture
        ({"processes": 4, "num_chains": 3}, "params.processes"),
        ({"epsilon": 0.1}, "params.epsilon"),
    ],
)
def test_an_invalid_parameter_is_refused(api: Api, dataset: str, params: dict[str, Any], field: str) -> None:
    assert fields(api.post(training(dataset, **params))) == [field]
    assert rows.count(api.database)["jobs"] == 0


@pytest.mark.parametrize("field", ["step_size", "reference_std", "learning_rate", "checkpoint_seconds"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_number_that_is_not_finite_is_refused(api: Api, dataset: str, field: str, number: str) -> None:
    body = f'{{"kind": "train", "dataset_id": "{dataset}", "params": {{"{field}": {number}}}}}'
    answer = api.client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert fields(answer) == [f"params.{field}"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "paint"}, "kind"),
        ({"kind": "train"}, "dataset_id"),
        ({"kind": "train", "dataset_id": 5}, "dataset_id"),
        ({"kind": "train", "dataset_id": ""}, "dataset_id"),
        ({"kind": "train", "dataset_id": "d" * 41}, "dataset_id"),
        ({"kind": "train", "dataset_id": "d", "preset": "slow"}, "preset"),
        ({"kind": "train", "dataset_id": "d", "params": []}, "params"),
        ({"kind": "train", "dataset_id": "d", "params": None}, "params"),
        ({"kind": "train", "dataset_id": "d", "model_id": "m"}, "model_id"),
        ({"kind": "sample"}, "model_id"),
        ({"kind": "sample", "model_id": "m", "params": {"count": 0}}, "params.count"),
        ({"kind": "sample", "model_id": "m", "params": {"width": 8193}}, "params.width"),
        ({"kind": "sample", "model_id": "m", "preset": "quick"}, "preset"),
        ([], "body"),
        ("train", "body"),
        (None, "body"),
    ],
)
def test_an_invalid_body_is_refused(api: Api, body: object, field: str) -> None:
    assert fields(api.post(body)) == [field]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "kind: is missing; it is one of train, sample, reconstruct, inpaint, classify"),
        ({"kind": "paint"}, "kind: must be one of train, sample, reconstruct, inpaint, classify"),
        ({"kind": "sample"}, "model_id: is missing"),
        ({"kind": "sample", "model_id": "m", "preset": "quick"}, "preset: does not belong here"),
        (
            {"kind": "train", "dataset_id": "d", "name": "n"},
            "name: does not belong here; a training job names its model by model_name",
        ),
        (
            {"kind": "train", "dataset_id": "d", "params": {"orientations": [0, 45]}},
            (
                "params.orientations: 45 is no orientation; they are 0, 90, 180, 270, flipped-0, flipped-90, "
                'flipped-180, flipped-270, any: for example ["0", "90"], or "any"'
            ),
        ),
        ({"kind": "sample", "model_id": "m", "params": {"nosuch": 1}}, "params.nosuch: is not a parameter"),
        ({"kind": "sample", "model_id": "m", "params": []}, "params: must be a JSON object"),
        ({"kind": "classify", "model_ids": ["m"], "dataset_id": "d"}, "model_ids: must have at least 2 items"),
        ({"kind": "train", "dataset_id": "d", "params": {"layers": []}}, "params.layers: must have at least 1 item"),
        (
            {"kind": "train", "dataset_id": "d", "params": {"iteration": 9}},
            "params.iteration: is not a parameter; did you mean iterations?",
        ),
        (
            {"kind": "sample", "model_id": "m", "params": {"tilable": 1}},
            "params.tilable: is not a parameter; did you mean tileable?",
        ),
        ({"kind": "train", "dataset_id": "d", "params": {"iterations": 0}}, "params.iterations: must be at least 1"),
        (
            {"kind": "train", "dataset_id": "d", "params": {"num_chains": 5000}},
            "params.num_chains: must be at most 256",
        ),
        (
            {"kind": "train", "dataset_id": "d", "params": {"iterations": "many"}},
            "params.iterations: must be a valid integer, unable to parse string as an integer",
        ),
        (
            {"kind": "train", "dataset_id": "d", "params": {"top": "round"}},
            "params.top: must be 'convolutional', 'object' or 'category'",
        ),
        ([], "body: must be a JSON object"),
    ],
)
def test_a_refusal_speaks_of_the_request_not_of_types_in_python(api: Api, body: object, detail: str) -> None:
    assert problem(api.post(body), 422)["detail"] == detail


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"kind": "train"', b"[" * 100_000, b"1" * 10_000])
def test_a_body_that_is_not_json_is_refused(api: Api, content: bytes) -> None:
    problem(api.client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"}), 400, 422)


def test_an_unknown_dataset_or_model_is_refused(each_api: Api) -> None:
    for name in ("none", "\u0000", "' OR 1=1 --", "ü"):
        problem(each_api.post(training(name)), 404, 422)
        problem(each_api.post({"kind": "sample", "model_id": name}), 404, 422)
    assert "dataset" in problem(each_api.post(training("none")), 404)["detail"]


def test_a_step_size_too_large_for_the_model_is_refused(each_api: Api) -> None:
    model_id = rows.add_model(each_api.database)
    quick = PRESETS["quick"]
    body = {"kind": "sample", "model_id": model_id, "params": {"step_size": 2 * quick.reference_std}}
    assert fields(each_api.post(body)) == ["params.step_size"]
    job = each_api.accepted({"kind": "sample", "model_id": model_id, "params": {"count": 2, "width": 200}})
    assert (job["params"]["width"], job["params"]["height"], job["params"]["step_size"]) == (
        200,
        quick.image_size,
        quick.step_size,
    )
    assert job["model_id"] == model_id


def test_a_job_of_many_pictures_is_split_into_shards(each_api: Api, valkey: Valkey) -> None:
    body = {"kind": "sample", "model_id": rows.add_model(each_api.database)}
    few = each_api.accepted({**body, "params": {"count": SHARD_PICTURES}}, "few")
    many = {**body, "params": {"count": 2 * SHARD_PICTURES + 1, "seed": 5}}
    job = each_api.accepted(many, "many")
    assert each_api.accepted(many, "many") == job
    assert (job["params"]["count"], job["progress"]["stages"], job["queue_position"]) == (17, 17, 2)
    with valkey.client() as redis:
        assert messages(redis, Queue.SAMPLE).count(job["id"]) == 3
    shards = rows.shards(each_api.database, job["id"])
    assert [(shard.first, shard.params["count"], shard.params["seed"]) for shard in shards] == [
        (0, 8, 5),
        (8, 8, 5),
        (16, 1, 5),
    ]
    listed = each_api.client.get("/v1/jobs", params={"kind": "sample"}).json()["data"]
    assert [one["id"] for one in listed] == [job["id"], few["id"]]
    for path in ("", "/events", "/metrics", "/artifacts.zip"):
        problem(each_api.client.get(f"/v1/jobs/{shards[0].id}{path}"), 404)
    problem(each_api.client.post(f"/v1/jobs/{shards[0].id}/cancel"), 404)
    problem(each_api.client.delete(f"/v1/jobs/{shards[0].id}"), 404)
    assert each_api.client.post(f"/v1/jobs/{job['id']}/cancel").json()["status"] == "canceled"
    assert each_api.client.post(f"/v1/jobs/{job['id']}/resume").json()["status"] == "queued"
    assert each_api.client.post(f"/v1/jobs/{job['id']}/cancel").status_code == 202
    assert each_api.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert rows.shards(each_api.database, few["id"]) == []


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_an_invalid_idempotency_key_is_refused(api: Api, dataset: str, key: str) -> None:
    assert fields(api.post(training(dataset), key)) == ["idempotency-key"]


def test_jobs_are_listed_newest_first_with_filters_and_pages(each_api: Api, each_dataset: str) -> None:
    model_id = rows.add_model(each_api.database)
    train = [each_api.accepted(training(each_dataset))["id"] for _ in range(4)]
    sample = each_api.accepted({"kind": "sample", "model_id": model_id})["id"]
    each_api.client.post(f"/v1/jobs/{train[0]}/cancel")

    def ids(**query: Any) -> list[str]:
        return [job["id"] for job in each_api.client.get("/v1/jobs", params=query).raise_for_status().json()["data"]]

    assert ids(status="queued") == [sample, *train[:0:-1]]
    assert ids(status="queued", kind="train") == train[:0:-1]
    assert ids(kind="sample") == [sample]
    assert ids(status="canceled") == train[:1]
    assert ids(status="running") == []
    seen, query = [], {"limit": 2}
    while True:
        page = each_api.client.get("/v1/jobs", params=query).json()
        seen += [job["id"] for job in page["data"]]
        if not page["has_more"]:
            assert page["next"] is None
            break
        query = {"limit": 2, "after": page["next"]}
    assert seen[:5] == [sample, *train[::-1]]
    assert len(seen) == 6
    positions = [
        job["queue_position"] for job in each_api.client.get("/v1/jobs", params={"kind": "train"}).json()["data"]
    ]
    assert positions[:4] == [3, 2, 1, None]


@pytest.mark.parametrize(
    ("query", "field"),
    [({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"status": "lost"}, "status"), ({"kind": "paint"}, "kind")],
)
def test_an_invalid_listing_is_refused(api: Api, query: dict[str, Any], field: str) -> None:
    assert fields(api.client.get("/v1/jobs", params=query)) == [field]


def test_a_page_after_an_unknown_id_is_not_found(each_api: Api) -> None:
    problem(each_api.client.get("/v1/jobs", params={"after": "job_none"}), 404)
    problem(each_api.client.get("/v1/jobs", params={"after": "\u0000"}), 404, 422)


def test_deleting_a_job_deletes_its_files_and_keeps_its_model(each_api: Api) -> None:
    lease = rows.claimed(each_api.database)
    before = each_api.stored()[1]
    kept = each_api.blobs.put(lease.path("checkpoint"), b"c")
    running.checkpoint(each_api.database, lease, kept)
    shown = rows.artifact()
    shown = type(shown)(shown.name, shown.media_type, each_api.blobs.put(lease.path("a.png"), b"a"), 1, 1)
    model = rows.new_model()
    outcomes.succeed(each_api.database, lease, [shown], rows.DONE, model=model)
    assert each_api.client.delete(f"/v1/jobs/{lease.job_id}").status_code == 204
    assert each_api.stored()[1] == before
    assert rows.count(each_api.database)["artifacts"] == 0
    assert each_api.client.get(f"/v1/models/{model.id}").json()["job_id"] == lease.job_id


def test_metrics_and_progress_are_shown(each_api: Api) -> None:
    lease = rows.claimed(each_api.database)
    running.record(each_api.database, lease, rows.DONE, [(1, {"energy": 2.5}), (2, {"energy": 1.5})])
    url = f"/v1/jobs/{lease.job_id}"
    assert each_api.client.get(f"{url}/metrics").json() == {
        "data": [{"step": 1, "energy": 2.5}, {"step": 2, "energy": 1.5}]
    }
    job = each_api.client.get(url).json()
    assert job["metrics"] == {"energy": 1.5}
    assert job["progress"]["fraction"] == 1.0
    problem(each_api.client.get("/v1/jobs/none/metrics"), 404)


def test_the_request_id_is_stored_with_the_job(each_api: Api, each_dataset: str) -> None:
    answer = each_api.client.post("/v1/jobs", json=training(each_dataset), headers={"X-Request-ID": "my-request:1"})
    assert requests.find(each_api.database, answer.json()["id"]).request_id == "my-request:1"
