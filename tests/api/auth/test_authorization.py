"""The authorization matrix: every operation of the OpenAPI document, called without a key, by its owner and by others.

A test fails for an operation that is in none of the tables below, so each new route must be added to one of them.
"""

import itertools
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
from core.jobs import outcomes, previews, requests
from core.jobs.previews import NewPreview
from core.jobs.results import NewArtifact, NewModel
from core.storage import webhooks
from core.storage.tables import Delivery, new_id

Operation = tuple[str, str]


@dataclass(frozen=True)
class Case:
    """A request on a row: the status its owner gets, the state of the job it needs, and the body."""

    status: int
    job: str = "done"
    json: Mapping[str, Any] | None = None


OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/v1/session"), ("DELETE", "/v1/session")}
WITH_ANY_KEY = {
    ("GET", "/v1/presets"),
    ("GET", "/v1/session"),
    ("POST", "/v1/datasets"),
    ("POST", "/v1/models"),
    ("POST", "/v1/replays"),
    ("POST", "/v1/webhooks"),
}  # operations on no existing row
STREAMS = {("GET", "/v1/events")}  # tests/api/events
IDS_IN_QUERY = {("GET", "/v1/artifacts.zip")}
LISTINGS = {("GET", f"/v1/{noun}") for noun in ("datasets", "jobs", "models", "webhooks")}
ID_IN_BODY: dict[Operation, list[dict[str, Any]]] = {  # {dataset_id} and {model_id} are replaced by ids
    ("POST", "/v1/jobs"): [
        {"kind": "train", "dataset_id": "{dataset_id}"},
        {"kind": "sample", "model_id": "{model_id}"},
        {"kind": "reconstruct", "model_id": "{model_id}", "dataset_id": "{dataset_id}"},
        {"kind": "classify", "model_ids": ["{model_id}", "{model_id}"], "dataset_id": "{dataset_id}"},
    ],
}
ID_IN_PATH = {
    ("GET", "/v1/datasets/{dataset_id}"): Case(200),
    ("DELETE", "/v1/datasets/{dataset_id}"): Case(204),
    ("GET", "/v1/datasets/{dataset_id}/images/{index}"): Case(200),
    ("GET", "/v1/datasets/{dataset_id}/images/{index}/thumbnail"): Case(200),
    ("GET", "/v1/jobs/{job_id}"): Case(200),
    ("DELETE", "/v1/jobs/{job_id}"): Case(204),
    ("POST", "/v1/jobs/{job_id}/cancel"): Case(202, "queued"),
    ("POST", "/v1/jobs/{job_id}/resume"): Case(202, "canceled"),
    ("GET", "/v1/jobs/{job_id}/events"): Case(200),
    ("GET", "/v1/jobs/{job_id}/metrics"): Case(200),
    ("GET", "/v1/jobs/{job_id}/previews"): Case(200),
    ("GET", "/v1/jobs/{job_id}/previews/{step}"): Case(200),
    ("GET", "/v1/jobs/{job_id}/previews/{step}/thumbnail"): Case(200),
    ("GET", "/v1/jobs/{job_id}/artifacts/{name}"): Case(200),
    ("GET", "/v1/jobs/{job_id}/artifacts/{name}/thumbnail"): Case(200),
    ("GET", "/v1/jobs/{job_id}/artifacts.zip"): Case(200),
    ("GET", "/v1/models/{model_id}"): Case(200),
    ("PATCH", "/v1/models/{model_id}"): Case(200, json={"name": "pavement"}),
    ("DELETE", "/v1/models/{model_id}"): Case(204),
    ("GET", "/v1/models/{model_id}/download"): Case(200),
    ("GET", "/v1/webhooks/{webhook_id}"): Case(200),
    ("DELETE", "/v1/webhooks/{webhook_id}"): Case(204),
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): Case(200),
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): Case(202),
}


def _operations(document: Mapping[str, Any]) -> list[Operation]:
    return sorted((method.upper(), path) for path, methods in document["paths"].items() for method in methods)


OPERATIONS = _operations(create_app(ApiSettings()).openapi())


@dataclass(frozen=True)
class People:
    ada: Holder
    bob: Holder
    admin: Holder


@pytest.fixture
def people(api: Api) -> People:
    return People(holder(api.database, "ada"), holder(api.database, "bob"), holder(api.database, "root", admin=True))


def _create_rows(api: Api, owner: Holder) -> dict[str, str]:
    """Create a dataset, a job in each state needed, a model and a webhook, with their files. Return the ids by name."""
    dataset = rows.add_dataset(owner.database)
    api.blobs.put(dataset.images[0].blob, b"abc")
    rows.accept(owner.database, rows.train(dataset.id))
    lease = rows.claim(api.database)
    result = NewArtifact("a.png", "image/png", api.blobs.put(lease.path("a.png"), b"abc"), 3, 4)
    previews.add(
        api.database, lease, NewPreview(7, 1, 7, 3, 4, api.blobs.put(lease.path("preview-kept-7.png"), b"abc"))
    )
    weights = api.blobs.put(lease.path("weights"), b"abc")
    model = NewModel(new_id("model"), weights, dict(rows.PARAMS), 1)
    outcomes.succeed(api.database, lease, [result], rows.DONE, model=model)
    canceled = requests.cancel(owner.database, rows.accept(owner.database)).id
    queued = rows.accept(owner.database, rows.sample(None))
    webhook = webhooks.add(owner.database, "https://192.0.2.1/")
    delivery = Delivery(
        id=new_id("msg"), webhook_seq=webhook.seq, job_id=lease.job_id, event="job.succeeded", payload={}
    )
    delivery.status = "failed"
    with api.database.write() as session:
        session.add(delivery)
    ids = {"done": lease.job_id, "canceled": canceled, "queued": queued}
    return {**ids, "dataset": dataset.id, "model": model.id, "webhook": webhook.id, "delivery": delivery.id}


def _path(operation: Operation, ids: Mapping[str, str]) -> str:
    named = {f"{noun}_id": ids[noun] for noun in ("dataset", "model", "webhook", "delivery")}
    return operation[1].format(job_id=ids[ID_IN_PATH[operation].job], index="0", name="a.png", step="7", **named)


def _without(answer: httpx.Response, ids: Mapping[str, str]) -> tuple[int, str, set[str]]:
    """Return status, text without ids, and header names of an answer."""
    text = answer.text
    for id_ in ids.values():
        text = text.replace(id_, "ID")
    return answer.status_code, text, set(answer.headers)


ABSENT = {noun: f"{noun}_none" for noun in ("dataset", "model", "done", "canceled", "queued", "webhook", "delivery")}


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_every_operation_is_in_exactly_one_table(operation: Operation) -> None:
    tables = (OPEN, WITH_ANY_KEY, STREAMS, IDS_IN_QUERY, LISTINGS, ID_IN_BODY, ID_IN_PATH)
    assert [operation in table for table in tables].count(True) == 1, "add it to one table of this file"


def test_the_served_document_is_the_one_tested_here(api: Api) -> None:
    assert _operations(api.client.get("/openapi.json").json()) == OPERATIONS


def test_without_a_valid_key_every_operation_is_refused(api: Api, people: People) -> None:
    ids = _create_rows(api, people.ada)
    wrong = Holder("key_none", people.ada.key[:-1] + "?", api.database)
    for operation in sorted({*OPERATIONS} - OPEN):
        path = _path(operation, ids) if operation in ID_IN_PATH else operation[1]
        for who in (None, wrong):
            answer = ask(api, who, operation[0], path)
            assert answer.status_code == 401, operation
            assert answer.headers["www-authenticate"] == "Bearer", operation
            problem(answer, 401)
            if operation[0] == "GET":
                assert ask(api, who, "HEAD", path).status_code == 401, operation


def test_another_owners_row_is_answered_like_an_unknown_id(api: Api, people: People) -> None:
    ids = _create_rows(api, people.ada)
    for operation, case in ID_IN_PATH.items():
        method = operation[0]
        foreign = ask(api, people.bob, method, _path(operation, ids), json=case.json)
        absent = ask(api, people.bob, method, _path(operation, ABSENT), json=case.json)
        assert foreign.status_code == 404, operation
        assert _without(foreign, ids) == _without(absent, ABSENT), operation
        if method == "GET":
            assert ask(api, people.bob, "HEAD", _path(operation, ids)).status_code == 404, operation


def test_the_owner_and_an_admin_may_read(api: Api, people: People) -> None:
    ids = _create_rows(api, people.ada)
    reading = [operation for operation in ID_IN_PATH if operation[0] == "GET"]
    for operation, who in itertools.product(reading, (people.ada, people.admin)):
        answer, head = (ask(api, who, method, _path(operation, ids)) for method in ("GET", "HEAD"))
        assert answer.status_code == head.status_code == ID_IN_PATH[operation].status, (operation, answer.text)
        assert head.content == b"", operation
        assert set(head.headers) == set(answer.headers), operation


@pytest.mark.parametrize("operation", [one for one in ID_IN_PATH if one[0] != "GET"], ids=" ".join)
def test_the_owner_and_an_admin_may_change(api: Api, people: People, operation: Operation) -> None:
    case = ID_IN_PATH[operation]
    for who in (people.ada, people.admin):
        for queued in requests.listing(api.database, limit=100):
            rows.alter(api.database, queued.id, status="canceled")
        answer = ask(api, who, operation[0], _path(operation, _create_rows(api, people.ada)), json=case.json)
        assert answer.status_code == case.status, answer.text


@pytest.mark.parametrize("operation", sorted(LISTINGS), ids=" ".join)
def test_a_listing_contains_only_the_owners_rows(api: Api, people: People, operation: Operation) -> None:
    _create_rows(api, people.ada)
    path = operation[1]
    seen = {who.id: ask(api, who, "GET", path).json()["data"] for who in (people.ada, people.bob, people.admin)}
    assert seen[people.bob.id] == []
    assert seen[people.ada.id] == seen[people.admin.id] != []
    last = seen[people.ada.id][0]["id"]
    foreign, absent = (ask(api, people.bob, "GET", f"{path}?after={id_}") for id_ in (last, "none"))
    assert foreign.status_code == 404
    assert _without(foreign, {"it": last}) == _without(absent, {"it": "none"})


@pytest.mark.parametrize(
    ("operation", "body"), [(operation, body) for operation, bodies in ID_IN_BODY.items() for body in bodies]
)
def test_another_owners_row_in_a_body_is_answered_like_an_unknown_id(
    api: Api, people: People, operation: Operation, body: dict[str, Any]
) -> None:
    ids = _create_rows(api, people.ada)
    foreign, absent = (
        ask(api, people.bob, *operation, json=_filled(body, {"dataset_id": of["dataset"], "model_id": of["model"]}))
        for of in (ids, ABSENT)
    )
    assert foreign.status_code == 404
    assert _without(foreign, ids) == _without(absent, ABSENT)


def _filled(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(item, ids) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, ids) for item in value]
    return value.format(**ids)


def test_another_owners_row_in_a_query_is_answered_like_an_unknown_id(api: Api, people: People) -> None:
    foreign, own = _create_rows(api, people.ada), _create_rows(api, people.bob)
    for who, status in ((people.bob, 404), (people.ada, 404), (people.admin, 200)):
        pairs = [f"{ids['done']}/a.png" for ids in (own, foreign)]
        answer = ask(api, who, "GET", "/v1/artifacts.zip", params={"artifact": pairs})
        assert answer.status_code == status
    absent = ask(api, people.bob, "GET", "/v1/artifacts.zip", params={"artifact": ["none/a.png"]})
    answer = ask(api, people.bob, "GET", "/v1/artifacts.zip", params={"artifact": [f"{foreign['done']}/a.png"]})
    assert _without(answer, foreign) == _without(absent, {"it": "none"})


def test_two_keys_may_use_the_same_idempotency_key(api: Api, people: People) -> None:
    datasets = {who.id: rows.add_dataset(who.database).id for who in (people.ada, people.bob)}
    job_ids = []
    for who in (people.ada, people.bob, people.ada):
        body = {"kind": "train", "dataset_id": datasets[who.id]}
        answer = api.client.post("/v1/jobs", json=body, headers={**who.headers, "Idempotency-Key": "same"})
        assert answer.status_code == 202
        job_ids.append(answer.json()["id"])
    assert job_ids[0] == job_ids[2] != job_ids[1]


def test_an_upload_belongs_to_its_key(api: Api, people: People) -> None:
    files = [("images", ("a.png", pictures.png()))]
    made = ask(api, people.ada, "POST", "/v1/datasets", files=files).json()
    assert ask(api, people.bob, "GET", made["images"][0]["url"]).status_code == 404
    assert ask(api, people.ada, "GET", made["images"][0]["url"]).status_code == 200


def test_only_admins_read_the_metrics(api: Api, people: People) -> None:
    problem(ask(api, None, "GET", "/metrics"), 401)
    problem(ask(api, people.ada, "GET", "/metrics"), 403)
    assert "handler=" in ask(api, people.admin, "GET", "/metrics").text


def test_refused_requests_are_counted(api: Api, people: People) -> None:
    def refused() -> float:
        families = text_string_to_metric_families(ask(api, people.admin, "GET", "/metrics").text)
        labels = {"handler": "/v1/jobs", "method": "GET", "status": "4xx"}
        samples = [
            sample for family in families for sample in family.samples if labels.items() <= sample.labels.items()
        ]
        return sum(sample.value for sample in samples if sample.name == "http_requests_total")

    before = refused()
    problem(ask(api, None, "GET", "/v1/jobs"), 401)
    assert refused() == before + 1


@pytest.mark.parametrize(
    "path", ["/healthz", "/", "/web/any/main.js", "/web/any/style/base.css", "/docs", "/openapi.json"]
)
def test_open_pages_need_no_key(api: Api, people: People, path: str) -> None:
    assert people
    assert ask(api, None, "GET", path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/nowhere", "/%2fhealthz", "/healthz/", "/healthz/../v1/jobs", "/web", "/v1", "/v1/session/"]
)
def test_all_other_paths_need_a_key(api: Api, people: People, path: str) -> None:
    assert people
    problem(ask(api, None, "GET", path), 401)
