"""Reads GET /v1/events."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from support.http import Api
from support.keys import Holder


@dataclass(frozen=True)
class FeedEvent:
    id: str
    name: str
    data: dict[str, Any]


class Feed:
    """An open stream, of which `take` returns the next events."""

    def __init__(self, answer: httpx.Response) -> None:
        self._events = _parse(answer)

    def take(self, count: int) -> list[FeedEvent]:
        return [next(self._events) for _ in range(count)]


@contextmanager
def open_feed(api: Api, after: str | None = None, who: Holder | None = None) -> Iterator[Feed]:
    headers = {**(who.headers if who else {}), **({"Last-Event-ID": after} if after else {})}
    with api.client.stream("GET", "/v1/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Feed(answer)


def _parse(answer: httpx.Response) -> Iterator[FeedEvent]:
    current: dict[str, str] = {}
    for line in answer.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            current[name] = value
        elif not line and "data" in current:
            yield FeedEvent(current["id"], current["event"], json.loads(current["data"]))
            current = {}
