"""What runs the steps of operations, in both forms alike, on answers that the test chooses."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.client.errors import Invalid, NotFound, UnexpectedAnswer
from api.client.runners import STREAM_TIMEOUT_SECONDS, AsyncRunner, SyncRunner
from api.client.sans_io import Emit, Request, next_event, open_events, send, sleep

Answers = Callable[[httpx.Request], httpx.Response]
EVENTS = b"id: 1\nevent: status\ndata: 1\n\nid: 2\nevent: done\ndata: 2\n\n"


def _blocking(answers: Answers, steps: Any, path: str = "/") -> Any:
    with httpx.Client(transport=httpx.MockTransport(answers), base_url=f"http://x{path}") as http:
        runner = SyncRunner(http, 0)
        return list(runner.iterate(steps)) if steps.__name__ == "emits" else runner.run(steps)


def _awaited(answers: Answers, steps: Any, path: str = "/") -> Any:
    async def run() -> Any:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answers), base_url=f"http://x{path}") as http:
            runner = AsyncRunner(http, 0)
            if steps.__name__ == "emits":
                return [item async for item in runner.iterate(steps)]
            return await runner.run(steps)

    return asyncio.run(run())


@pytest.fixture(params=[_blocking, _awaited])
def run(request: pytest.FixtureRequest) -> Any:
    return request.param


def _stream(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=EVENTS, headers={"Content-Type": "text/event-stream"})


def test_the_result_is_that_of_the_last_step(run: Any) -> None:
    def steps() -> Any:
        first = yield from send(Request("GET", "v1/a"))
        yield from sleep(0)
        second = yield from send(Request("POST", "v1/b", json={"x": 1}, headers={"X": "y"}))
        return first.text, second.text

    def answers(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=f"{request.method} {request.url} {request.content.decode()}")

    assert run(answers, steps()) == ("GET http://x/v1/a ", 'POST http://x/v1/b {"x":1}')


def test_an_operation_may_catch_the_error_of_a_step(run: Any) -> None:
    def steps() -> Any:
        try:
            yield from send(Request("GET", "v1/a"))
        except NotFound as error:
            return error.status
        return None

    assert run(lambda _: httpx.Response(404), steps()) == 404
    with pytest.raises(NotFound):
        run(lambda _: httpx.Response(404), send(Request("GET", "v1/a")))


def test_an_url_of_an_answer_counts_from_the_root_and_others_from_the_services_path(run: Any) -> None:
    asked: list[str] = []

    def answers(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200)

    for url in ("v1/jobs", "/pictures/v1/files/a.png"):
        run(answers, send(Request("GET", url)), "/pictures/")
    assert asked == ["/pictures/v1/jobs", "/pictures/v1/files/a.png"]


def test_a_success_is_written_to_the_file_and_an_error_is_not(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "a"
    run(lambda _: httpx.Response(200, content=b"abc"), send(Request("GET", "a"), path))
    assert path.read_bytes() == b"abc"
    with pytest.raises(NotFound):
        run(lambda _: httpx.Response(404, content=b"no"), send(Request("GET", "a"), tmp_path / "b"))
    assert not (tmp_path / "b").exists()


def test_a_body_that_json_cannot_hold_is_not_sent(run: Any) -> None:
    asked: list[httpx.Request] = []
    with pytest.raises(Invalid, match=r"params\.x: must be a finite number"):
        run(lambda request: asked.append(request), send(Request("POST", "a", json={"params": {"x": math.nan}})))
    assert asked == []


def test_events_are_read_until_the_stream_ends(run: Any) -> None:
    def emits() -> Any:
        stream = yield from open_events(Request("GET", "events"))
        while (event := (yield from next_event(stream))) is not None:
            yield Emit((event.id, event.event))

    assert run(_stream, emits()) == [("1", "status"), ("2", "done")]


def test_a_stream_that_is_over_is_none_and_another_answer_is_unexpected(run: Any) -> None:
    def steps() -> Any:
        stream = yield from open_events(Request("GET", "events"))
        return None if stream is None else (yield from next_event(stream))

    assert run(lambda _: httpx.Response(204), steps()) is None
    with pytest.raises(UnexpectedAnswer):
        run(lambda _: httpx.Response(200, text="<html>"), steps())


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that is not there before it is read."""

    def __iter__(self) -> Iterator[bytes]:
        yield b'{"detail": "there is no such job"}'

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"detail": "there is no such job"}'


def test_the_error_instead_of_a_stream_is_read_whole(run: Any) -> None:
    with pytest.raises(NotFound, match="there is no such job"):
        run(lambda _: httpx.Response(404, stream=_Body()), open_events(Request("GET", "events")))


def test_an_answer_is_waited_for_as_long_as_its_request_says(run: Any) -> None:
    waited: list[float] = []

    def answers(request: httpx.Request) -> httpx.Response:
        waited.append(request.extensions["timeout"]["read"])
        return httpx.Response(204)

    run(answers, send(Request("GET", "a")))
    run(answers, send(Request("GET", "a", answer_seconds=70.0)))
    run(answers, open_events(Request("GET", "a")))
    assert waited == [httpx.Client().timeout.read, 70.0, STREAM_TIMEOUT_SECONDS]
