"""Reads GET /v1/events."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from support.http import Api
from support.keys import Holder
from support.waiting import PATIENCE_SECONDS


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
        """Wait for the next `count` events; comments, which come every 15 s, are none."""
        found, deadline = list[FeedEvent](), time.monotonic() + PATIENCE_SECONDS
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} events came: {found}"
            if (event := next(self._events)) is not None:
                found.append(event)
        return found


@contextmanager
def open_feed(api: Api, after: str | None = None, who: Holder | None = None) -> Iterator[Feed]:
    headers = {**(who.headers if who else {}), **({"Last-Event-ID": after} if after else {})}
    with api.client.stream("GET", "/v1/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Feed(answer)


def _parse(answer: httpx.Response) -> Iterator[FeedEvent | None]:
    """Yield the events of a stream, and None for a comment."""
    current: dict[str, str] = {}
    for line in answer.iter_lines():
        if line.startswith(":"):
            yield None
        elif line:
            name, _, value = line.partition(": ")
            current[name] = value
        elif "data" in current:
            yield FeedEvent(current["id"], current["event"], json.loads(current["data"]))
            current = {}
