"""The short form of `make chaos`: each kind of fault at least once, on jobs of every kind."""

from pathlib import Path

from chaos.storm import Storm, run

GENTLE = (  # what is over in a moment, so that all of them find room
    "worker_killed",
    "child_killed",
    "killed_between_files_and_row",
    "api_killed",
    "broker_killed",
    "broker_wiped",
    "worker_deployed",
    "rung_twice",
    "clock_set",
    "claimed_and_lost",
)


def test_in_a_storm_of_faults_every_accepted_job_reaches_its_end_with_one_result(tmp_path: Path) -> None:
    storm = Storm(seed=20, seconds=12, jobs=24, settle_seconds=300, faults=GENTLE, pause_seconds=0.4)
    report = run(storm, tmp_path / "storm")
    assert report.violations == [], report.table()
    assert sum(report.outcomes.values()) == storm.jobs
    assert report.faults.total() > 0
