"""The time left that a job of several parts reports."""

from types import SimpleNamespace
from typing import cast

import pytest

from core.schemas.jobs import Progress
from worker.job_context import JobContext
from worker.progress import RECENT_SECONDS, ProgressReporter, RemainingTime


def _reporter(parts: int, steps: int) -> tuple[ProgressReporter, list[Progress]]:
    """Return a reporter, and the list that its reports are added to."""
    reported: list[Progress] = []
    renewer = SimpleNamespace(check_stop=lambda: None)
    context = cast(JobContext, SimpleNamespace(renewer=renewer, report_progress=reported.append))
    return ProgressReporter(context, parts=parts, steps=steps), reported


def test_parts_that_took_no_work_say_nothing_about_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("worker.progress.time", SimpleNamespace(monotonic=lambda: now))
    progress, reported = _reporter(parts=3, steps=1600)
    progress.skip()  # log Z is kept with the first model
    progress.report(1, 1, 1600)
    now += 5
    progress.report(1, 2, 100)
    now += 75
    progress.report(2, 2, 1600)
    assert [one.eta_seconds for one in reported] == [None, 5 * (3200 - 100) / 100, 80]
    assert [one.fraction for one in reported] == pytest.approx([1 / 3, (1 + 1 / 16) / 3, 2 / 3])


def test_the_time_left_follows_the_latest_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("worker.progress.time", SimpleNamespace(monotonic=lambda: now))
    remaining = RemainingTime()
    assert remaining.estimate(0, 1000) is None
    for done in range(1, 101):  # beside other work
        now += 10
        assert remaining.estimate(done, 1000 - done) == pytest.approx(10 * (1000 - done))
    for done in range(100, 200, 2):  # alone
        now += 2
        left = remaining.estimate(done, 1000 - done)
    assert now > 1000 + RECENT_SECONDS
    assert left == pytest.approx(1000 - done, rel=0.05)


def test_steps_may_be_of_different_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("worker.progress.time", SimpleNamespace(monotonic=lambda: now))
    progress, reported = _reporter(parts=2, steps=100)
    now = 10
    progress.report(0, 1, 50, share=0.2)
    (one,) = reported
    assert (one.iteration, one.fraction, one.eta_seconds) == (50, 0.1, 90)
