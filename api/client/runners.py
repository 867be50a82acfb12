"""What runs the steps of operations, with httpx.Client or with httpx.AsyncClient: only this differs between the two."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

import httpx
from httpx_sse import EventSource, ServerSentEvent
from tenacity import AsyncRetrying, Retrying

from api.client import retries
from api.client.answers import check, failures_as_errors
from api.client.errors import ClientError
from api.client.finite_numbers import check_finite
from api.client.sans_io import Emit, Emits, Next, Open, Request, Send, Sleep, Steps

T = TypeVar("T")
Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)
# The service sends a comment every 15 s: a stream that is silent for longer is broken.
STREAM_TIMEOUT_SECONDS = 40.0


class _Progression(Generic[T]):
    """A generator of steps on its way: `step` is the next one, or None if `result` is there."""

    def __init__(self, steps: Any) -> None:
        self._steps = steps
        self.step: Any = None
        self.result: Any = None
        self._advance(partial(next, steps))

    def done(self, outcome: Any) -> None:
        self._advance(partial(self._steps.send, outcome))

    def failed(self, error: ClientError) -> None:
        self._advance(partial(self._steps.throw, error))

    def _advance(self, resume: Callable[[], Any]) -> None:
        try:
            self.step = resume()
        except StopIteration as end:
            self.step, self.result = None, end.value


class _Runner(Generic[Http]):
    """The part of both runners that does no input or output."""

    def __init__(self, http: Http, retry_seconds: float) -> None:
        self.http: Http = http
        self.reached = False
        self._retries = retries.policy(retry_seconds)

    def _failures_as_errors(self, request: Request) -> contextlib.AbstractContextManager[None]:
        return failures_as_errors(request, self.http.base_url, reached=self.reached)

    def _built(self, request: Request, read_seconds: float | None = None) -> httpx.Request:
        """Return the request as httpx sends it. A file is read from its beginning whenever it is built again.

        Raises Invalid if a number has no place in JSON.
        """
        check_finite(request.json)
        seconds = read_seconds or request.answer_seconds or self.http.timeout.read
        return self.http.build_request(
            request.method,
            # An answer's url begins with the path that the service has behind a proxy, which base_url has too.
            self.http.base_url.join(request.url) if request.url.startswith("/") else request.url,
            params=dict(request.params) or None,
            headers=dict(request.headers),
            json=request.json,
            data=dict(request.data) or None,
            files=request.files,
            timeout=httpx.Timeout(self.http.timeout.connect, read=seconds),
        )


class SyncRunner(_Runner[httpx.Client]):
    def run(self, steps: Steps[T]) -> T:
        with contextlib.ExitStack() as streams:
            progression = _Progression[T](steps)
            while progression.step is not None:
                self._do(progression, streams)
        result: T = progression.result
        return result

    def iterate(self, steps: Emits[T]) -> Iterator[T]:
        with contextlib.ExitStack() as streams:
            progression = _Progression[None](steps)
            while progression.step is not None:
                if isinstance(progression.step, Emit):
                    yield progression.step.item
                    progression.done(None)
                else:
                    self._do(progression, streams)

    def _do(self, progression: _Progression[Any], streams: contextlib.ExitStack) -> None:
        try:
            outcome = self._outcome(progression.step, streams)
        except ClientError as error:
            progression.failed(error)
        else:
            progression.done(outcome)

    def _outcome(self, step: Any, streams: contextlib.ExitStack) -> Any:
        match step:
            case Send():
                return Retrying(**self._retries)(self._send, step)
            case Open():
                return Retrying(**self._retries)(self._open, step, streams)
            case Next(stream):
                return self._next(stream)
            case Sleep(seconds):
                time.sleep(seconds)
        return None

    def _send(self, step: Send) -> httpx.Response:
        with self._failures_as_errors(step.request):
            response = self.http.send(self._built(step.request), stream=True)
            self.reached = True
            with contextlib.closing(response):
                if step.into is None or not response.is_success:
                    response.read()
                else:
                    with step.into.open("wb") as file:
                        for chunk in response.iter_bytes():
                            file.write(chunk)
        check(response, step.request)
        return response

    def _open(self, step: Open, streams: contextlib.ExitStack) -> Any:
        streams.close()  # of the stream that broke: an operation follows one at a time, perhaps for months
        with self._failures_as_errors(step.request):
            response = self.http.send(self._built(step.request, STREAM_TIMEOUT_SECONDS), stream=True)
            self.reached = True
            streams.callback(response.close)
            if not response.is_success:
                response.read()
        check(response, step.request)
        if response.status_code == httpx.codes.NO_CONTENT:
            return None
        return step.request, EventSource(response).iter_sse()

    def _next(self, stream: Any) -> ServerSentEvent | None:
        request, events = stream
        with self._failures_as_errors(request):
            return next(events, None)


class AsyncRunner(_Runner[httpx.AsyncClient]):
    async def run(self, steps: Steps[T]) -> T:
        async with contextlib.AsyncExitStack() as streams:
            progression = _Progression[T](steps)
            while progression.step is not None:
                await self._do(progression, streams)
        result: T = progression.result
        return result

    async def iterate(self, steps: Emits[T]) -> AsyncIterator[T]:
        async with contextlib.AsyncExitStack() as streams:
            progression = _Progression[None](steps)
            while progression.step is not None:
                if isinstance(progression.step, Emit):
                    yield progression.step.item
                    progression.done(None)
                else:
                    await self._do(progression, streams)

    async def _do(self, progression: _Progression[Any], streams: contextlib.AsyncExitStack) -> None:
        try:
            outcome = await self._outcome(progression.step, streams)
        except ClientError as error:
            progression.failed(error)
        else:
            progression.done(outcome)

    async def _outcome(self, step: Any, streams: contextlib.AsyncExitStack) -> Any:
        match step:
            case Send():
                return await AsyncRetrying(**self._retries)(self._send, step)
            case Open():
                return await AsyncRetrying(**self._retries)(self._open, step, streams)
            case Next(stream):
                return await self._next(stream)
            case Sleep(seconds):
                await asyncio.sleep(seconds)
        return None

    async def _send(self, step: Send) -> httpx.Response:
        with self._failures_as_errors(step.request):
            response = await self.http.send(self._built(step.request), stream=True)
            self.reached = True
            async with contextlib.aclosing(response):
                if step.into is None or not response.is_success:
                    await response.aread()
                else:
                    with step.into.open("wb") as file:
                        async for chunk in response.aiter_bytes():
                            file.write(chunk)
        check(response, step.request)
        return response

    async def _open(self, step: Open, streams: contextlib.AsyncExitStack) -> Any:
        await streams.aclose()
        with self._failures_as_errors(step.request):
            response = await self.http.send(self._built(step.request, STREAM_TIMEOUT_SECONDS), stream=True)
            self.reached = True
            streams.push_async_callback(response.aclose)
            if not response.is_success:
                await response.aread()
        check(response, step.request)
        if response.status_code == httpx.codes.NO_CONTENT:
            return None
        events = EventSource(response).aiter_sse()
        streams.push_async_callback(events.aclose)
        return step.request, events

    async def _next(self, stream: Any) -> ServerSentEvent | None:
        request, events = stream
        with self._failures_as_errors(request):
            return await anext(events, None)
