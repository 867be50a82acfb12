"""The short form of `make chaos`: each brief kind of fault once, on jobs of every kind."""

from pathlib import Path

import pytest
from chaos.run import ChaosSettings, run

BRIEF = (
    "worker_killed",
    "child_killed",
    "killed_between_files_and_row",
    "api_killed",
    "broker_killed",
    "broker_wiped",
    "worker_deployed",
    "notified_twice",
    "clock_set",
    "claimed_and_lost",
)
SHORT = ChaosSettings(
    seed=20, seconds=2, jobs=12, settle_seconds=300, faults=BRIEF, pause_seconds=0.2, iterations=40, seeds=(1,)
)
LONG = ChaosSettings(seed=20, seconds=30, jobs=48, settle_seconds=600)


@pytest.mark.parametrize("settings", [SHORT, pytest.param(LONG, marks=pytest.mark.exhaustive)], ids=["short", "long"])
def test_every_accepted_job_ends_with_one_result_whatever_fails(tmp_path: Path, settings: ChaosSettings) -> None:
    report = run(settings, tmp_path / "chaos")
    assert report.violations == [], report.table()
    assert sum(report.outcomes.values()) == settings.jobs
    assert len(report.faults) > len(settings.faults) / 2  # while the API restarts, some cannot happen
