"""The authorization matrix: every operation of the OpenAPI document, asked for by everyone.

An operation that stands in none of the tables below fails: whoever adds a route says here who may call it.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import pictures, rows
from support.http import Api, problem
from support.keys import Holder, ask, holder

from api.app import create_app
from api.settings import ApiSettings
from core.jobs import outcomes, requests
from core.jobs.results import NewArtifact, NewModel
from core.storage import webhooks
from core.storage.tables import Delivery, new_id

Operation = tuple[str, str]


@dataclass(frozen=True)
class Case:
    """What the owner gets, of which of their jobs, with which body."""

    status: int
    job: str = "done"
    json: Mapping[str, Any] | None = None


OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/v1/session"), ("DELETE", "/v1/session")}
ANYONES = {
    ("GET", "/v1/presets"),
    ("GET", "/v1/session"),
    ("POST", "/v1/datasets"),
    ("POST", "/v1/models"),
    ("POST", "/v1/webhooks"),
}  # with a key; no row is asked for
LISTINGS = {("GET", f"/v1/{noun}") for noun in ("datasets", "jobs", "models", "webhooks")}
IN_THE_BODY: dict[Operation, list[dict[str, Any]]] = {  # each with an id that {dataset_id} or {model_id} stands for
    ("POST", "/v1/jobs"): [
        {"kind": "train", "dataset_id": "{dataset_id}"},
        {"kind": "sample", "model_id": "{model_id}"},
        {"kind": "reconstruct", "model_id": "{model_id}", "dataset_id": "{dataset_id}"},
        {"kind": "classify", "model_ids": ["{model_id}", "{model_id}"], "dataset_id": "{dataset_id}"},
    ],
}
OF_A_ROW = {
    ("GET", "/v1/datasets/{dataset_id}"): Case(200),
    ("DELETE", "/v1/datasets/{dataset_id}"): Case(204),
    ("GET", "/v1/datasets/{dataset_id}/images/{index}"): Case(200),
    ("HEAD", "/v1/datasets/{dataset_id}/images/{index}"): Case(200),
    ("GET", "/v1/jobs/{job_id}"): Case(200),
    ("DELETE", "/v1/jobs/{job_id}"): Case(204),
    ("POST", "/v1/jobs/{job_id}/cancel"): Case(202, "queued"),
    ("POST", "/v1/jobs/{job_id}/resume"): Case(202, "canceled"),
    ("GET", "/v1/jobs/{job_id}/events"): Case(200),
    ("GET", "/v1/jobs/{job_id}/metrics"): Case(200),
    ("GET", "/v1/jobs/{job_id}/artifacts/{name}"): Case(200),
    ("HEAD", "/v1/jobs/{job_id}/artifacts/{name}"): Case(200),
    ("GET", "/v1/jobs/{job_id}/artifacts.zip"): Case(200),
    ("GET", "/v1/models/{model_id}"): Case(200),
    ("DELETE", "/v1/models/{model_id}"): Case(204),
    ("GET", "/v1/models/{model_id}/download"): Case(200),
    ("HEAD", "/v1/models/{model_id}/download"): Case(200),
    ("GET", "/v1/webhooks/{webhook_id}"): Case(200),
    ("DELETE", "/v1/webhooks/{webhook_id}"): Case(204),
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): Case(200),
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): Case(202),
}


def _document() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Duplicate Operation ID")  # a route's GET and HEAD are named alike
        return create_app(ApiSettings()).openapi()


def _operations(document: Mapping[str, Any]) -> list[Operation]:
    return sorted((method.upper(), path) for path, methods in document["paths"].items() for method in methods)


OPERATIONS = _operations(_document())


@dataclass(frozen=True)
class People:
    ada: Holder
    bob: Holder
    admin: Holder


@pytest.fixture
def people(api: Api) -> People:
    return People(holder(api.database, "ada"), holder(api.database, "bob"), holder(api.database, "root", admin=True))


def _belongings(api: Api, owner: Holder) -> dict[str, str]:
    """A dataset, jobs of each state that matters here and a model, with their files. Ids by what stands for them."""
    dataset = rows.add_dataset(owner.database)
    api.blobs.put(dataset.images[0].blob, b"abc")
    rows.accept(owner.database, rows.train(dataset.id))
    lease = rows.claim(api.database)
    result = NewArtifact("a.png", "image/png", api.blobs.put(lease.path("a.png"), b"abc"), 3, 4)
    weights = api.blobs.put(lease.path("weights"), b"abc")
    model = NewModel(new_id("model"), None, weights, dict(rows.PARAMS), 1)
    outcomes.succeed(api.database, lease, [result], rows.DONE, model=model)
    canceled = requests.cancel(owner.database, rows.accept(owner.database)).id
    queued = rows.accept(owner.database, rows.sample(None))
    webhook = webhooks.add(owner.database, "https://192.0.2.1/")
    told = Delivery(id=new_id("msg"), webhook_seq=webhook.seq, job_id=lease.job_id, event="job.succeeded", payload={})
    told.status = "failed"
    with api.database.write() as session:
        session.add(told)
    ids = {"done": lease.job_id, "canceled": canceled, "queued": queued}
    return {**ids, "dataset": dataset.id, "model": model.id, "webhook": webhook.id, "delivery": told.id}


def _path(operation: Operation, ids: Mapping[str, str]) -> str:
    named = {f"{noun}_id": ids[noun] for noun in ("dataset", "model", "webhook", "delivery")}
    return operation[1].format(job_id=ids[OF_A_ROW[operation].job], index="0", name="a.png", **named)


def _without(answer: httpx.Response, ids: Mapping[str, str]) -> tuple[int, str, set[str]]:
    """An answer, but for the ids in it."""
    text = answer.text
    for id_ in ids.values():
        text = text.replace(id_, "ID")
    return answer.status_code, text, set(answer.headers)


ABSENT = {noun: f"{noun}_none" for noun in ("dataset", "model", "done", "canceled", "queued", "webhook", "delivery")}


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_every_operation_is_in_exactly_one_table(operation: Operation) -> None:
    tables = (OPEN, ANYONES, LISTINGS, IN_THE_BODY, OF_A_ROW)
    assert [operation in table for table in tables].count(True) == 1, "say who may call it, in this file"


def test_the_served_openapi_document_is_the_tested_one(api: Api) -> None:
    assert _operations(api.client.get("/openapi.json").json()) == OPERATIONS


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one not in OPEN], ids=" ".join)
def test_without_a_key_every_operation_is_refused(api: Api, people: People, operation: Operation) -> None:
    path = _path(operation, _belongings(api, people.ada)) if operation in OF_A_ROW else operation[1]
    wrong = Holder("key_none", people.ada.key[:-1] + "?", api.database)
    for who in (None, wrong):
        answer = ask(api, who, operation[0], path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        if operation[0] != "HEAD":
            problem(answer, 401)


@pytest.mark.parametrize("operation", OF_A_ROW, ids=" ".join)
def test_another_keys_row_looks_like_an_absent_one(api: Api, people: People, operation: Operation) -> None:
    method, ids = operation[0], _belongings(api, people.ada)
    foreign = ask(api, people.bob, method, _path(operation, ids), json=OF_A_ROW[operation].json)
    absent = ask(api, people.bob, method, _path(operation, ABSENT), json=OF_A_ROW[operation].json)
    assert foreign.status_code == 404
    assert _without(foreign, ids) == _without(absent, ABSENT)


@pytest.mark.parametrize("operation", OF_A_ROW, ids=" ".join)
def test_the_owner_and_an_admin_have_access(api: Api, people: People, operation: Operation) -> None:
    case = OF_A_ROW[operation]
    for who in (people.ada, people.admin):
        for queued in requests.listing(api.database, limit=100):
            rows.alter(api.database, queued.id, status="canceled")
        answer = ask(api, who, operation[0], _path(operation, _belongings(api, people.ada)), json=case.json)
        assert answer.status_code == case.status, answer.text


@pytest.mark.parametrize("operation", sorted(LISTINGS), ids=" ".join)
def test_a_listing_contains_only_the_keys_own_rows(api: Api, people: People, operation: Operation) -> None:
    _belongings(api, people.ada)
    path = operation[1]
    seen = {who.id: ask(api, who, "GET", path).json()["data"] for who in (people.ada, people.bob, people.admin)}
    assert seen[people.bob.id] == []
    assert seen[people.ada.id] == seen[people.admin.id] != []
    last = seen[people.ada.id][0]["id"]
    foreign, absent = (ask(api, people.bob, "GET", f"{path}?after={id_}") for id_ in (last, "none"))
    assert foreign.status_code == 404
    assert _without(foreign, {"it": last}) == _without(absent, {"it": "none"})


@pytest.mark.parametrize(("operation", "body"), [(one, body) for one, bodies in IN_THE_BODY.items() for body in bodies])
def test_another_keys_row_in_a_request_body_looks_absent(
    api: Api, people: People, operation: Operation, body: dict[str, Any]
) -> None:
    ids = _belongings(api, people.ada)
    foreign, absent = (
        ask(api, people.bob, *operation, json=_filled(body, {"dataset_id": of["dataset"], "model_id": of["model"]}))
        for of in (ids, ABSENT)
    )
    assert foreign.status_code == 404
    assert _without(foreign, ids) == _without(absent, ABSENT)


def _filled(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, ids) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, ids) for one in value]
    return value.format(**ids)


def test_two_keys_may_use_one_idempotency_key(api: Api, people: People) -> None:
    made = {}
    for who in (people.ada, people.bob, people.ada):
        body = {"kind": "train", "dataset_id": made.get(who.id, ("", rows.add_dataset(who.database).id))[1]}
        answer = api.client.post("/v1/jobs", json=body, headers={**who.headers, "Idempotency-Key": "same"})
        assert answer.status_code == 202
        assert made.setdefault(who.id, (answer.json()["id"], body["dataset_id"]))[0] == answer.json()["id"]
    assert made[people.ada.id] != made[people.bob.id]


def test_an_upload_belongs_to_its_key(api: Api, people: People) -> None:
    files = [("images", ("a.png", pictures.png()))]
    made = ask(api, people.ada, "POST", "/v1/datasets", files=files).json()
    assert ask(api, people.bob, "GET", made["images"][0]["url"]).status_code == 404
    assert ask(api, people.ada, "GET", made["images"][0]["url"]).status_code == 200


def test_the_metrics_are_for_admins(api: Api, people: People) -> None:
    problem(ask(api, None, "GET", "/metrics"), 401)
    problem(ask(api, people.ada, "GET", "/metrics"), 403)
    assert "handler=" in ask(api, people.admin, "GET", "/metrics").text


def test_requests_refused_by_the_middleware_are_counted(api: Api, people: People) -> None:
    def refused() -> float:
        told = text_string_to_metric_families(ask(api, people.admin, "GET", "/metrics").text)
        where = {"handler": "/v1/jobs", "method": "GET", "status": "4xx"}
        return sum(one.value for family in told for one in family.samples if where.items() <= one.labels.items())

    before = refused()
    problem(ask(api, None, "GET", "/v1/jobs"), 401)
    assert refused() == before + 1


@pytest.mark.parametrize("path", ["/healthz", "/", "/web/app.js", "/web/style.css", "/docs", "/openapi.json"])
def test_open_operations_need_no_key(api: Api, people: People, path: str) -> None:
    assert people
    assert ask(api, None, "GET", path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/nowhere", "/%2fhealthz", "/healthz/", "/healthz/../v1/jobs", "/web/", "/v1", "/v1/session/"]
)
def test_all_other_operations_need_a_key(api: Api, people: People, path: str) -> None:
    assert people
    problem(ask(api, None, "GET", path), 401)
