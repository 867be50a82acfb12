"""Background threads repeat their work, survive expected errors and stop when asked."""

import itertools
import threading
import time

import pytest
import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs
from support.waiting import until

from core.runtime.background import BackgroundThread

SHORT = 0.01  # seconds


def test_work_is_repeated_until_the_thread_is_stopped() -> None:
    calls: list[float] = []
    thread = BackgroundThread("test", lambda: calls.append(time.monotonic()), every_seconds=SHORT)
    thread.start()
    until(lambda: len(calls) >= 3)
    thread.stop()
    assert not thread.is_alive()
    pauses = [later - earlier for earlier, later in itertools.pairwise(calls)]
    assert min(pauses) >= 0.9 * SHORT


def test_the_first_call_waits_and_a_stop_ends_the_wait() -> None:
    calls: list[None] = []
    thread = BackgroundThread("test", lambda: calls.append(None), first_after_seconds=600)
    thread.start()
    thread.stop(join_seconds=10)
    assert not thread.is_alive()
    assert calls == []


def test_an_expected_error_is_logged_and_the_work_repeated() -> None:
    attempts: list[None] = []

    def work() -> None:
        attempts.append(None)
        if len(attempts) == 1:
            raise ConnectionError("away")

    with capture_logs() as logged:
        thread = BackgroundThread("test", work, every_seconds=SHORT, expected=(OSError,))
        thread.start()
        until(lambda: len(attempts) >= 2)
        thread.stop()
    (line,) = logged
    assert (line["event"], line["thread"], line["error"]) == ("background_work_failed", "test", "away")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_unexpected_error_ends_the_thread_and_reaches_the_excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda failure: seen.append(str(failure.exc_value)))

    def work() -> None:
        raise ValueError("a bug")

    thread = BackgroundThread("test", work, expected=(OSError,))
    thread.start()
    until(lambda: not thread.is_alive())
    assert seen == ["a bug"]


def test_work_may_end_its_own_thread() -> None:
    calls: list[None] = []

    def work() -> None:
        calls.append(None)
        thread.request_stop()

    thread = BackgroundThread("test", work)
    thread.start()
    until(lambda: not thread.is_alive())
    assert len(calls) == 1


def test_stop_waits_no_longer_than_its_timeout() -> None:
    blocked = threading.Event()
    thread = BackgroundThread("test", blocked.wait)
    thread.start()
    began_at = time.monotonic()
    thread.stop(join_seconds=0.05)
    assert time.monotonic() - began_at < 5
    assert thread.is_alive()
    blocked.set()
    thread.stop()
    assert not thread.is_alive()


def test_log_lines_carry_the_context_of_the_starting_thread() -> None:
    with capture_logs(processors=[merge_contextvars]) as logged:
        thread = BackgroundThread("test", lambda: structlog.get_logger().info("hello"), every_seconds=600)
        with bound_contextvars(request_id="the-request"):
            thread.start()
        until(lambda: logged)
        thread.stop()
    assert logged[0]["request_id"] == "the-request"
