"""When previews are published, and those of jobs that draw."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from support import rows
from support.finished_models import add_model, pixels_of, png_with_hole
from support.worker_harness import WorkerHarness, show_every_step

import worker.previews
from core.jobs import outcomes, previews, requests
from core.jobs.requests import NewJob
from core.jobs.shards import NewShard
from core.schemas.inpainting import ResolvedInpaintParams
from core.schemas.jobs import JobKind, JobStatus, Progress, Queue
from core.schemas.sampling import ResolvedSampleParams
from worker.job_context import JobContext
from worker.lease_renewer import WorkerStopping
from worker.previews import COST_FACTOR, MIN_SECONDS, Previews
from worker.sample import sample

SIDE, STEPS = 24, 6


@pytest.mark.parametrize(
    ("iterations", "seconds_each", "cost", "at_least", "at_most"),
    [(400, 0.025, 0.02, 12, 20), (4000, 1.0, 0.05, 800, 830), (60, 1.0, 2.0, 2, 3), (1500, 0.01, 0.001, 25, 48)],
)
def test_previews_come_at_growing_distances_and_cost_a_small_part_of_the_time(
    monkeypatch: pytest.MonkeyPatch, iterations: int, seconds_each: float, cost: float, at_least: int, at_most: int
) -> None:
    clock, shown = SimpleNamespace(now=0.0), []

    def publish_preview(step: int, *_: object) -> None:
        clock.now += cost
        shown.append((step, clock.now))

    monkeypatch.setattr(worker.previews, "time", SimpleNamespace(monotonic=lambda: clock.now))
    settings = SimpleNamespace(preview_seconds=5.0)
    found = Previews(SimpleNamespace(settings=settings, publish_preview=publish_preview))  # type: ignore[arg-type]
    for iteration in range(1, iterations + 1):
        clock.now += seconds_each
        found.publish_when_due(iteration, 1, iteration, lambda: torch.zeros(0))
    assert shown[0][0] == 1
    assert at_least <= len(shown) <= at_most
    gaps = [later - earlier for (_, earlier), (_, later) in pairwise(shown)]
    assert min(gaps) >= max(MIN_SECONDS, COST_FACTOR * cost)
    assert max(gaps) <= max(5.0, COST_FACTOR * cost) + cost + seconds_each
    assert len(shown) * cost <= 2 * cost + clock.now / COST_FACTOR


def sampling(model_id: str, *, split: bool = False) -> NewJob:
    params = ResolvedSampleParams(count=2, width=SIDE, height=SIDE, steps=STEPS, step_size=0.8, seed=7)
    alone = [params.model_copy(update={"count": 1}).model_dump() for _ in range(2 if split else 0)]
    shards = tuple(NewShard(first, one, Progress(stages=1)) for first, one in enumerate(alone))
    return NewJob(JobKind.SAMPLE, params.model_dump(), model_id=model_id, shards=shards)


def inpainting(harness: WorkerHarness, model_id: str) -> NewJob:
    params = ResolvedInpaintParams(count=2, steps=STEPS, step_size=0.8, seed=7)
    dataset_id = harness.add_dataset(a=png_with_hole(1))
    return NewJob(JobKind.INPAINT, params.model_dump(), model_id=model_id, dataset_id=dataset_id)


def results_of(harness: WorkerHarness, new: NewJob) -> list[bytes]:
    job = harness.work(new)
    assert job.status == JobStatus.SUCCEEDED, job.error
    assert "preview.png" not in [one.name for one in job.artifacts]
    assert previews.listing(harness.database, job.id) == []
    return [harness.file(job, one.name) for one in job.artifacts]


@pytest.mark.parametrize("kind", [JobKind.SAMPLE, JobKind.INPAINT])
def test_a_job_shows_what_it_draws_until_it_ends_and_draws_the_same(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, kind: JobKind
) -> None:
    model_id, _ = add_model(harness, boundary="torus", random_lattice=True, picture_noise=1.0)
    new = sampling(model_id) if kind == JobKind.SAMPLE else inpainting(harness, model_id)
    without = results_of(harness, new)
    shown = []
    publish = JobContext.publish_preview

    def publish_preview(context: JobContext, step: int, stage: int, iteration: int, pixels: torch.Tensor) -> None:
        publish(context, step, stage, iteration, pixels)
        shown.append((step, stage, iteration))
        job = requests.find(harness.database, context.lease.public_id)
        content = harness.file(job, "preview.png")
        assert harness.blobs.get(previews.find(harness.database, job.id, step).blob) == content
        assert torch.equal(pixels_of(content), pixels)

    monkeypatch.setattr(JobContext, "publish_preview", publish_preview)
    show_every_step(harness, monkeypatch)
    assert results_of(harness, new) == without
    assert shown == [(STEPS * (stage - 1) + step, stage, step) for stage in (1, 2) for step in range(1, STEPS + 1)]
    assert blobs_of_previews(harness) == []


def test_the_previews_of_shards_are_their_jobs(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    model_id, _ = add_model(harness, boundary="torus")
    job_id = rows.accept(harness.database, sampling(model_id, split=True))
    first, second = (harness.context_of(rows.claim(harness.database, Queue.SAMPLE)) for _ in range(2))
    show_every_step(harness, monkeypatch)

    def draw(context: JobContext) -> list[int]:
        context.settings = harness.settings
        context.begin()
        with context.renewer:
            sample(context)
        return [row.step for row in previews.listing(harness.database, job_id)]

    assert draw(second) == list(range(STEPS + 1, 2 * STEPS + 1))
    assert "preview.png" in [one.name for one in rows.row(harness.database, job_id).artifacts]
    assert draw(first) == [], "the job has ended"
    assert blobs_of_previews(harness) == []


def test_a_canceled_job_keeps_its_previews_until_it_is_resumed_and_succeeds(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_every_step(harness, monkeypatch)
    model_id, _ = add_model(harness, boundary="torus")
    harness.stopping = lambda: bool(blobs_of_previews(harness))
    with pytest.raises(WorkerStopping):
        harness.work(sampling(model_id))
    job_id = harness.context.lease.job_id
    outcomes.cancel(harness.database, harness.context.lease)
    assert [row.step for row in previews.listing(harness.database, job_id)] == [1]
    requests.resume(harness.database, job_id)
    harness.stopping = lambda: False
    resumed = harness.context_of(rows.claim(harness.database, Queue.SAMPLE))
    with resumed.renewer:
        sample(resumed)
    assert rows.row(harness.database, job_id).status == JobStatus.SUCCEEDED
    assert blobs_of_previews(harness) == []


def blobs_of_previews(harness: WorkerHarness) -> list[str]:
    return [path for path in harness.blobs.paths() if "preview" in path]
