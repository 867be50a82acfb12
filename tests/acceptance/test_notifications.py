"""Being told of a real job: by streams, and by a webhook."""

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
from support.receiver import Receiver

STREAMS = 36


def _listen(url: str) -> list[tuple[str, str, str]]:
    """(id, event, data) of each event, until the stream ends."""
    found = []
    with httpx.stream("GET", url, timeout=60) as answer:
        current: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                current[name] = value
            elif "data" in current:
                found.append((current["id"], current["event"], current["data"]))
                current = {}
    return found


def test_all_who_listen_to_a_real_job_hear_the_same(serve: Callable[..., Any]) -> None:
    private = {"GENCONVNET_WEBHOOKS_TO_PRIVATE_ADDRESSES": "true", "GENCONVNET_PROGRESS_SECONDS": "0.1"}
    service = serve(**private)
    with Receiver() as receiver:
        secret = service.client.post("/v1/webhooks", json={"url": receiver.url}).raise_for_status().json()["secret"]
        job_id = service.train(service.upload(), iterations=200)
        heard: list[list[tuple[str, str, str]]] = []
        url = f"{service.client.base_url}/v1/jobs/{job_id}/events"
        listeners = [threading.Thread(target=lambda: heard.append(_listen(url))) for _ in range(STREAMS)]
        for listener in listeners:
            listener.start()
        for listener in listeners:
            listener.join(timeout=60)
        job = service.ended(job_id)
        assert len(heard) == STREAMS
        assert all(one == heard[0] for one in heard)
        assert [name for _, name, _ in heard[0]].count("done") == 1
        assert json.loads(heard[0][-1][2]) == {"status": "succeeded"}
        assert len({id_ for id_, _, _ in heard[0]}) == len(heard[0]) > 5
        (told,) = receiver.wait(1)
        assert told.verified(secret)["data"]["model_id"] == job["model_id"]
    service.stop()
