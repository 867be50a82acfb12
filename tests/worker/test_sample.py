"""The `sample` job, whole and in shards: the same pictures."""

import json
import threading

import numpy as np
import pytest
import torch
from nets import random_net
from redis import Redis
from support import rows
from support.pictures import decoded
from support.workplace import Workplace

import worker.sample
from core.engine import choose_engine
from core.jobs import requests
from core.jobs.requests import NewJob
from core.jobs.shards import NewShard
from core.pictures.images import Levels
from core.recipe.tone import Tone
from core.schemas.jobs import JobKind, JobStatus, Progress, Queue
from core.schemas.learning import LearningParams
from core.schemas.sampling import SHARD_PICTURES, ResolvedSampleParams
from core.storage.errors import LeaseLost
from core.theory.learning import architecture_of
from worker.job_context import JobContext
from worker.sample import sample

COUNT = 2 * SHARD_PICTURES + 1


def sampling(workplace: Workplace, *, split: bool, steps: int = 2) -> NewJob:
    learned = LearningParams.model_validate(
        {"image_size": 16, "layers": [{"filters": 4, "kernel_size": 5}], "reference_std": 2.0, "step_size": 0.8}
    )
    net = random_net(architecture_of(learned, 1), 3).float()
    model_id = workplace.add_model(net, learned.seeded(1), Levels(torch.tensor([120.0]), 0.05))
    params = ResolvedSampleParams(count=COUNT, width=20, height=16, steps=steps, step_size=0.8, seed=7)
    shards = [
        NewShard(shard.first, shard.params.model_dump(), Progress(stages=shard.params.count))
        for shard in (params.shards() if split else [])
    ]
    return NewJob(kind=JobKind.SAMPLE, params=params.model_dump(), model_id=model_id, shards=tuple(shards))


def draw(desk: JobContext) -> None:
    desk.begin()
    with desk.lease:
        sample(desk)


def test_a_split_job_gives_the_pictures_of_a_whole_one_whoever_draws_first(workplace: Workplace, redis: Redis) -> None:
    whole = workplace.work(sampling(workplace, split=False))
    job_id = rows.accept(workplace.database, sampling(workplace, split=True))
    desks = [workplace.desk_of(rows.claim(workplace.database, Queue.SAMPLE)) for _ in range(3)]
    for desk in desks[::-1]:
        draw(desk)
        told = rows.row(workplace.database, job_id)
        assert len(told.artifacts) in (1, 1 + SHARD_PICTURES, COUNT), "pictures are shown as they are made"
    job = rows.row(workplace.database, job_id)
    assert (job.status, job.progress["fraction"], job.progress["stage"]) == (JobStatus.SUCCEEDED, 1.0, COUNT)
    names = [f"synthesized-{index:03d}.png" for index in range(COUNT)]
    assert job.metrics == whole.metrics == {"precision": choose_engine("auto", torch.device("cpu")).precision}
    assert [one.name for one in job.artifacts] == [one.name for one in whole.artifacts] == names
    assert [workplace.file(job, name) for name in names] == [workplace.file(whole, name) for name in names]
    entries = [fields for _, fields in redis.xrange(f"genconvnet:events:{job_id}")]  # type: ignore[union-attr]
    heard = [(entry[b"name"].decode(), json.loads(entry[b"data"])) for entry in entries]
    assert heard[0] == ("status", {"status": "running", "attempt": 1})
    assert heard[-1] == ("done", {"status": "succeeded"})
    fractions = [data["fraction"] for name, data in heard[1:-1] if name == "progress"]
    assert len(fractions) == len(heard) - 2
    assert fractions == sorted(fractions)


def test_progress_goes_on_while_a_picture_is_cleaned_of_its_noise(workplace: Workplace, monkeypatch) -> None:
    """At each of the lattice's places: as much work as 9 steps, here after 3."""
    learned = LearningParams.model_validate(
        {
            "image_size": 18,
            "layers": [{"filters": 4, "kernel_size": 5, "stride": 3}],
            "boundary": "torus",
            "reference_std": 2.0,
            "picture_noise": 1.0,
            "random_lattice": True,
        }
    )
    net = random_net(architecture_of(learned, 1), 3).float()
    model_id = workplace.add_model(net, learned.seeded(1), Levels(torch.tensor([120.0]), 0.05))
    params = ResolvedSampleParams(count=1, width=18, height=18, steps=3, step_size=0.8, seed=7)
    told: list[Progress] = []
    monkeypatch.setattr(JobContext, "progress", lambda _, progress: told.append(progress))
    workplace.work(NewJob(kind=JobKind.SAMPLE, params=params.model_dump(), model_id=model_id))
    found = [(one.iteration, round(12 * one.fraction, 6)) for one in told]
    assert found == [(0, 0), (0, 0), (1, 1), (2, 2), (3, 3), (3, 12)]


def test_a_sample_is_given_the_tone_that_its_models_chains_ask_for(workplace: Workplace, monkeypatch) -> None:
    asked, gains = [], iter((1.0, 1.2))

    def tone_of(*given: object) -> Tone:
        asked.append(given)
        return Tone(next(gains))

    monkeypatch.setattr(worker.sample, "tone_of", tone_of)
    jobs_done = [workplace.work(sampling(workplace, split=False)) for _ in range(2)]
    files = [workplace.file(job, "synthesized-000.png") for job in jobs_done]
    plain, toned = (np.asarray(decoded(file), dtype=float) for file in files)
    inside = (toned > 0) & (toned < 255)
    assert inside.mean() > 0.5
    assert np.abs(toned - (plain.mean() + 1.2 * (plain - plain.mean())))[inside].max() < 6  # cut and rounded
    assert np.abs(toned - plain).max() > 6
    assert [(len(chains), params.image_size) for _, chains, params, _ in asked] == [(1, 16)] * 2


def test_pictures_of_an_object_begin_at_all_of_its_chains_in_turn(workplace: Workplace) -> None:
    learned = LearningParams.model_validate(
        {
            "image_size": 16,
            "layers": [{"filters": 4, "kernel_size": 5}],
            "top": "object",
            "boundary": "padded",
            "reference_std": 2.0,
            "step_size": 0.8,
        }
    )
    chains = torch.tensor([-2.0, 0.0, 2.0])[:, None, None, None].expand(3, 1, 16, 16)
    net = random_net(architecture_of(learned, 1), 3).float()
    model_id = workplace.add_model(net, learned.seeded(1), Levels(torch.tensor([120.0]), 0.05), chains.contiguous())
    params = ResolvedSampleParams(count=7, width=16, height=16, steps=1, step_size=0.01, seed=7)
    job = workplace.work(NewJob(kind=JobKind.SAMPLE, params=params.model_dump(), model_id=model_id))
    means = [np.asarray(decoded(workplace.file(job, f"synthesized-{index:03d}.png"))).mean() for index in range(7)]
    assert means == pytest.approx([120, 160, 80, 120, 160, 80, 120], abs=2)  # -2 / 0.05 = 40 grey levels less


def test_a_canceled_job_stops_who_draws_and_leaves_no_file_behind(workplace: Workplace) -> None:
    job_id = rows.accept(workplace.database, sampling(workplace, split=True, steps=2000))
    desk = workplace.desk_of(rows.claim(workplace.database, Queue.SAMPLE))
    threading.Timer(0.3, requests.cancel, (workplace.database, job_id)).start()
    with pytest.raises(LeaseLost):
        draw(desk)
    job = rows.row(workplace.database, job_id)
    assert job.status == JobStatus.CANCELED
    with pytest.raises(LeaseLost):
        desk.publish("synthesized-000.png", "image/png", b"late", None)
    workplace.blobs.delete(*requests.delete(workplace.database, job_id))
    with pytest.raises(LookupError):
        workplace.blobs.get(desk.claim.path("synthesized-000.png"))
