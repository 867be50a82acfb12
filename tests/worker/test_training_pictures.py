"""What a training job learns from (worker/training_pictures.py)."""

import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from support import pictures, rows
from support.training_jobs import SIZE, noise, training
from support.worker_harness import WorkerHarness

from core.pictures.images import read_picture, standardize
from core.pictures.known_pixels import NothingToLearn
from core.recipe.lighting import evened
from core.schemas.jobs import JobStatus
from core.schemas.learning import LearningParams
from core.synthesis.trained_model import load_model
from worker import training_pictures

FEW, MANY = 5, 8  # pictures; up to FEW are held in memory


@pytest.fixture(autouse=True)
def _hold_few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_pictures, "DEFAULT_MAX_BATCH", FEW)


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
        found, levels = training_pictures.load_pictures(context, LearningParams.model_validate(context.lease.params))
        images = found.read(range(count))
    even = torch.stack([evened(read_picture(content, SIZE, 1), 4.0) for content in contents.values()])
    expected, expected_levels = standardize(even, 50.0, own_mean=True)
    torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-3)
    assert levels.gain == pytest.approx(expected_levels.gain, rel=1e-5)
    assert found.std == pytest.approx(50.0, rel=1e-4)


@pytest.mark.parametrize("count", [FEW, MANY])
def test_few_pictures_are_held_and_many_are_read_for_each_batch(harness: WorkerHarness, monkeypatch, count):
    reading = CountedReading()
    monkeypatch.setattr(training_pictures, "read_picture", reading)
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
        assert job.metrics["opaque_share"] == pytest.approx(7 / 12)  # of windows of 5 pixels, a third of 16 hidden
        assert any("leave 58% of the windows of 5 pixels" in warning for warning in job.metrics["remarks"])
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
