"""What the client does if connections break and the service is busy: real requests through a proxy with faults."""

import asyncio
from collections.abc import Callable

import pytest
from support import pictures
from support.faulty_proxy import Added, Cut, FaultyProxy, Lost, Refused
from support.http import Api

from api.client import AsyncClient, Client, Event, LimitReached, NoAnswer, ServiceFailed

Posts = Callable[[str, str], str]


def _post(url: str, dataset_id: str) -> str:
    with Client(url) as client:
        return client.train(client.datasets.show(dataset_id)).id


def _post_async(url: str, dataset_id: str) -> str:
    async def post() -> str:
        async with AsyncClient(url) as client:
            return (await client.train(await client.datasets.show(dataset_id))).id

    return asyncio.run(post())


@pytest.mark.parametrize("post", [_post, _post_async])
def test_a_job_whose_answer_was_lost_is_posted_again_and_there_only_once(api: Api, dataset: str, post: Posts) -> None:
    with FaultyProxy(api.port, None, Lost(), Refused(), Refused(429)) as proxy:
        job_id = post(proxy.url, dataset)
    assert [one["id"] for one in api.client.get("/v1/jobs").json()["data"]] == [job_id]
    posts = [seen for seen in proxy.seen if seen.method == "POST"]
    assert (len(posts), len({seen.headers["idempotency-key"] for seen in posts})) == (4, 1)


@pytest.mark.parametrize(("fault", "raised"), [(Lost(), NoAnswer), (Refused(), ServiceFailed)])
def test_an_upload_is_not_repeated_because_it_may_have_been_done(
    api: Api, fault: Lost | Refused, raised: type[Exception]
) -> None:
    with FaultyProxy(api.port, fault) as proxy, Client(proxy.url) as client, pytest.raises(raised):
        client.upload(pictures.png())
    assert len(proxy.seen) == 1


def test_a_wait_that_is_longer_than_the_client_is_patient_is_not_begun(api: Api) -> None:
    with FaultyProxy(api.port, Refused(429, "3600")) as proxy, Client(proxy.url) as client:
        with pytest.raises(LimitReached) as refused:
            client.presets.list()
        assert (refused.value.status, refused.value.retry_after) == (429, 3600)
    assert len(proxy.seen) == 1


def test_a_stream_that_breaks_goes_on_after_the_last_event(
    api: Api, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.client.events.RECONNECT_SECONDS", 0.0)
    job_id = api.post({"kind": "train", "dataset_id": dataset}).json()["id"]
    api.client.post(f"/v1/jobs/{job_id}/cancel")
    with Client(str(api.client.base_url)) as client:
        whole = list(client.jobs.show(job_id).events())
    assert [event.name for event in whole] == ["status", "done"]
    assert [event.status for event in whole] == ["queued", "canceled"]

    async def follow(url: str) -> list[object]:
        async with AsyncClient(url) as client:
            return [event async for event in (await client.jobs.show(job_id)).events()]

    alive = Added(b"\n\n", b": ping\n\n")
    for read in (lambda url: list(Client(url).jobs.show(job_id).events()), lambda url: asyncio.run(follow(url))):
        with FaultyProxy(api.port, None, Cut(b"event: status"), alive) as proxy:
            assert read(proxy.url) == whole
        with FaultyProxy(api.port, None, Cut(b"event: status"), Cut(b"\n\n"), Refused()) as proxy:
            assert read(proxy.url) == whole
        after = [seen.headers.get("last-event-id") for seen in proxy.seen[1:]]
        assert after == [None, None, whole[0].id, whole[0].id]


def test_the_events_of_all_jobs_go_on_after_a_break(api: Api, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.client.events.RECONNECT_SECONDS", 0.0)
    found: list[Event] = []
    with FaultyProxy(api.port, Cut(b"\n\n")) as proxy, Client(proxy.url) as client:
        first = api.post({"kind": "train", "dataset_id": dataset}).json()["id"]
        for event in client.events():
            if not found:
                second = api.post({"kind": "train", "dataset_id": dataset}).json()["id"]
                api.client.post(f"/v1/jobs/{second}/cancel")
            found.append(event)
            if event.name == "done":
                break
    assert found[0].data["job_id"] == first
    assert (found[-1].data["job_id"], found[-1].status) == (second, "canceled")
    assert [seen.headers.get("last-event-id") for seen in proxy.seen] == [None, found[0].id]
