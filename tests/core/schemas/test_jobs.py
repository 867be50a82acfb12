import pytest

from core.schemas.jobs import JobKind, JobStatus, Progress, Queue, Replay


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


def test_what_differs_is_said() -> None:
    replayed = Replay(name="a.png", version="1", precision="bfloat16", device="cpu X", processes=2)
    assert replayed.differences("1", "bfloat16", "cpu X", 2) == []
    assert replayed.differences("1", None, "cpu X", None) == []
    found = replayed.differences("2", "float32", "cuda Y", 1)
    before = [line.split(" made with ")[1].split(":")[0] for line in found]
    assert before == [
        "version 1, and again with 2",
        "device cpu X, and again with cuda Y",
        "precision bfloat16, and again with float32",
        "2 learning processes, and again with 1",
    ]
    by_one = Replay(name="a.png", version="1", precision="bfloat16", device="cpu X", processes=1)
    assert "made with 1 learning process, and again with 2:" in by_one.differences("1", "bfloat16", "cpu X", 2)[0]


def test_an_older_picture_does_not_say_how_many_processes_learned() -> None:
    older = Replay.model_validate({"name": "a.png", "version": "1", "precision": "bfloat16", "device": "cpu X"})
    assert older.differences("1", "bfloat16", "cpu X", 2) == []
