"""The `train` job, from its row to its results, in the test's own process."""

import io
import json
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from support import pictures, rows
from support.worker_harness import WorkerHarness

from core.jobs import previews, requests
from core.jobs.requests import NewJob
from core.pictures.images import read_picture, standardize, to_pixels
from core.pictures.parts import NothingToLearn
from core.pictures.structure import MIN_SIDE
from core.recipe import early_stopping
from core.recipe.lighting import evened
from core.schemas.jobs import JobKind, JobStatus
from core.schemas.learning import LearningParams
from core.synthesis.trained_model import load_model
from core.theory.decoding import reconstruct
from worker import train

SIZE = 16
FEW, MANY = 5, 8  # pictures; up to FEW are held in memory


def noise(seed: int) -> bytes:
    array = np.random.default_rng(seed).integers(60, 200, (SIZE, SIZE), dtype=np.uint8)
    return pictures.encoded(Image.fromarray(array), "PNG")


def training(dataset_id: str, **settings) -> NewJob:
    given = {"image_size": SIZE, "layers": [{"filters": 4, "kernel_size": 5}], "iterations": 3, "seed": 1}
    params = LearningParams.model_validate({**given, "num_chains": 2, "langevin_steps": 1, **settings})
    return NewJob(kind=JobKind.TRAIN, params=params.model_dump(mode="json"), dataset_id=dataset_id)


@pytest.fixture(autouse=True)
def _hold_few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "DEFAULT_MAX_BATCH", FEW)


class CountedReading:
    """`read_picture`, counting its calls and the most pictures that were in memory at once."""

    def __init__(self) -> None:
        self.alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
        self.count = self.most = 0

    def __call__(self, content: bytes, size: int, channels: int) -> torch.Tensor:
        picture = read_picture(content, size, channels)
        self.alive.add(picture)
        self.count, self.most = self.count + 1, max(self.most, len(self.alive))
        return picture


@pytest.mark.parametrize("count", [FEW, MANY])
def test_pictures_are_learned_with_even_light_about_their_own_mean(harness: WorkerHarness, count):
    contents = {f"n{index:03d}": noise(index) for index in range(count)}
    rows.accept(harness.database, training(harness.add_dataset(**contents), even_light=4.0, contrast=50.0))
    context = harness.context_of(rows.claim(harness.database))
    context.begin()
    with context.renewer:
        found, levels = train._load_pictures(context, LearningParams.model_validate(context.lease.params))
        images = found.read(range(count))
    even = torch.stack([evened(read_picture(content, SIZE, 1), 4.0) for content in contents.values()])
    expected, expected_levels = standardize(even, 50.0, own_mean=True)
    torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-3)
    assert levels.gain == pytest.approx(expected_levels.gain, rel=1e-5)
    assert found.std == pytest.approx(50.0, rel=1e-4)


@pytest.mark.parametrize("count", [FEW, MANY])
def test_few_pictures_are_held_and_many_are_read_for_each_batch(harness: WorkerHarness, monkeypatch, count):
    reading = CountedReading()
    monkeypatch.setattr(train, "read_picture", reading)
    dataset_id = harness.add_dataset(**{f"n{index:03d}": noise(index) for index in range(count)})
    job = harness.work(training(dataset_id, batch_size=3))
    assert job.status == JobStatus.SUCCEEDED
    if count == FEW:
        assert reading.count == reading.most == count
    else:
        assert reading.count >= count + 3 * 3
        assert reading.most <= 6 < MANY  # a batch of 3, or the first pictures for scaling and for the contact sheet


def holed(seed: int, hidden: int, size: int = SIZE) -> bytes:
    """Noise whose left third is transparent; `hidden` is its grey level there."""
    array = np.random.default_rng(seed).integers(60, 200, (size, size), dtype=np.uint8)
    alpha = np.full_like(array, 255)
    array[:, : size // 3], alpha[:, : size // 3] = hidden, 0
    return pictures.encoded(Image.merge("LA", [Image.fromarray(array), Image.fromarray(alpha)]), "PNG")


@pytest.mark.parametrize("count", [2, MANY])
def test_what_is_under_transparent_pixels_changes_nothing_that_is_learned(harness: WorkerHarness, count):
    models = []
    for hidden in (0, 255):
        dataset_id = harness.add_dataset(**{f"n{seed}": holed(seed, hidden) for seed in range(count)})
        job = harness.work(training(dataset_id, even_light=4.0, contrast=50.0, bounded=True, batch_size=3))
        assert job.status == JobStatus.SUCCEEDED
        assert job.metrics["recoveries"] == 0
        models.append(load_model(harness.blobs.get(harness.context.lease.path("model.safetensors"))))
    one, other = models
    assert torch.equal(one.net.weights[0], other.net.weights[0])
    assert torch.equal(one.chains, other.chains)
    known = [np.asarray(pictures.decoded(holed(seed, 0)))[:, SIZE // 3 :, 0] for seed in range(count)]
    assert one.levels.mean.item() == pytest.approx(np.mean(known), abs=8)  # white would be 40 grey levels brighter


def test_pictures_that_are_transparent_all_over_leave_nothing_to_learn(harness: WorkerHarness):
    picture = pictures.encoded(Image.new("LA", (SIZE, SIZE), (100, 0)), "PNG")
    with pytest.raises(NothingToLearn, match="every pixel"):
        harness.work(training(harness.add_dataset(a=picture)))


@pytest.mark.parametrize("even_light", [None, 4.0])
@pytest.mark.parametrize("size", [(1, 1), (SIZE, SIZE), (300, 2)])
def test_pictures_of_one_colour_leave_nothing_to_learn(harness: WorkerHarness, size, even_light):
    picture = pictures.encoded(Image.new("RGB", size, (90, 140, 35)), "PNG")
    with pytest.raises(NothingToLearn, match="one colour"):
        harness.work(training(harness.add_dataset(a=picture), even_light=even_light))


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
    monkeypatch.setattr(train, "find_differences", lambda found: [f"{found.structure_ratio:.2f}"])
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


def test_small_pictures_are_not_compared(harness: WorkerHarness):
    job = harness.work(training(harness.add_dataset(a=noise(1))))
    assert "structure_ratio" not in job.metrics


def test_previews_are_kept_and_a_resumed_job_goes_on_with_them(harness: WorkerHarness, monkeypatch) -> None:
    monkeypatch.setattr(harness, "settings", harness.settings.model_copy(update={"preview_seconds": 1e-9}))
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
