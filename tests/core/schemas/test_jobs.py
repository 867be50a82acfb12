import pytest

from core.schemas.jobs import JobKind, JobStatus, Progress, Queue


def test_final_statuses_are_succeeded_failed_and_canceled():
    assert {status for status in JobStatus if status.final} == {
        JobStatus.SUCCEEDED,
        JobStatus.FAILED,
        JobStatus.CANCELED,
    }


def test_every_kind_of_job_has_its_queue():
    assert {kind.queue for kind in JobKind} == set(Queue)
    assert [kind for kind in JobKind if kind.queue == Queue.TRAIN] == [JobKind.TRAIN]


def test_the_progress_of_a_split_job_is_joined_from_its_shards():
    waits, works = Progress(stages=8), Progress(stage=4, stages=8, fraction=0.5, eta_seconds=4.0)
    ended = Progress(stage=1, stages=1, fraction=1.0, eta_seconds=0.0)
    assert Progress.of_shards([waits, waits], waits).eta_seconds is None
    joined = Progress.of_shards([waits, works, ended], works)
    assert (joined.stage, joined.stages, joined.eta_seconds) == (5, 17, 12.0)
    assert joined.fraction == pytest.approx(5 / 17)
    assert Progress.of_shards([ended, ended], ended) == Progress(stage=2, stages=2, fraction=1.0, eta_seconds=0.0)
