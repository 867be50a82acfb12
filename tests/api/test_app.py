"""What holds for every request, and whether the service is well."""

import pytest
from support import pictures, rows
from support.http import Api, problem
from support.valkey import Valkey
from support.waiting import until

from core.broker.heartbeat import WorkerHeartbeat
from core.recipe.presets import PRESETS
from core.schemas.jobs import Queue
from core.schemas.learning import LearningParams


def test_healthz_says_alive(api: Api) -> None:
    assert api.client.get("/healthz").json() == {"status": "ok"}


def test_readyz_names_what_is_missing(each_api: Api, valkey: Valkey) -> None:
    missing = [part["field"] for part in problem(each_api.client.get("/readyz"), 503)["errors"]]
    assert missing == ["worker:train", "worker:sample"]
    with valkey.client() as redis:
        workers = [WorkerHeartbeat(redis, queue, "w") for queue in Queue]
        for worker in workers:
            worker.start()
        answer = until(lambda: ready if (ready := each_api.client.get("/readyz")).is_success else None)
        assert answer.json()["status"] == "ready"
        assert set(answer.json()["parts"]) == {
            "database",
            "schema",
            "blobs",
            "disk",
            "broker",
            "worker:train",
            "worker:sample",
        }
        workers[0].stop()
        answer = each_api.client.get("/readyz")
        assert [part["field"] for part in problem(answer, 503)["errors"]] == ["worker:train"]
        assert "worker:train" in answer.json()["detail"]
        workers[1].stop()


def test_while_the_broker_is_away_jobs_are_accepted_and_rung_for_after(own_api: Api, own_valkey: Valkey) -> None:
    dataset_id = own_api.upload(("a.png", pictures.png())).json()["id"]
    own_valkey.stop()
    missing = [part["field"] for part in problem(own_api.client.get("/readyz"), 503)["errors"]]
    assert missing == ["broker", "worker:train", "worker:sample"]
    answer = own_api.post({"kind": "train", "dataset_id": dataset_id})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    own_valkey.start()
    with own_valkey.client() as redis:
        until(lambda: redis.llen(Queue.TRAIN.value))


def test_metrics_are_for_prometheus(api: Api) -> None:
    api.client.get("/v1/jobs/no-such-job")
    text = api.client.get("/metrics").text
    assert 'handler="/v1/jobs/{job_id}"' in text
    assert "no-such-job" not in text


def test_presets_tell_every_parameter(api: Api) -> None:
    presets = {one["name"]: one for one in api.client.get("/v1/presets").json()["data"]}
    assert set(presets) == set(PRESETS)
    for name, preset in presets.items():
        assert preset["description"]
        assert LearningParams.model_validate(preset["params"]) == PRESETS[name]
        assert [one["name"] for one in preset["parameters"]] == list(LearningParams.model_fields)
        for parameter in preset["parameters"]:
            assert parameter["description"]
            assert parameter["bounds"]
            assert parameter["default"] == preset["params"][parameter["name"]]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_asked_for(api: Api, name: str) -> None:
    dataset_id = rows.add_dataset(api.database).id
    job = api.post({"kind": "train", "dataset_id": dataset_id, "preset": name}).json()
    assert job["params"] == {**PRESETS[name].model_dump(mode="json"), "seed": job["params"]["seed"]}


@pytest.mark.parametrize(
    "path", ["/nowhere", "/v1", "/v1/nowhere", "/v1/jobs/a/b/c", "/v1/jobs/none", "/v1/models/none"]
)
def test_what_is_not_there_is_a_problem(each_api: Api, path: str) -> None:
    problem(each_api.client.get(path), 404)


@pytest.mark.parametrize("path", ["/v1/jobs/%00", "/v1/datasets/%00", "/v1/models/a%00b", "/v1/jobs/%ff%fe"])
def test_an_id_that_no_row_can_have_is_a_problem(each_api: Api, path: str) -> None:
    problem(each_api.client.get(path), 404, 422)


def test_a_method_that_is_not_offered_is_a_problem(api: Api) -> None:
    answer = api.client.put("/v1/jobs")
    problem(answer, 405)
    assert set(answer.headers["allow"].split(", ")) & {"GET", "POST"}


def test_a_request_keeps_the_id_that_it_came_with(api: Api) -> None:
    assert api.client.get("/healthz", headers={"X-Request-ID": "abc-1.2:3_4"}).headers["x-request-id"] == "abc-1.2:3_4"
    refused = api.client.get("/v1/jobs/none", headers={"X-Request-ID": "abc"})
    assert refused.headers["x-request-id"] == "abc"


@pytest.mark.parametrize("given", ["", "a b", "x" * 101, '"><script>', "a;b"])
def test_a_request_id_that_is_none_is_replaced(api: Api, given: str) -> None:
    kept = api.client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"]
    assert kept
    assert kept != given


def test_the_contract_is_told(api: Api) -> None:
    paths = api.client.get("/openapi.json").json()["paths"]
    assert {"/v1/datasets", "/v1/jobs", "/v1/jobs/{job_id}/events", "/v1/models", "/v1/presets"} <= set(paths)
    assert api.client.get("/docs").status_code == 200


def test_the_document_says_how_a_key_is_sent(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert document["security"] == [{"key": []}, {}]
