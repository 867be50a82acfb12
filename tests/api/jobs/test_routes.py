"""Jobs over HTTP: invalid ones are refused by field, valid ones created once, listed, canceled, resumed, deleted."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support import rows
from support.http import Api, fields, problem
from support.valkey import Valkey, messages

from core.jobs import leases, outcomes, requests, running
from core.recipe.presets import PRESETS
from core.schemas.jobs import Progress, Queue
from core.schemas.sampling import SHARD_PICTURES

CLIENTS = 8
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def _train(dataset_id: str, **params: Any) -> dict[str, Any]:
    return {"kind": "train", "dataset_id": dataset_id, "params": params}


def _layers(**values: Any) -> dict[str, Any]:
    return {"layers": [{"filters": 8, "kernel_size": 5, **values}]}


def _accepted(api: Api, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    answer = api.post(body, key)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


def test_an_accepted_job_is_fully_resolved(each_api: Api, each_dataset: str) -> None:
    job = _accepted(each_api, _train(each_dataset, iterations=3))
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
    jobs = [_accepted(each_api, _train(one.id)) for one in sets]
    assert [job["dataset_name"] for job in jobs] == ["Bricks", "0.png", "0.png and 2 more"]
    each_api.client.post(f"/v1/jobs/{jobs[1]['id']}/cancel")
    each_api.client.delete(f"/v1/datasets/{sets[1].id}").raise_for_status()
    listed = each_api.client.get("/v1/jobs").json()["data"]
    assert [job["dataset_name"] for job in listed] == ["0.png and 2 more", None, "Bricks"]


def test_a_job_says_what_its_model_will_be_called(each_api: Api, each_dataset: str) -> None:
    named = _accepted(each_api, {**_train(each_dataset), "model_name": "Bricks"})
    assert [named["model_name"], _accepted(each_api, _train(each_dataset))["model_name"]] == ["Bricks", None]
    assert fields(each_api.post({**_train(each_dataset), "model_name": "x" * 201})) == ["model_name"]


def test_a_worker_is_notified_of_a_new_job(each_api: Api, each_dataset: str, valkey: Valkey) -> None:
    job = _accepted(each_api, _train(each_dataset))
    with valkey.client() as redis:
        assert job["id"] in messages(redis)


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
    assert fields(api.post(_train(dataset, **params))) == [field]
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
        problem(each_api.post(_train(name)), 404, 422)
        problem(each_api.post({"kind": "sample", "model_id": name}), 404, 422)
    assert "dataset" in problem(each_api.post(_train("none")), 404)["detail"]


def test_a_step_size_too_large_for_the_model_is_refused(each_api: Api) -> None:
    model_id = rows.add_model(each_api.database)
    quick = PRESETS["quick"]
    body = {"kind": "sample", "model_id": model_id, "params": {"step_size": 2 * quick.reference_std}}
    assert fields(each_api.post(body)) == ["params.step_size"]
    job = _accepted(each_api, {"kind": "sample", "model_id": model_id, "params": {"count": 2, "width": 200}})
    assert (job["params"]["width"], job["params"]["height"], job["params"]["step_size"]) == (
        200,
        quick.image_size,
        quick.step_size,
    )
    assert job["model_id"] == model_id


def test_a_job_of_many_pictures_is_split_into_shards(each_api: Api, valkey: Valkey) -> None:
    body = {"kind": "sample", "model_id": rows.add_model(each_api.database)}
    few = _accepted(each_api, {**body, "params": {"count": SHARD_PICTURES}}, "few")
    many = {**body, "params": {"count": 2 * SHARD_PICTURES + 1, "seed": 5}}
    job = _accepted(each_api, many, "many")
    assert _accepted(each_api, many, "many") == job
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


def test_the_same_key_and_body_return_the_same_job(each_api: Api, each_dataset: str) -> None:
    first = _accepted(each_api, _train(each_dataset, iterations=3), "k")
    assert _accepted(each_api, _train(each_dataset, iterations=3), "k") == first
    assert _accepted(each_api, {**_train(each_dataset, iterations=3)}, "other")["id"] != first["id"]
    assert "Idempotency-Key" in problem(each_api.post(_train(each_dataset, iterations=4), "k"), 409)["detail"]
    assert rows.count(each_api.database)["jobs"] == 2


def test_the_same_key_returns_the_same_job_after_it_has_ended(each_api: Api, each_dataset: str) -> None:
    first = _accepted(each_api, _train(each_dataset), "k")
    outcomes.succeed(each_api.database, rows.claim(each_api.database), [], rows.DONE)
    assert each_api.client.delete(f"/v1/datasets/{each_dataset}").status_code == 204
    again = _accepted(each_api, _train(each_dataset), "k")
    assert (again["id"], again["status"]) == (first["id"], "succeeded")


def test_a_refused_request_leaves_its_key_free(each_api: Api, each_dataset: str) -> None:
    problem(each_api.post(_train("none"), "k"), 404)
    problem(each_api.post(_train(each_dataset, num_chains=0), "k"), 422)
    _accepted(each_api, _train(each_dataset), "k")


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_an_invalid_idempotency_key_is_refused(api: Api, dataset: str, key: str) -> None:
    assert fields(api.post(_train(dataset), key)) == ["idempotency-key"]


def test_concurrent_requests_with_one_key_create_one_job(each_api: Api, each_dataset: str) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda _: _accepted(each_api, _train(each_dataset), "k")["id"], range(CLIENTS)))
    assert len(set(answers)) == 1
    assert rows.count(each_api.database)["jobs"] == 1


def test_jobs_are_listed_newest_first_with_filters_and_pages(each_api: Api, each_dataset: str) -> None:
    model_id = rows.add_model(each_api.database)
    train = [_accepted(each_api, _train(each_dataset))["id"] for _ in range(4)]
    sample = _accepted(each_api, {"kind": "sample", "model_id": model_id})["id"]
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


def test_a_queued_job_is_canceled_at_once_and_only_once(each_api: Api, each_dataset: str) -> None:
    url = f"/v1/jobs/{_accepted(each_api, _train(each_dataset))['id']}"
    problem(each_api.client.delete(url), 409)
    answer = each_api.client.post(f"{url}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "canceled")
    assert answer.json()["finished_at"]
    problem(each_api.client.post(f"{url}/cancel"), 409)
    assert each_api.client.delete(url).status_code == 204
    for ask in (each_api.client.get, each_api.client.delete):
        problem(ask(url), 404)
    problem(each_api.client.post(f"{url}/cancel"), 404)


def test_canceling_a_running_job_leaves_the_end_to_its_worker(each_api: Api) -> None:
    lease = rows.claimed(each_api.database)
    url = f"/v1/jobs/{lease.job_id}"
    answer = each_api.client.post(f"{url}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    problem(each_api.client.delete(url), 409)
    problem(each_api.client.post(f"{url}/resume"), 409)
    assert leases.renew(each_api.database, lease, rows.LONG)


def _ended(api: Api, dataset_id: str, end: str) -> str:
    """Return the URL of a job of 10 iterations that has ended with the status `end`."""
    url = f"/v1/jobs/{_accepted(api, _train(dataset_id, iterations=10))['id']}"
    lease = rows.claim(api.database)
    if end == "succeeded":
        outcomes.succeed(api.database, lease, [], rows.DONE)
    elif end == "failed":
        outcomes.fail(api.database, lease, {"type": "diverged", "detail": "the chains diverged"})
    else:
        outcomes.cancel(api.database, lease)
    assert api.client.get(url).json()["status"] == end
    return url


@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_a_failed_or_canceled_job_resumes(each_api: Api, each_dataset: str, end: str) -> None:
    url = _ended(each_api, each_dataset, end)
    assert (each_api.client.get(url).json()["error"] is not None) == (end == "failed")
    answer = each_api.client.post(f"{url}/resume")
    assert answer.status_code == 202
    job = answer.json()
    assert (job["status"], job["error"], job["finished_at"], job["params"]["iterations"]) == ("queued", None, None, 10)
    problem(each_api.client.post(f"{url}/resume"), 409)


def test_a_job_says_where_it_would_continue(each_api: Api, each_dataset: str) -> None:
    posted = _accepted(each_api, _train(each_dataset))
    url = f"/v1/jobs/{posted['id']}"
    assert posted["continues_from"] == "start"
    assert each_api.client.post(f"{url}/cancel").json()["continues_from"] == "start"
    resumed = each_api.client.post(f"{url}/resume").json()
    assert (resumed["status"], resumed["continues_from"]) == ("queued", "start")
    running.checkpoint(each_api.database, rows.claim(each_api.database), each_api.blobs.put("c/1", b"abc"))
    assert each_api.client.post(f"{url}/cancel").json()["continues_from"] == "checkpoint"
    rows.alter(each_api.database, posted["id"], status="succeeded")
    assert each_api.client.get(url).json()["continues_from"] == "checkpoint"  # with more iterations
    rows.alter(each_api.database, posted["id"], checkpoint=None)
    assert each_api.client.get(url).json()["continues_from"] is None


def test_a_succeeded_job_resumes_only_with_more_iterations(each_api: Api, each_dataset: str) -> None:
    url = _ended(each_api, each_dataset, "succeeded")
    for body in (None, {}, {"params": None}, {"params": {"iterations": 10}}, {"params": {"iterations": 3}}):
        problem(each_api.client.post(f"{url}/resume", json=body), 409)
    for wrong in ({"params": {"iterations": 0}}, {"params": {"iterations": 100_001}}):
        assert fields(each_api.client.post(f"{url}/resume", json=wrong)) == ["params.iterations"]
    assert fields(each_api.client.post(f"{url}/resume", json={"params": {"seed": 1}}))
    answer = each_api.client.post(f"{url}/resume", json={"params": {"iterations": 20}})
    assert (answer.status_code, answer.json()["params"]["iterations"]) == (202, 20)
    assert rows.claim(each_api.database).params["iterations"] == 20


def test_a_job_that_ended_early_resumes_up_to_its_own_iterations_and_does_not_stop_early_again(
    api: Api, dataset: str
) -> None:
    params = {"iterations": 100, "stop_when_steady": True}
    url = f"/v1/jobs/{_accepted(api, _train(dataset, **params))['id']}"
    ended = Progress(iteration=65, iterations=65, fraction=1.0)
    outcomes.succeed(api.database, rows.claim(api.database), [], ended, metrics={"steady_at": 40})
    refused = problem(api.client.post(f"{url}/resume"), 409)
    assert "ended after 65 of 100 iterations" in refused["detail"]
    assert fields(api.client.post(f"{url}/resume", json={"params": {"iterations": 99}})) == ["params.iterations"]
    resumed = api.client.post(f"{url}/resume", json={"params": {"iterations": 100}}).json()
    assert (resumed["status"], resumed["params"]["iterations"], resumed["params"]["stop_when_steady"]) == (
        "queued",
        100,
        False,
    )


def _with_canvas(api: Api, dataset: str, stage: int, checkpoint: str | None = None) -> str:
    """Return the URL of a job of 10 iterations on windows and 6 on a canvas, canceled within `stage`."""
    params = {"image_size": 64, "patch_size": 32, "iterations": 10, "canvas_iterations": 6}
    job = _accepted(api, _train(dataset, **params))
    assert (job["progress"]["stages"], job["progress"]["iterations"]) == (2, 10)
    lease = rows.claim(api.database)
    running.record(api.database, lease, Progress(stage=stage, stages=2, iteration=3, iterations=10), [])
    if checkpoint is not None:
        running.checkpoint(api.database, lease, api.blobs.put(lease.path(checkpoint), b"abc"))
    outcomes.cancel(api.database, lease)
    return f"/v1/jobs/{job['id']}"


def test_a_job_with_a_canvas_resumes_with_more_iterations_of_either_stage(api: Api, dataset: str) -> None:
    url = _with_canvas(api, dataset, stage=1)
    wanted = {"iterations": 20, "canvas_iterations": 7}
    resumed = api.client.post(f"{url}/resume", json={"params": wanted}).json()
    assert {name: resumed["params"][name] for name in wanted} == wanted
    refused = api.client.post(f"{_with_canvas(api, dataset, 1)}/resume", json={"params": {"canvas_iterations": 5}})
    assert fields(refused) == ["params.canvas_iterations"]


@pytest.mark.parametrize("checkpoint", [None, "checkpoint-0-10.safetensors"])
def test_a_job_whose_canvas_was_lost_resumes_with_more_windows(api: Api, dataset: str, checkpoint: str | None) -> None:
    """What counts is where the next attempt begins, not what was reported last."""
    url = _with_canvas(api, dataset, stage=2, checkpoint=checkpoint)
    assert api.client.post(f"{url}/resume", json={"params": {"iterations": 20}}).json()["params"]["iterations"] == 20


def test_a_job_that_has_begun_its_canvas_resumes_with_more_of_its_iterations_alone(api: Api, dataset: str) -> None:
    url = _with_canvas(api, dataset, stage=1, checkpoint="checkpoint-1-0.safetensors")
    assert fields(api.client.post(f"{url}/resume", json={"params": {"iterations": 20}})) == ["params.iterations"]
    resumed = api.client.post(f"{url}/resume", json={"params": {"iterations": 10, "canvas_iterations": 9}}).json()
    assert (resumed["params"]["iterations"], resumed["params"]["canvas_iterations"]) == (10, 9)
    ended = Progress(stage=2, stages=2, iteration=9, iterations=9, fraction=1.0)
    outcomes.succeed(api.database, rows.claim(api.database), [], ended)
    refused = problem(api.client.post(f"{url}/resume", json={"params": {"canvas_iterations": 9}}), 409)
    assert "has done all its canvas_iterations: ask for more than 9" in refused["detail"]
    assert api.client.post(f"{url}/resume", json={"params": {"canvas_iterations": 10}}).status_code == 202


def test_a_job_without_a_canvas_cannot_be_given_one(api: Api, dataset: str) -> None:
    url = _ended(api, dataset, "succeeded")
    refused = api.client.post(f"{url}/resume", json={"params": {"iterations": 20, "canvas_iterations": 5}})
    assert fields(refused) == ["params.canvas_iterations"]


def test_resuming_with_fewer_iterations_is_refused(api: Api, dataset: str) -> None:
    url = _ended(api, dataset, "failed")
    assert fields(api.client.post(f"{url}/resume", json={"params": {"iterations": 9}})) == ["params.iterations"]


def test_a_succeeded_sample_job_cannot_be_resumed(api: Api) -> None:
    model_id = rows.add_model(api.database)
    url = f"/v1/jobs/{_accepted(api, {'kind': 'sample', 'model_id': model_id})['id']}"
    lease = rows.claim(api.database, Queue.SAMPLE)
    outcomes.succeed(api.database, lease, [], rows.DONE)
    problem(api.client.post(f"{url}/resume"), 409)
    assert fields(api.client.post(f"{url}/resume", json={"params": {"iterations": 9}})) == ["params.iterations"]


def test_a_job_without_its_dataset_cannot_be_resumed(each_api: Api, each_dataset: str) -> None:
    url = _ended(each_api, each_dataset, "failed")
    each_api.client.delete(f"/v1/datasets/{each_dataset}")
    assert "cannot go on" in problem(each_api.client.post(f"{url}/resume"), 409)["detail"]


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
    answer = each_api.client.post("/v1/jobs", json=_train(each_dataset), headers={"X-Request-ID": "my-request:1"})
    assert requests.find(each_api.database, answer.json()["id"]).request_id == "my-request:1"
