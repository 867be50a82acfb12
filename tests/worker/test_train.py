"""The `train` job, from its row to its results, in the test's own process."""

import io
import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image
from redis import Redis
from support import pictures, rows
from support.training_jobs import SIZE, noise, training
from support.waiting import PATIENCE_SECONDS, until
from support.worker_harness import WorkerHarness, show_every_step

from core.jobs import outcomes, previews, requests
from core.pictures.images import read_picture, to_pixels
from core.pictures.spectrum import band_powers
from core.pictures.structure import MIN_SIDE
from core.recipe import early_stopping
from core.recipe.checkpoint import load_checkpoint
from core.recipe.fine_detail import FINE_BANDS
from core.schemas.jobs import JobStatus
from core.synthesis.trained_model import load_model
from core.theory.decoding import reconstruct
from worker import lease_renewer, train
from worker.lease_renewer import JobCanceled

STEPS = 4


def test_a_training_that_ends_early_says_after_how_many_iterations(harness: WorkerHarness, monkeypatch):
    monkeypatch.setattr(early_stopping, "is_steady", lambda _: True)
    monkeypatch.setattr(early_stopping, "find_warnings", lambda _: [])
    settings = {"iterations": 20, "stop_when_steady": True}
    job = harness.work(training(harness.add_dataset(a=noise(1)), **settings))
    assert job.metrics["steady_at"] == 3  # the first iteration after the warm-up; then a quarter of 20
    warnings = job.metrics["remarks"]
    assert warnings[0] == "ended early, after 8 of 20 iterations: its pictures had stopped coming nearer"
    assert not any("more iterations" in one for one in warnings)


def test_contrastive_training_ends_with_reconstructions_and_health(harness: WorkerHarness, monkeypatch):
    monkeypatch.setattr(train, "find_warnings", lambda *_: ["a warning"])
    contents = [noise(seed) for seed in range(3)]
    dataset_id = harness.add_dataset(**{f"n{index}": content for index, content in enumerate(contents)})
    settings = {"contrastive": True, "boundary": "padded", "reference_std": 5.0, "step_size": 2.0, "contrast": 20.0}
    job = harness.work(training(dataset_id, **settings))
    assert job.status == JobStatus.SUCCEEDED
    names = [one.name for one in job.artifacts]
    assert [name for name in names if name.startswith("reconstructed")] == [
        f"reconstructed-00{n}.png" for n in range(3)
    ]
    assert {"contact-sheet-1.png", "filters.png", "metrics.json", "metrics.png"} <= set(names)
    model = load_model(harness.blobs.get(harness.context.lease.path("model.safetensors")))
    for index, content in enumerate(contents):
        made = np.asarray(pictures.decoded(harness.file(job, f"reconstructed-{index:03d}.png")))
        assert made.shape == (SIZE, SIZE)
        known = model.levels.standardize(read_picture(content, SIZE, 1)[None])
        expected = to_pixels(reconstruct(model.net, known, "padded"), model.levels)[0, 0].numpy()
        assert np.abs(made.astype(int) - expected).max() <= 1  # rounding
    known = model.levels.standardize(torch.stack([read_picture(content, SIZE, 1) for content in contents]))
    error = (known - reconstruct(model.net, known, "padded")).square().mean().sqrt() / model.levels.gain
    assert job.metrics["reconstruction_std"] == pytest.approx(error.item(), rel=1e-4)
    assert job.metrics["recoveries"] == 0
    assert job.metrics["precision"] == "float32", "auto is, for contrastive divergence"
    assert job.metrics["remarks"] == ["a warning"]
    series = json.loads(harness.file(job, "metrics.json"))
    assert [one["iteration"] for one in series] == [1, 2, 3]
    assert job.metrics["chain_std"] == series[-1]["chain_std"]
    assert job.metrics["data_std"] == pytest.approx(
        np.std(np.stack([np.asarray(pictures.decoded(c)) for c in contents])), rel=1e-3
    )


def test_training_without_contrastive_divergence_reconstructs_nothing(harness: WorkerHarness):
    job = harness.work(training(harness.add_dataset(a=noise(1))))
    names = [one.name for one in job.artifacts]
    assert not [name for name in names if name.startswith("reconstructed")]
    assert [name for name in names if name.startswith("synthesized")] == ["synthesized-000.png", "synthesized-001.png"]


def test_a_texture_learned_by_windows_ends_with_a_picture_of_the_whole_size_and_how_it_resembles(
    harness: WorkerHarness, monkeypatch
):
    side = 2 * MIN_SIDE
    monkeypatch.setattr(train, "find_differences", lambda found, _: [f"{found.structure_ratio:.2f}"])
    content = pictures.encoded(pictures.colors(side, side), "PNG")
    settings = {"image_size": side, "patch_size": SIZE, "batch_size": 1, "num_chains": 3, "layerwise": False}
    job = harness.work(training(harness.add_dataset(a=content), **settings))
    assert job.status == JobStatus.SUCCEEDED, job.error
    made = pictures.decoded(harness.file(job, "synthesized-000.png"))
    assert made.size == (side, side)
    drawn = [one.name for one in job.artifacts if one.name.startswith("synthesized")]
    assert len(drawn) == train.DRAWN_PICTURES < settings["num_chains"]
    assert job.metrics["remarks"][-1] == f"{job.metrics['structure_ratio']:.2f}"
    assert job.metrics["spectrum_deviation"] >= 1
    again = harness.work(training(harness.add_dataset(a=content), **settings))
    assert harness.file(again, "synthesized-000.png") == harness.file(job, "synthesized-000.png")


def test_coarse_picture_windows_and_canvas_are_shown_as_they_are_learned(
    harness: WorkerHarness, redis: Redis, monkeypatch
) -> None:
    monkeypatch.setattr(train, "find_warnings", lambda *given: [f"more {given[-1]}"])
    show_every_step(harness, monkeypatch)
    side = 40
    content = pictures.encoded(pictures.colors(side, side), "PNG")
    iterations = {"coarse_iterations": 1, "coarse_factor": 2, "iterations": 2, "canvas_iterations": 2}
    settings = {"image_size": side, "patch_size": SIZE, "layerwise": False, "contrast": 50.0, **iterations}
    job = harness.work(training(harness.add_dataset(a=content), **settings))
    assert job.status == JobStatus.SUCCEEDED, job.error
    expected = [(1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 3, 1), (5, 3, 2)]
    found = previews.listing(harness.database, job.id)
    assert [(row.step, row.stage, row.iteration) for row in found] == expected
    assert (found[0].height, found[-1].height) == (side // 2, side)
    series = requests.metrics(harness.database, job.id)
    assert [(one["step"], one["stage"], one["iteration"]) for one in series] == expected
    stds = [one["data_std"] for one in series]
    assert stds[0] < stds[1], "in the pictures' own grey levels, although the coarse one is stretched"
    sheets = [pictures.decoded(harness.file(job, f"contact-sheet-{stage}.png")) for stage in (1, 2, 3)]
    assert sheets[0].size < sheets[2].size
    model = load_model(harness.blobs.get(harness.context.lease.path("model.safetensors")))
    assert model.chains.shape[-1] >= side
    assert pictures.decoded(harness.file(job, "synthesized-000.png")).size == (side, side)
    assert job.metrics["remarks"] == ["more coarse_iterations, iterations and canvas_iterations"]
    entries = redis.xrange(f"genconvnet:events:{job.id}")
    told = [json.loads(fields[b"data"]) for _, fields in entries if fields[b"name"] == b"progress"]  # type: ignore[union-attr]
    fractions = [one["fraction"] for one in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == train.LEARNED_SHARE < job.progress["fraction"] == 1, "the results are stored after the last"
    assert told[-1]["eta_seconds"] is None


def test_small_pictures_of_an_object_and_then_large_ones_are_shown_as_they_are_learned(
    harness: WorkerHarness, monkeypatch
) -> None:
    show_every_step(harness, monkeypatch)
    contents = {name: pictures.encoded(pictures.colors(32, 32), "PNG") for name in ("a", "b")}
    settings = {
        "image_size": 32,
        "layers": [{"filters": 4, "kernel_size": 6, "stride": 2}, {"filters": 3, "kernel_size": 3, "stride": 2}],
        "top": "object",
        "boundary": "padded",
        "layerwise": False,
        "initialization": "noise",
        "num_chains": 2,
        "coarse_iterations": 2,
        "coarse_factor": 2,
        "iterations": 3,
    }
    job = harness.work(training(harness.add_dataset(**contents), **settings))
    assert job.status == JobStatus.SUCCEEDED, job.error
    found = previews.listing(harness.database, job.id)
    assert [(row.step, row.stage, row.iteration) for row in found] == [
        (1, 1, 1),
        (2, 1, 2),
        (3, 2, 1),
        (4, 2, 2),
        (5, 2, 3),
    ]
    assert 1.5 * found[0].height < found[-1].height
    model = load_model(harness.blobs.get(harness.context.lease.path("model.safetensors")))
    assert model.chains.shape == (2, 3, 32, 32)
    assert [tuple(weight.shape) for weight in model.net.weights[:2]] == [(4, 3, 6, 6), (3, 4, 3, 3)]
    assert {"contact-sheet-1.png", "contact-sheet-2.png"} <= {one.name for one in job.artifacts}


def test_the_fine_detail_of_the_pictures_is_that_of_the_training_picture(harness: WorkerHarness, monkeypatch):
    """The filter is kept with the model, and applied to what the job itself ends with."""
    content = pictures.encoded(pictures.colors(64, 64), "PNG")
    learned = {"image_size": 64, "layerwise": False, "boundary": "torus", "picture_noise": 20.0, "num_chains": 1}
    job = harness.work(training(harness.add_dataset(a=content), **learned))
    kernel = load_model(harness.blobs.get(harness.context.lease.path("model.safetensors"))).detail_filter
    assert kernel is not None
    monkeypatch.setattr(train, "detail_filter_of", lambda *_: None)
    plain = harness.work(training(harness.add_dataset(a=content), **learned))
    made, without = (
        torch.from_numpy(np.array(pictures.decoded(harness.file(one, "synthesized-000.png")))).movedim(-1, 0).float()
        for one in (job, plain)
    )
    assert (made - without).abs().max() > 5
    picture = read_picture(content, 64, 3)
    wanted, found, before = (band_powers(one, 64)[:FINE_BANDS].log() for one in (picture, made, without))
    assert (found - wanted).abs().mean() < (before - wanted).abs().mean()


def test_small_pictures_are_not_compared(harness: WorkerHarness):
    job = harness.work(training(harness.add_dataset(a=noise(1))))
    assert "structure_ratio" not in job.metrics


def test_previews_change_no_byte_of_the_model(harness: WorkerHarness, monkeypatch) -> None:
    settings = {"boundary": "torus", "picture_noise": 1.0, "random_lattice": True, "iterations": 4}
    new, made = training(harness.add_dataset(a=noise(1)), **settings), []
    for _ in range(2):
        job = harness.work(new)
        files = {one.name: harness.file(job, one.name) for one in job.artifacts if one.name != "preview.png"}
        made.append((harness.blobs.get(harness.context.lease.path("model.safetensors")), files))
        show_every_step(harness, monkeypatch)
    assert len(previews.listing(harness.database, job.id)) == 4
    assert made[0] == made[1]


def test_previews_are_kept_and_a_resumed_job_goes_on_with_them(harness: WorkerHarness, monkeypatch) -> None:
    show_every_step(harness, monkeypatch)
    new = training(harness.add_dataset(a=noise(1)), iterations=2)
    job = harness.work(new)
    assert [row.step for row in previews.listing(harness.database, job.id)] == [1, 2]
    requests.resume(harness.database, job.id, {**job.params, "iterations": 4})
    context = harness.context_of(rows.claim(harness.database))
    with context.renewer:
        train.train(context)
    found = previews.listing(harness.database, job.id)
    assert [(row.step, row.stage, row.iteration) for row in found] == [(n, 1, n) for n in (1, 2, 3, 4)]
    latest = harness.file(requests.find(harness.database, job.id), "preview.png")
    assert harness.blobs.get(found[-1].blob) == latest
    assert (found[0].width, found[0].height) == Image.open(io.BytesIO(latest)).size


def test_a_canceled_training_goes_on_from_the_iteration_it_was_canceled_in(harness: WorkerHarness, monkeypatch) -> None:
    """To the same weights as without the cancellation, although it comes between two Langevin steps."""
    monkeypatch.setattr(lease_renewer, "CANCEL_GRACE_SECONDS", PATIENCE_SECONDS)
    checks = itertools.count(1)

    def cancel_between_two_steps() -> bool:
        if next(checks) == 2 * (STEPS + 1) + STEPS // 2:
            requests.cancel(harness.database, harness.context.lease.job_id)
            until(lambda: harness.context.renewer._reason)
        return False

    new = training(harness.add_dataset(a=noise(1)), iterations=10, langevin_steps=STEPS)
    harness.stopping = cancel_between_two_steps
    with pytest.raises(JobCanceled):
        harness.work(new)
    lease = harness.context.lease
    outcomes.cancel(harness.database, lease)
    checkpoint = rows.row(harness.database, lease.job_id).checkpoint
    assert checkpoint is not None
    assert 0 < load_checkpoint(harness.blobs.get(checkpoint), torch.device("cpu")).iteration < 10
    requests.resume(harness.database, lease.job_id)
    resumed = harness.context_of(rows.claim(harness.database))
    with resumed.renewer:
        train.train(resumed)
    harness.work(new)
    assert harness.blobs.get(resumed.lease.path("model.safetensors")) == harness.blobs.get(
        harness.context.lease.path("model.safetensors")
    )
