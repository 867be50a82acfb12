"""Jobs by the client: posted, followed, ended, and their results."""

import pytest
from support import pictures

from api import client as package
from api.client import Client, Conflict, JobOptions, NotFound


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
