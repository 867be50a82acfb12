"""The `sample` job, whole and in shards."""

import io
import json
import threading

import numpy as np
import pytest
import torch
from nets import random_net
from PIL import Image
from redis import Redis
from support import rows
from support.finished_models import add_model, learning_params, noise_png, pixels_of
from support.pictures import decoded, encoded
from support.worker_harness import WorkerHarness

import core.synthesis.blend_sampler
import core.synthesis.sampler
from core.engine import choose_engine
from core.jobs import requests
from core.jobs.requests import NewJob
from core.jobs.shards import NewShard
from core.pictures.images import Levels, sheet
from core.pictures.origin import DatasetOrigin, read_origin
from core.recipe.tone import Tone
from core.schemas.jobs import JobKind, JobStatus, Progress, Queue
from core.schemas.learning import LearningParams
from core.schemas.references import models_of
from core.schemas.sampling import SHARD_PICTURES, ResolvedSampleParams
from core.storage import datasets, models
from core.storage.errors import LeaseLost
from core.theory.learning import architecture_of
from worker.job_context import JobContext
from worker.lease_renewer import WorkerStopping
from worker.sample import sample

COUNT = 2 * SHARD_PICTURES + 1


def sampling(harness: WorkerHarness, *, split: bool, steps: int = 2) -> NewJob:
    learned = LearningParams.model_validate(
        {"image_size": 16, "layers": [{"filters": 4, "kernel_size": 5}], "reference_std": 2.0, "step_size": 0.8}
    )
    net = random_net(architecture_of(learned, 1), 3).float()
    model_id = harness.add_model(net, learned.seeded(1), Levels(torch.tensor([120.0]), 0.05))
    params = ResolvedSampleParams(count=COUNT, width=20, height=16, steps=steps, step_size=0.8, seed=7)
    shards = [
        NewShard(shard.first, shard.params.model_dump(), Progress(stages=shard.params.count))
        for shard in (params.shards() if split else [])
    ]
    return NewJob(kind=JobKind.SAMPLE, params=params.model_dump(), model_id=model_id, shards=tuple(shards))


def draw(context: JobContext) -> None:
    context.begin()
    with context.renewer:
        sample(context)


def test_shards_in_any_order_draw_the_pictures_of_the_whole_job(harness: WorkerHarness, redis: Redis) -> None:
    whole = harness.work(sampling(harness, split=False))
    job_id = rows.accept(harness.database, sampling(harness, split=True))
    contexts = [harness.context_of(rows.claim(harness.database, Queue.SAMPLE)) for _ in range(3)]
    published = []
    for context in contexts[::-1]:
        draw(context)
        shown = rows.row(harness.database, job_id).artifacts  # and perhaps a preview
        published.append(sum(one.name.startswith("synthesized-") for one in shown))
    assert published == [1, 1 + SHARD_PICTURES, COUNT], "each shard publishes its pictures at once"
    job = rows.row(harness.database, job_id)
    assert (job.status, job.progress["fraction"], job.progress["stage"]) == (JobStatus.SUCCEEDED, 1.0, COUNT)
    names = [f"synthesized-{index:03d}.png" for index in range(COUNT)]
    assert job.metrics == whole.metrics == {"precision": choose_engine("auto", torch.device("cpu")).precision}
    assert [one.name for one in job.artifacts] == [one.name for one in whole.artifacts] == names
    assert [harness.file(job, name) for name in names] == [harness.file(whole, name) for name in names]
    entries = [fields for _, fields in redis.xrange(f"genconvnet:events:{job_id}")]  # type: ignore[union-attr]
    events = [(entry[b"name"].decode(), json.loads(entry[b"data"])) for entry in entries]
    assert events[0] == ("status", {"status": "running", "attempt": 1})
    assert events[-1] == ("done", {"status": "succeeded"})
    fractions = [data["fraction"] for name, data in events[1:-1] if name == "progress"]
    assert fractions[-1] == 1.0
    assert fractions == sorted(fractions)


def test_progress_is_reported_during_denoising(harness: WorkerHarness, monkeypatch) -> None:
    """Denoising over the 3 x 3 stride phases takes as long as 9 steps, here after 3."""
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
    model_id = harness.add_model(net, learned.seeded(1), Levels(torch.tensor([120.0]), 0.05))
    params = ResolvedSampleParams(count=1, width=18, height=18, steps=3, step_size=0.8, seed=7)
    reported: list[Progress] = []
    monkeypatch.setattr(JobContext, "report_progress", lambda _, progress: reported.append(progress))
    harness.work(NewJob(kind=JobKind.SAMPLE, params=params.model_dump(), model_id=model_id))
    found = [(one.iteration, round(12 * one.fraction, 6)) for one in reported]
    assert found == [(0, 0), (0, 0), (1, 1), (2, 2), (3, 3), (3, 12)]


def test_a_sample_gets_the_tone_of_its_models_chains(harness: WorkerHarness, monkeypatch) -> None:
    calls, gains = [], iter((1.0, 1.2))

    def tone_of(*arguments: object) -> Tone:
        calls.append(arguments)
        return Tone(next(gains))

    monkeypatch.setattr(core.synthesis.sampler, "tone_of", tone_of)
    jobs_done = [harness.work(sampling(harness, split=False)) for _ in range(2)]
    files = [harness.file(job, "synthesized-000.png") for job in jobs_done]
    plain, toned = (np.asarray(decoded(file), dtype=float) for file in files)
    inside = (toned > 0) & (toned < 255)
    assert inside.mean() > 0.5
    assert np.abs(toned - (plain.mean() + 1.2 * (plain - plain.mean())))[inside].max() < 6  # clipped and rounded
    assert np.abs(toned - plain).max() > 6
    assert [(len(chains), params.image_size) for _, chains, params, *_ in calls] == [(1, 16)] * 2


def test_pictures_of_an_object_start_from_its_chains_in_turn(harness: WorkerHarness) -> None:
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
    model_id = harness.add_model(net, learned.seeded(1), Levels(torch.tensor([120.0]), 0.05), chains.contiguous())
    params = ResolvedSampleParams(count=7, width=16, height=16, steps=1, step_size=0.01, seed=7)
    job = harness.work(NewJob(kind=JobKind.SAMPLE, params=params.model_dump(), model_id=model_id))
    means = [np.asarray(decoded(harness.file(job, f"synthesized-{index:03d}.png"))).mean() for index in range(7)]
    assert means == pytest.approx([120, 160, 80, 120, 160, 80, 120], abs=2)  # -2 / 0.05 = 40 grey levels less


def test_variations_leave_their_picture_as_far_as_their_strength_says(harness: WorkerHarness) -> None:
    model_id, _ = add_model(harness)
    content = noise_png(1)
    dataset_id = harness.add_dataset(a=content)

    def vary(strength: float, start: str = dataset_id, **ends: object) -> list[bytes]:
        asked = {"count": 2, "steps": 40, "start_dataset_id": start, "start_strength": strength, **ends}
        params = ResolvedSampleParams(**asked, width=16, height=16, step_size=0.8, seed=7)
        job = harness.work(NewJob(kind=JobKind.SAMPLE, params=params.model_dump(), model_id=model_id))
        assert job.progress["iterations"] == params.steps_taken
        return [harness.file(job, f"synthesized-00{index}.png") for index in range(2)]

    files = {strength: vary(strength) for strength in (0.0, 0.05, 1.0)}
    distances = {
        strength: (pixels_of(found[0]).float() - pixels_of(content).float()).abs().mean().item()
        for strength, found in files.items()
    }
    assert distances[0.0] == 0
    assert 0 < distances[0.05] < distances[1.0] / 2
    assert files[1.0][0] != files[1.0][1]
    origin = read_origin(io.BytesIO(files[1.0][0]))
    hashes = [image.sha256 for image in datasets.find(harness.database, dataset_id).images]
    assert origin.datasets == {"start_dataset_id": DatasetOrigin.of(hashes)}
    assert "start_dataset_id" not in origin.params
    assert origin.params["start_strength"] == 1.0
    end = harness.add_dataset(a=noise_png(2))
    passing = [pixels_of(one) for one in vary(0.05, end_dataset_id=end, end_shares=(0.0, 1.0))]
    assert torch.equal(passing[0], pixels_of(files[0.05][0]))
    assert torch.equal(passing[1], pixels_of(vary(0.05, end)[0])), "all under the noise of the first"


def test_variations_are_shown_on_a_sheet_after_their_picture(harness: WorkerHarness) -> None:
    model_id, _ = add_model(harness)
    contents = [noise_png(1), noise_png(2)]
    start, end = (harness.add_dataset(a=content) for content in contents)
    asked = {"width": 16, "height": 16, "step_size": 0.8, "seed": 7, "steps": 4, "start_strength": 0.5}

    def files(first: int, **given: object) -> dict[str, bytes]:
        params = ResolvedSampleParams.model_validate({**asked, **given}).model_dump()
        shard = NewShard(first, params, Progress(stages=params["count"]))
        new = NewJob(kind=JobKind.SAMPLE, params=params, model_id=model_id, shards=(shard,) if first else ())
        job_id = rows.accept(harness.database, new)
        draw(harness.context_of(rows.claim(harness.database, Queue.SAMPLE)))
        job = rows.row(harness.database, job_id)
        return {one.name: harness.file(job, one.name) for one in job.artifacts}

    of_one = files(0, count=2, start_dataset_id=start)
    shown = pixels_of(of_one["contact-sheet-000.png"])
    drawn = [pixels_of(of_one[f"synthesized-00{index}.png"]) for index in range(2)]
    assert torch.equal(shown, sheet([pixels_of(contents[0]), *drawn]))
    of_two = files(8, count=2, start_dataset_id=start, end_dataset_id=end, end_shares=[0.25] * 10)
    shown = pixels_of(of_two["contact-sheet-008.png"])
    drawn = [pixels_of(of_two[f"synthesized-0{index}.png"]) for index in ("08", "09")]
    assert torch.equal(shown, sheet([pixels_of(contents[0]), *drawn, pixels_of(contents[1])]))
    assert [name for name in files(0, count=1, start_dataset_id=start) if "sheet" in name] == []
    assert [name for name in files(0, count=2, start_strength=None) if "sheet" in name] == []


def test_pictures_follow_their_guide_and_without_strength_are_those_without_it(harness: WorkerHarness) -> None:
    model_id, _ = add_model(harness, boundary="torus", random_lattice=True)
    halves = Image.new("L", (32, 32), 60)
    halves.paste(200, (16, 0, 32, 32))
    guide = harness.add_dataset(a=encoded(halves, "PNG"))

    def drawn(**guided: object) -> torch.Tensor:
        asked = {"count": 1, "steps": 60, "width": 32, "height": 32, "step_size": 0.8, "seed": 7, **guided}
        params = ResolvedSampleParams.model_validate(asked).model_dump()
        job = harness.work(NewJob(kind=JobKind.SAMPLE, params=params, model_id=model_id))
        return pixels_of(harness.file(job, "synthesized-000.png")).float()

    plain, zero, guided = drawn(), *(drawn(guide_dataset_id=guide, guide_strength=strength) for strength in (0.0, 4.0))
    assert torch.equal(zero, plain)
    differences = [(one[..., 20:28].mean() - one[..., 4:12].mean()).item() for one in (plain, guided)]
    assert differences[1] - differences[0] > 25


def test_pictures_keep_the_layout_that_they_begin_with_if_they_are_asked_to(harness: WorkerHarness) -> None:
    model_id, _ = add_model(harness, boundary="torus", random_lattice=True)

    def drawn(steps: int, **asked: object) -> torch.Tensor:
        given = {"count": 1, "steps": steps, "width": 64, "height": 64, "step_size": 0.8, "seed": 7, **asked}
        params = ResolvedSampleParams.model_validate(given).model_dump()
        job = harness.work(NewJob(kind=JobKind.SAMPLE, params=params, model_id=model_id))
        return torch.nn.functional.avg_pool2d(pixels_of(harness.file(job, "synthesized-000.png")).float(), 16)

    begun, free, bound = drawn(1), drawn(400), drawn(400, layout_strength=20.0)
    assert (bound - begun).abs().mean() < 0.5 * (free - begun).abs().mean()


def test_models_are_drawn_where_their_masks_are_white_and_a_black_mask_changes_no_byte(harness: WorkerHarness) -> None:
    first, _ = add_model(harness, boundary="torus", random_lattice=True)
    levels, params = Levels(torch.tensor([60.0]), 0.1), learning_params(reference_std=3.0, picture_noise=1.5)
    other = harness.add_model(random_net(architecture_of(params, 1), 5).float(), params, levels)
    halves = Image.new("L", (48, 32), 0)
    halves.paste(255, (24, 0, 48, 32))
    mask, black = (harness.add_dataset(a=encoded(one, "PNG")) for one in (halves, Image.new("L", (48, 32))))
    guide = harness.add_dataset(a=noise_png(1))

    def drawn(**changes: object) -> bytes:
        asked = {"count": 1, "steps": 30, "width": 48, "height": 32, "step_size": 0.8, "seed": 7, **changes}
        params = ResolvedSampleParams.model_validate(asked).model_dump(mode="json")
        model_ids = tuple(models_of(params).values())
        job = harness.work(NewJob(kind=JobKind.SAMPLE, params=params, model_id=first, model_ids=model_ids))
        assert job.status == JobStatus.SUCCEEDED, job.error
        return harness.file(job, "synthesized-000.png")

    def pixels(content: bytes) -> tuple[str, torch.Tensor]:
        origin = read_origin(io.BytesIO(content))
        assert not any(name.endswith("_id") for one in origin.params["blend"] for name in one)
        assert origin.models["blend[0].model_id"] == models.find(harness.database, other).sha256
        return content, pixels_of(content).float()

    entry = {"model_id": other, "mask_dataset_id": mask}
    plain = pixels_of(drawn())
    for nothing in ({**entry, "mask_dataset_id": black}, {**entry, "weight": 0.0}, {"model_id": other, "weight": 0.0}):
        assert torch.equal(pixels_of(drawn(blend=[nothing])), plain)
    content, blended = pixels(drawn(blend=[entry]))
    assert content == drawn(blend=[entry]), "again to the byte"
    assert blended[..., :16].mean() - blended[..., 32:].mean() > 30
    tiled = {"tileable": True, "width": 50, "guide_dataset_id": guide, "guide_strength": 0.1}
    started = {"start_dataset_id": guide, "start_strength": 0.5}
    assert pixels(drawn(blend=[entry], **tiled, **started))[1].shape == (1, 32, 50)


def test_a_stop_is_seen_before_a_blend_has_read_its_masks(harness: WorkerHarness, monkeypatch) -> None:
    model_id, _ = add_model(harness, boundary="torus")
    mask = harness.add_dataset(a=noise_png(1))
    blend = [{"model_id": model_id, "mask_dataset_id": mask}]
    params = ResolvedSampleParams(count=1, width=32, height=32, steps=1, step_size=0.8, seed=7, blend=blend)
    harness.stopping = lambda: True
    monkeypatch.setattr(core.synthesis.blend_sampler, "_blend_sampler", lambda *_: pytest.fail("the masks were read"))
    with pytest.raises(WorkerStopping):
        harness.work(NewJob(JobKind.SAMPLE, params.model_dump(), model_id=model_id, model_ids=(model_id,)))


def test_a_canceled_shard_stops_and_leaves_no_file_behind(harness: WorkerHarness) -> None:
    job_id = rows.accept(harness.database, sampling(harness, split=True, steps=2000))
    context = harness.context_of(rows.claim(harness.database, Queue.SAMPLE))
    threading.Timer(0.3, requests.cancel, (harness.database, job_id)).start()
    with pytest.raises(LeaseLost):
        draw(context)
    job = rows.row(harness.database, job_id)
    assert job.status == JobStatus.CANCELED
    with pytest.raises(LeaseLost):
        context.publish_picture("synthesized-000.png", torch.zeros(1, 2, 2, dtype=torch.uint8))
    harness.blobs.delete(*requests.delete(harness.database, job_id))
    with pytest.raises(LookupError):
        harness.blobs.get(context.lease.path("synthesized-000.png"))
