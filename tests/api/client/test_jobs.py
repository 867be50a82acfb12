"""Jobs by the client: posted, followed, ended, and their results."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import pictures

from api import client as package
from api.client import Client, Conflict, JobOptions, NotFound
from api.client.data import Artifact
from api.client.errors import JobCanceled, JobFailed, WaitTimedOut
from api.client.jobs import Job, attached
from api.client.runners import SyncRunner
from core.schemas.jobs import JobStatus, Progress

NAMES = ("synthesized-000.png", "preview.png", "sheet.png", "walk-000-001.png", "walk-000-000.png", "inpainted-000.png")


def _artifact(name: str) -> Artifact:
    url = f"/v1/jobs/job_1/artifacts/{name}"
    return Artifact(name=name, media_type="image/png", bytes=3, sha256="0", width=1, height=1, url=url)


def _job(status: JobStatus, **changes: Any) -> Job:
    about: dict[str, Any] = dict.fromkeys(Job.model_fields)
    about |= {"id": "job_1", "kind": "sample", "status": status, "created_at": 0, "priority": 0, "attempt": 1}
    about |= {"progress": Progress(), "metrics": {}, "params": {}, "artifacts": [_artifact(name) for name in NAMES]}
    return Job.model_validate({**about, **changes})


@pytest.fixture
def shown() -> list[Job]:
    """The states of the job in which the service shows it, in turn; the last one again and again."""
    return []


@pytest.fixture
def runner(shown: list[Job]) -> Iterator[SyncRunner]:
    def answer(request: httpx.Request) -> httpx.Response:
        if "/artifacts/" in request.url.path:
            return httpx.Response(200, content=b"abc")
        return httpx.Response(200, text=(shown.pop(0) if len(shown) > 1 else shown[0]).model_dump_json())

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://x") as http:
        yield SyncRunner(http, 0)


def test_a_job_is_posted_shown_canceled_resumed_and_deleted(client: Client) -> None:
    job = client.train(pictures.png(), preset="texture", options=JobOptions(priority=3), iterations=7)
    assert (job.status, job.preset, job.params["iterations"], job.priority) == ("queued", "texture", 7, 3)
    with pytest.raises(Conflict):
        job.delete()
    assert job.cancel() is job
    assert (job.status, job.ended) == ("canceled", True)
    assert [event.name for event in job.events()][-1] == "done"
    with pytest.raises(package.JobCanceled) as ended:
        job.wait()
    assert ended.value.job is job
    (*_, last) = job.events()
    job.resume(iterations=9, time_limit_seconds=60)
    assert (job.status, job.params["iterations"], job.time_limit_seconds) == ("queued", 9, 60)
    with pytest.raises(package.WaitTimedOut):
        job.wait(timeout=0.1)
    assert client.jobs.show(job.id).cancel().refresh().status == "canceled"
    assert [event.status for event in job.events()] == ["queued", "canceled"] * 2
    assert [event.status for event in job.events(after=last.id)] == ["queued", "canceled"]
    job.delete()
    with pytest.raises(NotFound):
        job.refresh()


def test_a_wait_lasts_until_the_job_has_succeeded(
    shown: list[Job], runner: SyncRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("api.client.runners.time.sleep", pauses.append)
    shown += [_job(JobStatus.QUEUED)] * 8 + [_job(JobStatus.SUCCEEDED)]
    job = attached(_job(JobStatus.QUEUED), runner)
    assert job.wait().status == JobStatus.SUCCEEDED
    assert len(pauses) == 8
    assert pauses == sorted(pauses), "it asks more and more rarely"
    assert (pauses[0], pauses[-1]) == (0.2, 2.0)


def test_a_wait_ends_with_the_reason_why_there_are_no_results(shown: list[Job], runner: SyncRunner) -> None:
    shown[:] = [_job(JobStatus.FAILED, error={"type": "diverged", "detail": "the chains diverged"})]
    with pytest.raises(JobFailed, match="job_1 has failed: the chains diverged"):
        attached(_job(JobStatus.QUEUED), runner).wait()
    shown[:] = [_job(JobStatus.FAILED)]
    with pytest.raises(JobFailed, match="no reason is known"):
        attached(_job(JobStatus.QUEUED), runner).wait()
    shown[:] = [_job(JobStatus.CANCELED)]
    with pytest.raises(JobCanceled):
        attached(_job(JobStatus.QUEUED), runner).wait()
    shown[:] = [_job(JobStatus.RUNNING)]
    with pytest.raises(WaitTimedOut):
        attached(_job(JobStatus.QUEUED), runner).wait(timeout=0)


def test_the_pictures_of_a_job_are_those_that_it_was_to_make() -> None:
    job = _job(JobStatus.SUCCEEDED)
    assert [one.name for one in job.pictures] == ["synthesized-000.png", "inpainted-000.png"]
    assert [one.name for one in job.frames] == ["walk-000-000.png", "walk-000-001.png"]


def test_all_files_but_the_preview_are_downloaded_unless_they_are_named(
    shown: list[Job], runner: SyncRunner, tmp_path: Path
) -> None:
    shown[:] = [_job(JobStatus.SUCCEEDED)]
    job = attached(_job(JobStatus.RUNNING, artifacts=[]), runner)
    assert [path.name for path in job.download(tmp_path / "all")] == [name for name in NAMES if name != "preview.png"]
    assert [path.name for path in job.download(tmp_path, names=["preview.png"])] == ["preview.png"]
    assert (tmp_path / "preview.png").read_bytes() == b"abc"
    with pytest.raises(ValueError, match=r"has no file 'none\.png'"):
        job.download(tmp_path, names=["sheet.png", "none.png"])
    assert not (tmp_path / "sheet.png").exists()
