"""Streams of events go on after the last event if the connection breaks."""

import asyncio

import pytest
from support.faulty_proxy import Added, Cut, FaultyProxy, Refused
from support.http import Api

from api.client import AsyncClient, Client, Event


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
