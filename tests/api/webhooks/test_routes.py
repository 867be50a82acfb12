"""Webhooks over HTTP: which URLs are allowed, what is delivered, and when it is sent again."""

import base64
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from support import rows
from support.http import Api, fields, problem
from support.receiver import Receiver, hang
from support.valkey import Valkey
from support.waiting import until

from core.jobs import outcomes
from core.storage.tables import Delivery
from core.storage.webhooks import MAX_WEBHOOKS

QUICK = {
    "GENCONVNET_WEBHOOKS_TO_PRIVATE_ADDRESSES": "true",
    "GENCONVNET_WEBHOOK_RETRY_SCALE": "0.001",
    "GENCONVNET_WEBHOOK_LOOK_SECONDS": "0.05",
    "GENCONVNET_WEBHOOK_TIMEOUT_SECONDS": "0.5",
}


@pytest.fixture(scope="module")
def _quick_api(tmp_path_factory: pytest.TempPathFactory, _valkey: Valkey) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api-webhooks")
    api = Api(folder, _valkey.url, f"sqlite:///{folder / 'rows.sqlite3'}", **QUICK)
    yield api
    api.stop()


@pytest.fixture
def quick_api(_quick_api: Api) -> Iterator[Api]:
    """An API that delivers and retries quickly, and to this machine too."""
    yield _quick_api
    for webhook in _quick_api.client.get("/v1/webhooks").json()["data"]:
        _quick_api.client.delete(f"/v1/webhooks/{webhook['id']}")
    assert _quick_api.breakages() == []


def _add(api: Api, url: str) -> dict[str, Any]:
    answer = api.client.post("/v1/webhooks", json={"url": url})
    assert answer.status_code == 201, answer.text
    return answer.json()


def _log(api: Api, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    return api.client.get(f"/v1/webhooks/{webhook['id']}/deliveries").raise_for_status().json()["data"]


def _settled(api: Api, webhook: dict[str, Any], holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until `holds` is true of the webhook's only delivery, and return that."""
    (delivery,) = until(lambda: [one for one in _log(api, webhook) if holds(one)], describe=lambda: _log(api, webhook))
    return delivery


def _succeed(api: Api) -> str:
    lease = rows.claimed(api.database)
    outcomes.succeed(api.database, lease, [], rows.DONE, model=rows.new_model())
    return lease.job_id


def test_a_webhook_shows_its_secret_once(api: Api) -> None:
    made = api.client.post("/v1/webhooks", json={"url": "https://93.184.216.34/hook?a=b"})
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    shown = api.client.get(made.headers["location"]).json()
    assert shown == {
        "id": made.json()["id"],
        "url": "https://93.184.216.34/hook?a=b",
        "created_at": shown["created_at"],
    }
    assert "secret" not in api.client.get("/v1/webhooks").json()["data"][0]
    assert api.client.delete(made.headers["location"]).status_code == 204
    problem(api.client.get(made.headers["location"]), 404)
    problem(api.client.get(made.headers["location"] + "/deliveries"), 404)


def test_webhooks_are_listed_in_pages_and_limited_in_number(each_api: Api) -> None:
    made = [_add(each_api, f"https://93.184.216.34/{number}")["id"] for number in range(MAX_WEBHOOKS)]
    first = each_api.client.get("/v1/webhooks", params={"limit": 15}).json()
    second = each_api.client.get("/v1/webhooks", params={"limit": 15, "after": first["next"]}).json()
    assert [one["id"] for one in first["data"] + second["data"]] == made[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    problem(each_api.client.post("/v1/webhooks", json={"url": "https://93.184.216.34/"}), 409)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1:8000/",
        "http://localhost:6379/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/",
        "http://user:password@93.184.216.34/",
        "ftp://93.184.216.34/",
        "file:///etc/passwd",
        "https://",
        "http://[::1",
        "http://a..b/",
        "http://.a/",
        "http://-/",
        "http://./",
        "http://a b/",
        "http://*.example/",
        f"http://{'a' * 64}.example/",
        f"http://{'ü' * 60}.example/",
        f"http://{'a.' * 127}example/",
        "http://a.example:99999/",
        "no url",
        "https://93.184.216.34/" + "x" * 2000,
    ],
)
def test_only_http_urls_of_public_addresses_are_accepted(api: Api, url: str) -> None:
    assert fields(api.client.post("/v1/webhooks", json={"url": url})) == ["url"]


@pytest.mark.parametrize("name", ["nobody-knows", "nobody_knows", "a" * 63, "b.c", "bücher"])
def test_a_host_that_does_not_resolve_yet_is_accepted(api: Api, name: str) -> None:
    _add(api, f"https://{name}.invalid/hook")
    _add(api, f"https://{name}.invalid./hook")


def test_the_end_of_a_job_is_delivered_and_signed(quick_api: Api) -> None:
    with Receiver() as receiver:
        webhook = _add(quick_api, receiver.url)
        job_id = _succeed(quick_api)
        (received,) = receiver.wait(1)
        message = received.verified(webhook["secret"])
        assert message["type"] == "job.succeeded"
        job = quick_api.client.get(f"/v1/jobs/{job_id}").json()
        assert message["timestamp"] == job["finished_at"]
        shown = {name: value for name, value in message["data"].items() if name != "url"}
        assert shown == {name: job[name] for name in shown}
        assert shown["model_id"] is not None
        delivery = _settled(quick_api, webhook, lambda one: one["status"] == "delivered")
        assert (delivery["id"], delivery["job_id"], delivery["attempts"]) == (received.id, job_id, 1)
        assert (delivery["event"], delivery["response_status"], delivery["error"]) == ("job.succeeded", 204, None)


def test_a_canceled_job_is_delivered_once(quick_api: Api) -> None:
    with Receiver() as receiver:
        webhook = _add(quick_api, receiver.url)
        job_id = rows.accept(quick_api.database)
        quick_api.client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
        problem(quick_api.client.post(f"/v1/jobs/{job_id}/cancel"), 409)
        (received,) = receiver.wait(1)
        assert received.verified(webhook["secret"])["type"] == "job.canceled"
        assert len(_log(quick_api, webhook)) == 1


def test_a_refused_message_is_sent_again_under_its_id(quick_api: Api) -> None:
    with Receiver(500, 307, 200, location="http://127.0.0.1/elsewhere") as receiver:
        webhook = _add(quick_api, receiver.url)
        _succeed(quick_api)
        received = receiver.wait(3)
        assert len({one.id for one in received}) == 1
        assert {one.path for one in received} == {"/hook"}  # no redirect is followed, though this one keeps the method
        assert received[0].body == received[2].body
        received[2].verified(webhook["secret"])
        delivery = _settled(quick_api, webhook, lambda one: one["status"] == "delivered")
        assert (delivery["attempts"], delivery["response_status"]) == (3, 200)


def test_a_receiver_that_hangs_does_not_delay_others(quick_api: Api) -> None:
    with Receiver(hang) as slow, Receiver() as quick:
        webhook = _add(quick_api, slow.url)
        _add(quick_api, quick.url)
        for _ in range(3):
            _succeed(quick_api)
        quick.wait(3)
        assert len({one.id for one in quick.received}) == 3
        until(lambda: "no answer within 0.5 s" in {one["error"] for one in _log(quick_api, webhook)})


def test_a_receiver_that_answers_410_is_deleted(quick_api: Api) -> None:
    with Receiver(410) as receiver:
        webhook = _add(quick_api, receiver.url)
        _succeed(quick_api)
        until(lambda: quick_api.client.get(f"/v1/webhooks/{webhook['id']}").status_code == 404)
        assert len(receiver.received) == 1


def test_a_delivered_message_can_be_sent_again(quick_api: Api) -> None:
    with Receiver() as receiver:
        webhook = _add(quick_api, receiver.url)
        _succeed(quick_api)
        delivery = _settled(quick_api, webhook, lambda one: one["status"] == "delivered")
        path = f"/v1/webhooks/{webhook['id']}/deliveries/{delivery['id']}/redeliver"
        assert quick_api.client.post(path).status_code == 202
        assert [one.id for one in receiver.wait(2)] == [delivery["id"]] * 2
        problem(quick_api.client.post(path.replace("msg_", "msg_0")), 404)


def test_a_message_of_a_killed_api_is_sent_again_under_its_id(tmp_path: Path, valkey: Valkey) -> None:
    url = f"sqlite:///{tmp_path / 'rows.sqlite3'}"
    api = Api(tmp_path, valkey.url, url, **{**QUICK, "GENCONVNET_WEBHOOK_TIMEOUT_SECONDS": "30"})
    with Receiver(hang, 204) as receiver:
        webhook = _add(api, receiver.url)
        _succeed(api)
        receiver.wait(1)
        api.process.send_signal(signal.SIGKILL)
        with api.database.write() as session:
            session.execute(update(Delivery).values(next_at=0))  # as if the lease of the killed sender had expired
        api.stop()
        again = Api(tmp_path, valkey.url, url, **QUICK)
        first, second = receiver.wait(2)
        assert first.id == second.id
        delivery = _settled(again, webhook, lambda one: one["status"] == "delivered")
        assert delivery["attempts"] == 2
        again.stop()
