"""The time left that a job of several parts reports."""

from types import SimpleNamespace
from typing import cast

import pytest

from core.schemas.jobs import Progress
from worker.job_context import JobContext
from worker.progress import ProgressReporter


def test_parts_that_took_no_work_say_nothing_about_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("worker.progress.time", SimpleNamespace(monotonic=lambda: now))
    reported: list[Progress] = []
    renewer = SimpleNamespace(check_stop=lambda: None)
    context = cast(JobContext, SimpleNamespace(renewer=renewer, report_progress=reported.append))
    progress = ProgressReporter(context, parts=3, steps=1600)
    progress.skip()  # log Z is kept with the first model
    progress.report(1, 1, 1600)
    now += 5
    progress.report(1, 2, 100)
    now += 75
    progress.report(2, 2, 1600)
    assert [one.eta_seconds for one in reported] == [None, 5 * (3200 - 100) / 100, 80]
    assert [one.fraction for one in reported] == pytest.approx([1 / 3, (1 + 1 / 16) / 3, 2 / 3])
