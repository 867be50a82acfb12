"""Jobs are created once, canceled and resumed: what is refused, and with which parameters a job goes on."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from support import rows
from support.http import Api, fields, problem, training
from support.valkey import Valkey, messages

from core.jobs import leases, outcomes, running
from core.schemas.jobs import Progress, Queue

CLIENTS = 8


def test_a_worker_is_notified_of_a_new_job(each_api: Api, each_dataset: str, valkey: Valkey) -> None:
    job = each_api.accepted(training(each_dataset))
    with valkey.client() as redis:
        assert job["id"] in messages(redis)


def test_the_same_key_and_body_return_the_same_job(each_api: Api, each_dataset: str) -> None:
    first = each_api.accepted(training(each_dataset, iterations=3), "k")
    assert each_api.accepted(training(each_dataset, iterations=3), "k") == first
    assert each_api.accepted({**training(each_dataset, iterations=3)}, "other")["id"] != first["id"]
    assert "Idempotency-Key" in problem(each_api.post(training(each_dataset, iterations=4), "k"), 409)["detail"]
    assert rows.count(each_api.database)["jobs"] == 2


def test_the_same_key_returns_the_same_job_after_it_has_ended(each_api: Api, each_dataset: str) -> None:
    first = each_api.accepted(training(each_dataset), "k")
    outcomes.succeed(each_api.database, rows.claim(each_api.database), [], rows.DONE)
    assert each_api.client.delete(f"/v1/datasets/{each_dataset}").status_code == 204
    again = each_api.accepted(training(each_dataset), "k")
    assert (again["id"], again["status"]) == (first["id"], "succeeded")


def test_a_refused_request_leaves_its_key_free(each_api: Api, each_dataset: str) -> None:
    problem(each_api.post(training("none"), "k"), 404)
    problem(each_api.post(training(each_dataset, num_chains=0), "k"), 422)
    each_api.accepted(training(each_dataset), "k")


def test_concurrent_requests_with_one_key_create_one_job(each_api: Api, each_dataset: str) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda _: each_api.accepted(training(each_dataset), "k")["id"], range(CLIENTS)))
    assert len(set(answers)) == 1
    assert rows.count(each_api.database)["jobs"] == 1


def test_a_queued_job_is_canceled_at_once_and_only_once(each_api: Api, each_dataset: str) -> None:
    url = f"/v1/jobs/{each_api.accepted(training(each_dataset))['id']}"
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
    url = f"/v1/jobs/{api.accepted(training(dataset_id, iterations=10))['id']}"
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


def test_a_texture_that_resumes_with_more_iterations_than_its_preset_has_goes_on_at_a_smaller_rate(
    api: Api, dataset: str
) -> None:
    job = api.accepted({"kind": "train", "dataset_id": dataset, "preset": "quick", "params": {"iterations": 200}})
    url, rates = f"/v1/jobs/{job['id']}", [job["params"]["learning_rate"]]
    for more in (400, 800, 1600):
        outcomes.succeed(api.database, rows.claim(api.database), [], Progress(iteration=more // 2, fraction=1.0))
        rates.append(
            api.client.post(f"{url}/resume", json={"params": {"iterations": more}}).json()["params"]["learning_rate"]
        )
    assert rates == [4e-4, 4e-4, 2e-4, 1e-4]


def test_a_learning_rate_that_was_given_stays_when_a_job_resumes(api: Api, dataset: str) -> None:
    params = {"iterations": 200, "learning_rate": 1e-4}
    url = (
        f"/v1/jobs/{api.accepted({'kind': 'train', 'dataset_id': dataset, 'preset': 'quick', 'params': params})['id']}"
    )
    outcomes.succeed(api.database, rows.claim(api.database), [], Progress(iteration=200, fraction=1.0))
    resumed = api.client.post(f"{url}/resume", json={"params": {"iterations": 1600}}).json()
    assert resumed["params"]["learning_rate"] == 1e-4


def test_a_job_that_ended_early_resumes_up_to_its_own_iterations_and_does_not_stop_early_again(
    api: Api, dataset: str
) -> None:
    params = {"iterations": 100, "stop_when_steady": True}
    url = f"/v1/jobs/{api.accepted(training(dataset, **params))['id']}"
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
    job = api.accepted(training(dataset, **params))
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
    url = f"/v1/jobs/{api.accepted({'kind': 'sample', 'model_id': model_id})['id']}"
    lease = rows.claim(api.database, Queue.SAMPLE)
    outcomes.succeed(api.database, lease, [], rows.DONE)
    problem(api.client.post(f"{url}/resume"), 409)
    assert fields(api.client.post(f"{url}/resume", json={"params": {"iterations": 9}})) == ["params.iterations"]


def test_a_job_without_its_dataset_cannot_be_resumed(each_api: Api, each_dataset: str) -> None:
    url = _ended(each_api, each_dataset, "failed")
    each_api.client.delete(f"/v1/datasets/{each_dataset}")
    assert "cannot go on" in problem(each_api.client.post(f"{url}/resume"), 409)["detail"]
