"""What a command says of a job that it follows (api/commands/following.py)."""

import io
import re
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from api.client import Unreachable
from api.commands import following
from core.schemas.jobs import JobKind, JobStatus, Progress

# The same jobs as the studio's test has (tests/api/web/test_studio_watching.py), and one that is no training.
PHOTO = {"iterations": 7, "coarse_iterations": 5, "canvas_iterations": 3}


def _job(kind: JobKind = JobKind.TRAIN, **params: Any) -> Any:
    return SimpleNamespace(id="job_1", kind=kind, params=params)


@pytest.mark.parametrize(
    ("job", "stages", "parts"),
    [
        (_job(iterations=7, coarse_iterations=0, canvas_iterations=0), 1, ["", ""]),
        (_job(iterations=7), 2, ["", "layer 1 of 2", "layer 2 of 2"]),
        (_job(**PHOTO), 3, ["", "coarse picture", "windows", "canvas"]),
        (_job(**PHOTO), 4, ["", "coarse picture", "layer 1 of 2", "layer 2 of 2", "canvas"]),
        (_job(JobKind.SAMPLE), 1, ["", ""]),
    ],
)
def test_the_parts_of_a_job_are_called_as_in_the_studio(job: Any, stages: int, parts: list[str]) -> None:
    texts = [
        following.progress_text(job, Progress(stage=stage, stages=stages, iterations=9)) for stage in range(stages + 1)
    ]
    assert texts == [f"{part}, step 0 of 9" if part else "step 0 of 9" for part in parts]


def test_a_command_says_each_part_once_and_that_the_results_are_stored() -> None:
    said: list[str] = []
    display = following.PlainDisplay(SimpleNamespace(as_json=False, say=said.append), _job(**PHOTO))  # type: ignore[arg-type]
    for stage, iteration in ((1, 1), (1, 2), (2, 1), (3, 1), (3, 2)):
        progress = Progress(stage=stage, stages=3, iteration=iteration, iterations=2)
        display.show(SimpleNamespace(progress=progress, status=None))  # type: ignore[arg-type]
    assert [line.partition(": ")[2] for line in said] == ["coarse picture", "windows", "canvas", following.FINISHING]
    resumed = Progress(iteration=9, iterations=9, stage=1, fraction=1.0)
    assert following.progress_text(_job(iterations=9), resumed) == "step 9 of 9", "until the worker has begun"
    last = Progress(stage=2, stages=2, iteration=9, iterations=9)
    assert following.progress_text(_job(JobKind.SAMPLE), last) == "part 2 of 2, step 9 of 9"


def test_a_job_that_waits_says_for_what() -> None:
    """Again when it is queued again: what it waits for then."""
    said: list[str] = []
    states = iter([(2, [SimpleNamespace(kind=JobKind.CLASSIFY, eta_seconds=372.0)]), (1, [])])
    job = SimpleNamespace(id="job_1", kind=JobKind.SAMPLE, status=JobStatus.QUEUED)

    def refresh() -> None:
        job.queue_position, job.waits_for = next(states)

    job.refresh = refresh
    display = following.PlainDisplay(SimpleNamespace(as_json=False, say=said.append), job)  # type: ignore[arg-type]
    for status in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.QUEUED):
        display.show(SimpleNamespace(progress=None, status=status))  # type: ignore[arg-type]
    assert said == [
        "sample job_1: queued, place 2 in the queue, after classifying (6:12 left)",
        "sample job_1: running",
        "sample job_1: queued",
    ]


def test_the_bar_of_a_job_that_waits_follows_its_place_until_the_job_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SECONDS_BETWEEN_PLACES", 0.01)
    session = SimpleNamespace(console=Console(file=io.StringIO(), force_terminal=True, width=100))
    job = SimpleNamespace(kind=JobKind.SAMPLE, status=JobStatus.QUEUED, queue_position=3, waits_for=[])
    reads = threading.Semaphore(0)

    def refresh() -> None:
        job.queue_position = max(job.queue_position - 1, 1)
        reads.release()
        if job.queue_position == 2:
            raise Unreachable("the service is being restarted")

    def shown() -> str:
        with session.console.capture() as said:
            session.console.print(display._renderable())
        return re.sub(r"\x1b\[[\d;]*m", "", said.get())

    job.refresh = refresh
    display = following.LiveDisplay(session, job)  # type: ignore[arg-type]
    assert "place 3 in the queue" in shown()
    with display:
        assert all(reads.acquire(timeout=10) for _ in range(3))  # the second is said before the third is asked for
        assert "queued" in shown()
        assert "place" not in shown()
        display.show(SimpleNamespace(name="status", progress=None, status=JobStatus.RUNNING))  # type: ignore[arg-type]
        assert "running" in shown()
        while reads.acquire(timeout=0.2):  # one that was being read when the job began
            pass
        assert "running" in shown()


def test_a_job_whose_worker_is_silent_says_so_and_no_time_left() -> None:
    said: list[str] = []
    progress = Progress(iteration=3, iterations=9, eta_seconds=40.0)
    assert following.progress_text(_job(), progress) == "step 3 of 9, 0:40 left"
    assert following.progress_text(_job(), progress.as_silent) == f"step 3 of 9, {following.SILENT}"
    display = following.PlainDisplay(SimpleNamespace(as_json=False, say=said.append), _job())  # type: ignore[arg-type]
    for one in (progress, progress.as_silent, progress):
        display.show(SimpleNamespace(progress=one, status=None))  # type: ignore[arg-type]
    assert [line.partition(": ")[2] for line in said] == ["learning", following.SILENT, "learning"]


def test_a_service_that_does_not_come_back_leaves_a_job_that_can_be_followed_later() -> None:
    said: list[str] = []

    def events(_after: str | None) -> Iterator[Any]:
        yield SimpleNamespace(progress=None, status=JobStatus.RUNNING)
        raise Unreachable("no service is reached")

    session = SimpleNamespace(as_json=False, embedded=False, say=said.append, console=Console(file=io.StringIO()))
    job = SimpleNamespace(id="job_1", kind=JobKind.TRAIN, events=events)
    with pytest.raises(Unreachable):
        following.follow(session, job, cancel_on_interrupt=True)  # type: ignore[arg-type]
    assert said == [
        "train job_1: running",
        "job job_1 is kept; `genconvnet jobs watch job_1` follows it when the service is back",
    ]


def test_the_bar_of_a_job_that_has_succeeded_is_full() -> None:
    session = SimpleNamespace(console=Console(file=io.StringIO(), force_terminal=True, width=100))
    job = SimpleNamespace(kind=JobKind.TRAIN, status="running", queue_position=None, waits_for=None)
    display = following.LiveDisplay(session, job)  # type: ignore[arg-type]
    for status, shown in ((JobStatus.RUNNING, "0% running"), (JobStatus.SUCCEEDED, "100% succeeded")):
        display.show(SimpleNamespace(name="status", progress=None, status=status))  # type: ignore[arg-type]
        with session.console.capture() as said:
            session.console.print(display._renderable())
        assert shown in re.sub(r"\x1b\[[\d;]*m", "", said.get())


def test_a_range_of_times_is_said_in_one_unit() -> None:
    ranges = [(20, 80), (30, 30.2), (45, 600), (87, 600), (160, 600), (1, 5000), (3000, 9000), (0.5, 5), (72e3, 108e4)]
    assert [following.rounded_range(*one) for one in ranges] == [
        "20 to 80 s",
        "30 s",
        "45 s to 10 min",
        "1.4 to 10 min",
        "3 to 10 min",
        "1 s to 83 min",
        "50 min to 2.5 h",
        "less than 1 s to 5 s",
        "20.0 h to 13 days",
    ]
