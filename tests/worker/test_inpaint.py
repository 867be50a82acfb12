"""The `inpaint` job, from its row to its results."""

from types import SimpleNamespace

import pytest
import torch
from nets import random_net
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
    png_with_hole,
)

from core.jobs.requests import NewJob
from core.pictures.images import MaskedPicture, read_masked_picture
from core.recipe.lighting import Light
from core.schemas.inpainting import InpaintParams, ResolvedInpaintParams
from core.schemas.jobs import JobKind, JobStatus
from core.schemas.learned import LearnedSettings
from core.synthesis.inpainting import inside_seam
from core.synthesis.trained_model import TrainedModel
from core.theory.learning import architecture_of
from worker import inpaint
from worker.errors import NonFiniteResult
from worker.lease_renewer import JobCanceled, WorkerStopping


def resolved(**params) -> ResolvedInpaintParams:
    learned = LearnedSettings.model_validate(learning_params().model_dump())
    return InpaintParams(**{"steps": 5, **params}).resolved(learned, seed=11)


def inpainting(model_id: str, dataset_id: str, **params) -> NewJob:
    values = resolved(**params).model_dump()
    return NewJob(kind=JobKind.INPAINT, params=values, model_id=model_id, dataset_id=dataset_id)


@pytest.mark.parametrize("channels", [1, 3])
def test_known_pixels_stay_and_the_others_are_painted(harness, channels):
    model_id, _ = add_model(harness, channels)
    contents = {"a": png_with_hole(1), "b": png_with_hole(2, size=40, channels=1)}
    job = harness.work(inpainting(model_id, harness.add_dataset(**contents), count=2))
    assert job.status == JobStatus.SUCCEEDED
    assert [one.name for one in job.artifacts] == [f"inpainted-{index:03d}.png" for index in range(4)]
    about = job.metrics["inpaintings"]
    assert [(one["name"], one["picture"], one["filename"]) for one in about] == [
        ("inpainted-000.png", 0, "a.png"),
        ("inpainted-001.png", 0, "a.png"),
        ("inpainted-002.png", 1, "b.png"),
        ("inpainted-003.png", 1, "b.png"),
    ]
    for one in about:
        masked = read_masked_picture(contents[one["filename"][0]], SIZE, channels)
        found = pixels_of(harness.file(job, one["name"]))
        assert torch.equal(found[:, masked.known].float(), masked.pixels[:, masked.known])
        assert one["unknown_fraction"] == pytest.approx(1 - masked.known.float().mean().item(), abs=1e-3)
    first, second = (pixels_of(harness.file(job, f"inpainted-00{index}.png")) for index in range(2))
    assert not torch.equal(first, second)


def test_a_variant_does_not_depend_on_the_number_of_variants(harness):
    model_id, _ = add_model(harness)
    dataset_id = harness.add_dataset(a=png_with_hole(1), b=png_with_hole(2))
    one = harness.work(inpainting(model_id, dataset_id, count=1))
    three = harness.work(inpainting(model_id, dataset_id, count=3))
    for index in range(2):
        found = harness.file(three, f"inpainted-{3 * index:03d}.png")
        assert torch.equal(pixels_of(found), pixels_of(harness.file(one, f"inpainted-{index:03d}.png")))


def test_the_light_of_a_picture_is_computed_once_for_all_its_variants(harness, monkeypatch):
    computed, of_periodic = [], Light.of_periodic
    monkeypatch.setattr(Light, "of_periodic", lambda *given: computed.append(given) or of_periodic(*given))
    model_id, _ = add_model(harness, boundary="torus", even_light=4.0)
    dataset_id = harness.add_dataset(a=noise_png(1), b=noise_png(2))
    job = harness.work(inpainting(model_id, dataset_id, count=3, seam=True, seam_width=3))
    assert len(job.artifacts) == 6
    assert len(computed) == 2


def test_a_chain_that_diverges_fails_with_its_reason(harness):
    net = random_net(architecture_of(learning_params(), 1), 3).float()
    with torch.no_grad():
        net.weights[0].fill_(3e38)
    model_id = harness.add_model(net, learning_params(), LEVELS)
    with pytest.raises(NonFiniteResult, match="smaller"):
        harness.work(inpainting(model_id, harness.add_dataset(a=png_with_hole(1)), steps=20))


def test_painted_pixels_have_the_light_of_their_surroundings():
    params = learning_params(boundary="padded")
    net = random_net(architecture_of(params, 3), 3).float()
    masked = read_masked_picture(png_with_hole(1), SIZE, 3)
    light = Light.of(masked.pixels, 4.0, masked.known)
    progress, previews = SimpleNamespace(report=lambda *_: None), SimpleNamespace(publish_when_due=lambda *_: None)
    cpu = torch.device("cpu")

    def painted(params, pixels):
        model = TrainedModel(net, levels_of(3), torch.zeros(1, 3, SIZE, SIZE), params)
        picture = inpaint._Prepared(
            MaskedPicture(pixels, masked.known), Light.of(pixels, params.even_light, masked.known)
        )
        variant = inpaint._Variant(0, 7)
        return inpaint._inpaint_variant(model, picture, resolved(), variant, progress, previews, cpu).float()

    evened = painted(params.model_copy(update={"even_light": 4.0}), masked.pixels)
    plain = painted(params, light.without(masked.pixels))
    new = ~masked.known & (plain > 0).all(dim=0) & (plain < 255).all(dim=0)
    assert new.any()
    torch.testing.assert_close(evened[:, new], light.given_to(plain).clamp(0, 255)[:, new], rtol=0, atol=1.01)
    assert light.shift[:, new].std() > 3


@pytest.mark.parametrize("model", [{}, {"picture_noise": 1.0, "even_light": 4.0, "random_lattice": True}])
def test_a_picture_is_made_tileable_and_only_its_edges_change(harness, model):
    model_id, _ = add_model(harness, boundary="torus", **model)
    wide = pictures.encoded(pictures.decoded(noise_png(1, size=32)).crop((0, 0, 25, SIZE)), "PNG")
    job = harness.work(inpainting(model_id, harness.add_dataset(a=wide), seam=True, seam_width=3))
    before, after = pixels_of(wide), pixels_of(harness.file(job, "inpainted-000.png"))
    assert after.shape == (1, SIZE, 25)
    assert torch.equal(after[:, 3:-3, 3:-3], before[:, 3:-3, 3:-3])
    changed = (after != before)[0]
    assert changed[:3].any(dim=1).all()
    assert changed[:, -3:].any(dim=0).all()
    assert job.metrics["inpaintings"][0]["unknown_fraction"] == pytest.approx(1 - 10 * 19 / (SIZE * 25), abs=1e-3)


def test_a_grey_picture_stays_grey_also_by_a_model_of_colour(harness):
    model_id = harness.add_model(
        random_net(architecture_of(learning_params(boundary="torus"), 3), 3).float(),
        learning_params(boundary="torus"),
        levels_of(3),
    )
    empty = pictures.encoded(Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0)), "PNG")
    job = harness.work(inpainting(model_id, harness.add_dataset(a=empty)))
    red, green, _ = pixels_of(harness.file(job, "inpainted-000.png"))
    assert not torch.equal(red, green), "nothing is known of its colours"
    for content, grey in ((noise_png(1), True), (noise_png(1, channels=3), False)):
        job = harness.work(inpainting(model_id, harness.add_dataset(a=content), seam=True, seam_width=3))
        red, green, blue = pixels_of(harness.file(job, "inpainted-000.png"))
        assert torch.equal(red, green) is torch.equal(green, blue) is grey


def test_the_light_of_a_periodic_picture_is_smooth_across_its_edges():
    ramp = torch.linspace(60, 180, SIZE).expand(1, SIZE, SIZE).contiguous()
    known = inside_seam(SIZE, SIZE, 4)
    light = Light.of_periodic(ramp, 4.0, known)
    across = (light.shift - light.shift.roll(1, 2)).abs()[0]
    one_sided = Light.of(ramp, 4.0, known).shift
    assert across[:, 0].max() < (one_sided - one_sided.roll(1, 2)).abs()[0, :, 0].max() / 3


def test_the_results_of_a_stopped_job_are_deleted(harness):
    model_id, _ = add_model(harness)
    new = inpainting(model_id, harness.add_dataset(a=png_with_hole(1)), count=9)
    harness.stopping = lambda: len(harness.context.artifacts) == 3
    with pytest.raises(WorkerStopping):
        harness.work(new)
    paths = [one.stored.blob for one in harness.context.artifacts]
    harness.context.delete_artifacts()
    assert len(paths) == 3
    for path in paths:
        with pytest.raises(LookupError):
            harness.blobs.get(path)


def test_a_canceled_job_stops_during_its_work(harness):
    model_id, _ = add_model(harness)
    new = inpainting(model_id, harness.add_dataset(a=png_with_hole(1)), count=64, steps=10_000)
    with pytest.raises(JobCanceled):
        harness.work(new, harness.cancel_soon)
