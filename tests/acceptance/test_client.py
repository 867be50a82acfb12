"""The Python client with a whole service: train, follow, wait, look at the pictures, download; also asynchronously."""

import asyncio
from pathlib import Path

import pytest
from support import pictures
from support.client import TINY
from support.service import Service

from api.client import AsyncClient, Client, JobFailed, JobOptions


def test_a_program_trains_follows_and_downloads(service: Service, tmp_path: Path) -> None:
    with Client(str(service.http.base_url)) as client:
        job = client.train(pictures.stripes(), name="Zäune / alt", **TINY)
        events = list(job.events())
        assert [event.status for event in (events[0], events[-1])] == ["queued", "succeeded"]
        progress = [event.progress for event in events if event.progress is not None]
        assert progress[-1].fraction < 1, "the results are stored after the last iteration"
        assert job.status == "queued", "a job is as it was shown last"
        with pytest.raises(ValueError, match=r"no file 'none\.png'"):
            job.download(tmp_path, names=["none.png"])
        assert job.status == "succeeded", "which is not enough to know its files"
        assert job.progress.fraction == 1
        assert job.wait() is job
        assert [picture.size for picture in job.images] == [(32, 32), (32, 32)]
        assert all(0 < preview.step <= TINY["iterations"] for preview in job.previews()), "none where it was quick"
        assert len(job.metrics_series()) == TINY["iterations"]
        first, second = job.download(tmp_path), job.download(tmp_path, names=["synthesized-000.png", "metrics.json"])
        assert {path.name for path in first} == {one.name for one in job.artifacts} - {"preview.png"}
        assert [path.name for path in second] == ["metrics-001.json", "synthesized-002.png"]
        assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (*first, *second)}
        assert (tmp_path / "synthesized-002.png").read_bytes() == job.read("synthesized-000.png")
        (titled,) = job.download(tmp_path, names=["synthesized-000.png"], titled=True)
        assert titled.name == f"Zäune alt-synthesized-000-{job.id[-6:]}.png"
        (again,) = job.download(tmp_path, names=["synthesized-000.png"], titled=True)
        assert again.name == f"Zäune alt-synthesized-000-{job.id[-6:]}-001.png"
        assert titled.read_bytes() == again.read_bytes()
        assert job.model_id is not None
        sampled = client.sample(job.model_id, count=1, width=40, height=24, steps=5).wait()
        assert [picture.size for picture in sampled.images] == [(40, 24)]


def test_a_job_that_fails_says_why(service: Service) -> None:
    with Client(str(service.http.base_url)) as client:
        params = {**TINY, "iterations": 100_000}  # it must not end before its time is looked at
        job = client.train(pictures.stripes(), options=JobOptions(time_limit_seconds=0.001), **params)
        with pytest.raises(JobFailed, match="limit") as failed:
            job.wait()
    assert failed.value.job is job
    assert job.error is not None


def test_an_asynchronous_program_does_the_same(service: Service, tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncClient(str(service.http.base_url)) as client:
            job = await client.train(pictures.stripes(), **TINY)
            names = [event.name async for event in job.events()]
            assert (names[0], names[-1]) == ("status", "done")
            await job.wait()
            assert [picture.size for picture in await job.images()] == [(32, 32), (32, 32)]
            assert len(await job.download(tmp_path, names=["filters.png"])) == len(list(tmp_path.iterdir())) == 1
            listed = [one.id async for one in client.jobs.list(kind="train")]
            assert job.id in listed
            longer = await client.train(pictures.stripes(), **{**TINY, "iterations": 100_000})
            async for event in longer.events():
                if event.name == "progress":
                    break
            await longer.cancel()
            assert [event.status async for event in longer.events()][-1] == "canceled"
            await job.delete()

    asyncio.run(run())
