"""A real job's events reach every open stream, and its end reaches a webhook."""

import json
import threading

import httpx
from support.receiver import Receiver
from support.service import Service, slowed

STREAMS = 36


def test_all_streams_of_a_job_carry_the_same_events_and_its_webhook_is_called(service: Service) -> None:
    with Receiver() as receiver:
        webhook = service.http.post("/v1/webhooks", json={"url": receiver.url}).raise_for_status().json()
        job_id = service.train(iterations=60)
        received: list[list[tuple[str, str, str]]] = []
        url = f"{service.http.base_url}/v1/jobs/{job_id}/events"
        threads = [threading.Thread(target=lambda: received.append(_events(url))) for _ in range(STREAMS)]
        with slowed(service.child("train")):
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join(timeout=90)
        job = service.succeeded(job_id)
        assert len(received) == STREAMS
        first = received[0]
        assert all(events == first for events in received)
        names = [name for _, name, _ in first]
        assert names[0] == "status"
        assert "progress" in names
        assert names.count("done") == 1
        assert json.loads(first[-1][2]) == {"status": "succeeded"}
        assert len({event_id for event_id, _, _ in first}) == len(first) > 5
        (delivered,) = receiver.wait(1)
        assert delivered.verified(webhook["secret"])["data"]["model_id"] == job["model_id"]
        service.http.delete(f"/v1/webhooks/{webhook['id']}").raise_for_status()


def _events(url: str) -> list[tuple[str, str, str]]:
    """Return (id, event, data) of each event until the stream ends."""
    found = []
    with httpx.stream("GET", url, timeout=90) as answer:
        current: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                current[name] = value
            elif "data" in current:
                found.append((current["id"], current["event"], current["data"]))
                current = {}
    return found
