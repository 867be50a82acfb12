"""Calls that may hang run in parallel, and are waited for only so long."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from api.operations.timed_probes import TimedProbes

Run = Callable[[TimedProbes, Mapping[str, Any], float], dict[str, Any]]


def _blocking(probes: TimedProbes, calls: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    return probes.run(calls, seconds)


def _awaited(probes: TimedProbes, calls: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    return asyncio.run(probes.run_async(calls, seconds))


@pytest.fixture(params=[_blocking, _awaited])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_each_call_has_its_outcome(run: Run) -> None:
    error = OSError("refused")

    def fails() -> None:
        raise error

    both = threading.Barrier(2, timeout=20)
    found = run(
        TimedProbes(), {"first": lambda: both.wait() * 0, "second": lambda: both.wait() * 0 + 7, "x": fails}, 20
    )
    assert found == {"first": 0, "second": 7, "x": error}


def test_a_call_that_hangs_is_an_error_and_others_have_their_results(run: Run, released: threading.Event) -> None:
    found = run(TimedProbes(), {"hangs": released.wait, "works": lambda: 1}, 0.2)
    assert (type(found["hangs"]), str(found["hangs"])) == (TimeoutError, "no answer within 0.2 s")
    assert found["works"] == 1


def test_while_a_call_hangs_no_second_one_is_started_under_its_name(run: Run, released: threading.Event) -> None:
    probes, begun, started = TimedProbes(), threading.Event(), []

    def hang() -> int:
        started.append(1)
        begun.set()
        released.wait()
        return 7

    for _ in range(3):
        assert isinstance(run(probes, {"hangs": hang}, 0.01)["hangs"], TimeoutError)
    assert begun.wait(20)
    assert len(started) == 1
    released.set()
    assert run(probes, {"hangs": hang}, 20) == {"hangs": 7}, "of the first call, or of the second if that has ended"
    assert run(probes, {"hangs": hang}, 20) == {"hangs": 7}
    assert len(started) >= 2
