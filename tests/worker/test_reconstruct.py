"""The `reconstruct` job, from its row to its results."""

import math
import time

import pytest
import torch
from PIL import Image
from support import pictures
from support.finished_models import (
    LEVELS,
    SIZE,
    add_model,
    learning_params,
    levels_of,
    noise_png,
    pixels_of,
    rebuild,
)

import worker.inputs
from core.jobs.requests import NewJob
from core.pictures.images import Levels, read_picture, to_bytes, to_pixels
from core.recipe.lighting import Light
from core.schemas.jobs import JobKind, JobStatus
from core.schemas.reconstruction import ReconstructParams
from core.theory import decoding
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet
from worker.inputs import MAX_BATCH
from worker.job_context import JobContext
from worker.lease_renewer import JobCanceled
from worker.reconstruct import SHEET_PICTURES


def reconstruction(model_id: str, dataset_id: str, **params) -> NewJob:
    values = ReconstructParams(**params).model_dump()
    return NewJob(kind=JobKind.RECONSTRUCT, params=values, model_id=model_id, dataset_id=dataset_id)


@pytest.mark.parametrize(
    ("params", "boundary"),
    [
        ({"boundary": "valid"}, "valid"),
        ({"boundary": "padded"}, "padded"),
        ({"top": "object", "boundary": "padded"}, "padded"),
        ({"top": "object", "boundary": "valid"}, "valid"),
        ({"boundary": "torus"}, "mirrored"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_one_pass_is_eq20_with_the_boundary_of_the_model(harness, params, boundary, channels):
    model_id, net = add_model(harness, channels, **params)
    levels = levels_of(channels)
    contents = {"a": noise_png(1), "b": noise_png(2, channels=3, size=40)}
    job = harness.work(reconstruction(model_id, harness.add_dataset(**contents)))
    assert job.status == JobStatus.SUCCEEDED
    assert [one.name for one in job.artifacts] == [
        "contact-sheet.png",
        "reconstructed-000.png",
        "reconstructed-001.png",
    ]
    for index, content in enumerate(contents.values()):
        picture = read_picture(content, SIZE, channels)
        expected = to_pixels(rebuild(net, levels.standardize(picture[None]), boundary), levels)[0]
        found = pixels_of(harness.file(job, f"reconstructed-{index:03d}.png"))
        assert torch.equal(found, expected)
        about = job.metrics["reconstructions"][index]
        assert (about["index"], about["filename"]) == (index, f"{list(contents)[index]}.png")
        rmse = (found.double() - picture).square().mean().sqrt().item()
        assert about["rmse"] == pytest.approx(rmse, abs=1e-3)
        assert about["psnr"] == pytest.approx(20 * math.log10(255 / rmse), abs=1e-2)
        assert (about["converged"], about["residual"]) == (None, None)
    ratios = [about["psnr"] for about in job.metrics["reconstructions"]]
    assert job.metrics["mean_psnr"] == pytest.approx(sum(ratios) / 2, abs=1e-2)


def test_light_that_the_model_did_not_learn_is_removed_before_and_added_after(harness):
    model_id, net = add_model(harness, 3, boundary="padded", even_light=4.0)
    levels, content = levels_of(3), noise_png(1, channels=3)
    job = harness.work(reconstruction(model_id, harness.add_dataset(a=content)))
    picture = read_picture(content, SIZE, 3)
    light = Light.of(picture, 4.0)
    assert light.shift.std() > 5
    rebuilt = levels.to_grey_levels(rebuild(net, levels.standardize(light.without(picture)[None]), "padded"))[0]
    assert torch.equal(pixels_of(harness.file(job, "reconstructed-000.png")), to_bytes(light.given_to(rebuilt)))


def test_attractor_mode_finds_modes(harness):
    model_id, net = add_model(harness, boundary="valid")  # one layer: every picture converges to a mode (Prop. 2)
    contents = {"a": noise_png(1), "b": noise_png(2)}
    job = harness.work(reconstruction(model_id, harness.add_dataset(**contents), mode="attractor", frames=4))
    for index, content in enumerate(contents.values()):
        about = job.metrics["reconstructions"][index]
        assert about["converged"]
        assert about["residual"] < 1e-5
        # The mode of one picture alone is that of the batch.
        mode = decoding.find_mode(net, LEVELS.standardize(read_picture(content, SIZE, 1)[None]), tolerance=1e-5)
        found = pixels_of(harness.file(job, f"reconstructed-{index:03d}.png"))
        assert (found.int() - to_pixels(mode.images, LEVELS)[0].int()).abs().max() <= 1
        walk = [harness.file(job, f"walk-{index:03d}-{number:02d}.png") for number in range(len(about["frames"]))]
        assert torch.equal(pixels_of(walk[0]), pixels_of(content))
        assert torch.equal(pixels_of(walk[-1]), found)
        assert 2 < len(walk) <= 4
        assert about["frames"][0] == 0
        assert about["frames"] == sorted(about["frames"])


def test_a_search_that_ends_before_a_mode_says_so(harness):
    model_id, _ = add_model(harness)
    job = harness.work(reconstruction(model_id, harness.add_dataset(a=noise_png(1)), mode="attractor", steps=1))
    (about,) = job.metrics["reconstructions"]
    assert not about["converged"]
    assert about["residual"] > 1e-5


def test_a_perfect_reconstruction_has_no_psnr(harness):
    net = GenerativeConvNet(architecture_of(learning_params(), 1))
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)  # reconstructs the mean only
    model_id = harness.add_model(net, learning_params(), Levels(torch.tensor([128.0])))
    grey = pictures.encoded(Image.new("L", (SIZE, SIZE), 128), "PNG")
    job = harness.work(reconstruction(model_id, harness.add_dataset(a=grey)))
    assert job.metrics["reconstructions"][0]["rmse"] == 0
    assert (job.metrics["reconstructions"][0]["psnr"], job.metrics["mean_psnr"]) == (None, None)


def test_more_pictures_than_a_batch_keep_their_order(harness):
    model_id, net = add_model(harness)
    contents = {f"p{index}": noise_png(index) for index in range(MAX_BATCH + 3)}
    job = harness.work(reconstruction(model_id, harness.add_dataset(**contents)))
    assert [one["filename"] for one in job.metrics["reconstructions"]] == [f"{name}.png" for name in contents]
    assert len(job.artifacts) == len(contents) + 1
    last = read_picture(list(contents.values())[-1], SIZE, 1)[None]
    expected = to_pixels(rebuild(net, LEVELS.standardize(last), "mirrored"), LEVELS)[0]
    assert (pixels_of(harness.file(job, "reconstructed-018.png")).int() - expected.int()).abs().max() <= 1
    assert job.progress["stage"] == job.progress["stages"] == len(contents)
    sheet = pixels_of(harness.file(job, "contact-sheet.png"))
    assert sheet.shape == (1, 2 * SIZE + 2, SHEET_PICTURES * (SIZE + 2) - 2)
    assert torch.equal(sheet[:, :SIZE, :SIZE], pixels_of(contents["p0"]))
    assert torch.equal(sheet[:, SIZE + 2 :, :SIZE], pixels_of(harness.file(job, "reconstructed-000.png")))


def test_a_canceled_job_stops_during_its_work(harness, monkeypatch):
    monkeypatch.setattr(JobContext, "report_progress", lambda *_: time.sleep(0.02))  # the work would last seconds
    monkeypatch.setattr(worker.inputs, "MAX_BATCH", 1)
    model_id, _ = add_model(harness)
    many = harness.add_dataset(**{f"p{index}": noise_png(index) for index in range(20)})
    with pytest.raises(JobCanceled):
        harness.work(reconstruction(model_id, many, mode="attractor"), harness.cancel_soon)
