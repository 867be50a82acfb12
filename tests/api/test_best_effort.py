"""Calls that a response does not depend on run one after another, and delay it at most for a moment."""

import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from api import best_effort
from api.best_effort import BestEffortCalls


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What ends a call that hangs, at the latest with the test."""
    event = threading.Event()
    yield event
    event.set()


def test_calls_are_done_in_their_order_when_submit_returns() -> None:
    calls, done = BestEffortCalls(), []
    for number in range(5):
        calls.submit(lambda number=number: done.append((number, threading.current_thread().name)))
    assert done == [(number, "best-effort-calls") for number in range(5)]


def test_an_error_is_logged_and_the_next_call_is_made() -> None:
    calls, done = BestEffortCalls(), []
    with capture_logs() as logs:
        calls.submit(lambda: 1 / 0)
        calls.submit(lambda: done.append(1))
    assert ([line["event"] for line in logs], done) == (["best_effort_call_failed"], [1])


def test_a_call_that_hangs_is_not_waited_for_and_the_next_ones_are_made_later(
    monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    monkeypatch.setattr(best_effort, "WAIT_SECONDS", 0.01)
    calls, done = BestEffortCalls(), threading.Event()
    calls.submit(released.wait)
    calls.submit(done.set)
    assert not done.is_set()
    released.set()
    assert done.wait(20)


def test_if_too_many_wait_a_call_is_dropped(monkeypatch: pytest.MonkeyPatch, released: threading.Event) -> None:
    monkeypatch.setattr(best_effort, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(best_effort, "MAX_QUEUED", 1)
    calls, begun, done = BestEffortCalls(), threading.Event(), []

    def hang() -> None:
        begun.set()
        released.wait()

    calls.submit(hang)
    assert begun.wait(20)
    with capture_logs() as logs:
        for number in range(2):
            calls.submit(lambda number=number: done.append(number))
    assert [line["event"] for line in logs] == ["best_effort_call_dropped"]
    released.set()
    monkeypatch.setattr(best_effort, "WAIT_SECONDS", 20)
    while 2 not in done:  # the queue may be full for a moment more
        calls.submit(lambda: done.append(2))
    assert done[:2] == [0, 2]
