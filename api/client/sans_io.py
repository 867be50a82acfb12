"""Operations without input and output (sans-IO), written once for the synchronous and the asynchronous client.

An operation is a generator. It yields what is to be done (a `Send`, a `Sleep`, …), is sent the outcome, and returns the
operation's result. It does no input or output itself; api/client/runners.py does. `operation` turns such a generator
function into a method that returns the result in a `Synchronous` class, and must be awaited in an `Asynchronous` one.
"""

import functools
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

if TYPE_CHECKING:
    from httpx import Response
    from httpx_sse import ServerSentEvent

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A request to the service. url: from the service's base URL on, or as an answer has it.

    idempotent: it may be sent again if no answer comes. answer_seconds: how long to wait for an answer that takes long.
    """

    method: str
    url: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    data: Mapping[str, str] = field(default_factory=dict)
    files: Any = None
    idempotent: bool = True
    answer_seconds: float | None = None


def idempotency_header(key: str | None = None) -> dict[str, str]:
    """Return the header by which the service does a request once, however often it is sent. key: if None, a new one."""
    return {"Idempotency-Key": uuid.uuid4().hex if key is None else key}


@dataclass(frozen=True)
class Send:
    """Send the request; the outcome is the response, read whole. into: the file that a success is written to."""

    request: Request
    into: Path | None = None


@dataclass(frozen=True)
class Open:
    """Open a stream of server-sent events; the outcome is the stream, or None if the service says that it is over."""

    request: Request


@dataclass(frozen=True)
class Next:
    """Read the next event of a stream; None after the last."""

    stream: Any


@dataclass(frozen=True)
class Sleep:
    seconds: float


@dataclass(frozen=True)
class Emit(Generic[T]):
    """Pass an item to who iterates over the operation."""

    item: T


Steps = Generator[Send | Open | Next | Sleep, Any, T]
Emits = Generator[Send | Open | Next | Sleep | Emit[T], Any, None]


def send(request: Request, into: Path | None = None) -> Steps["Response"]:
    response: Response = yield Send(request, into)
    return response


def open_events(request: Request) -> Steps[Any]:
    stream: Any = yield Open(request)
    return stream


def next_event(stream: Any) -> Steps["ServerSentEvent | None"]:
    event: ServerSentEvent | None = yield Next(stream)
    return event


def sleep(seconds: float) -> Steps[None]:
    yield Sleep(seconds)


class Synchronous:
    """A class whose operations return when they are done."""

    if TYPE_CHECKING:
        _runner: Any


class Asynchronous:
    """A class whose operations are awaited."""

    if TYPE_CHECKING:
        _runner: Any


Blocking = TypeVar("Blocking", bound=Synchronous)
Awaited = TypeVar("Awaited", bound=Asynchronous)


def _bound(function: Callable[..., Any], instance: Any, run: str) -> Callable[..., Any]:
    """Return the method of `instance` that has its runner run the steps of `function`."""

    @functools.wraps(function)
    def method(*args: Any, **kwargs: Any) -> Any:
        return getattr(instance._runner, run)(function(instance, *args, **kwargs))

    return method


class operation(Generic[P, T]):  # noqa: N801  used as a decorator
    """A method that returns what its steps return."""

    def __init__(self, function: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self._function = function
        functools.update_wrapper(self, function)  # type: ignore[arg-type]

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Synchronous, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Asynchronous, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else _bound(self._function, instance, "run")


class change(Generic[P]):  # noqa: N801  used as a decorator
    """A method whose steps bring the instance up to date; it returns the instance."""

    def __init__(self, function: Callable[Concatenate[Any, P], Steps[None]]) -> None:
        @functools.wraps(function)
        def steps(instance: Any, *args: P.args, **kwargs: P.kwargs) -> Steps[Any]:
            yield from function(instance, *args, **kwargs)
            return instance

        self._function = steps
        functools.update_wrapper(self, function)  # type: ignore[arg-type]

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Blocking, owner: type) -> Callable[P, Blocking]: ...
    @overload
    def __get__(self, instance: Awaited, owner: type) -> Callable[P, Coroutine[Any, Any, Awaited]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else _bound(self._function, instance, "run")


class iteration(Generic[P, T]):  # noqa: N801  used as a decorator
    """A method whose steps emit items, over which the caller iterates with `for`, or `async for`."""

    def __init__(self, function: Callable[Concatenate[Any, P], Emits[T]]) -> None:
        self._function = function
        functools.update_wrapper(self, function)  # type: ignore[arg-type]

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Synchronous, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: Asynchronous, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else _bound(self._function, instance, "iterate")
