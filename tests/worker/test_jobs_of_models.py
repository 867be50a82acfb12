"""Finished models put to use: `reconstruct`, `inpaint` and `classify`, from a job's row to its results."""

import io
import json
import math
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nets import random_net
from PIL import Image
from support import pictures
from support.workplace import Workplace

import worker.classify
from core.jobs import requests
from core.jobs.requests import NewJob
from core.pictures.images import Levels, MaskedPicture, read_masked_picture, read_picture, to_bytes, to_pixels
from core.recipe.lighting import Light, evened
from core.schemas.classification import ClassifyParams
from core.schemas.inpainting import InpaintParams
from core.schemas.jobs import JobKind, JobStatus
from core.schemas.learned import LearnedSettings
from core.schemas.learning import LearningParams
from core.schemas.reconstruction import ReconstructParams
from core.synthesis.trained_model import TrainedModel
from core.theory import decoding
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet
from worker import inpaint
from worker.errors import Diverged
from worker.inputs import MAX_BATCH
from worker.lease import Canceled, Stopping
from worker.reconstruct import SHOWN_PICTURES

SIZE = 16
LEVELS = Levels(torch.tensor([120.0]), 0.05)


def learned(**params) -> LearningParams:
    layers = [{"filters": 4, "kernel_size": 5}]
    given = {"image_size": SIZE, "layers": layers, "reference_std": 2.0, "step_size": 0.8, "seed": 1, **params}
    return LearningParams.model_validate(given)


def a_model(workplace: Workplace, channels: int = 1, seed: int = 3, **params) -> tuple[str, GenerativeConvNet, Levels]:
    settings = learned(**params)
    net = random_net(architecture_of(settings, channels), seed).float()
    levels = Levels(LEVELS.mean.repeat(channels), LEVELS.gain)
    return workplace.add_model(net, settings, levels), net, levels


def noise(seed: int, *, channels: int = 1, size: int = SIZE) -> bytes:
    shape = (size, size) if channels == 1 else (size, size, channels)
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return pictures.encoded(Image.fromarray(array), "PNG")


def holed(seed: int, *, size: int = SIZE, channels: int = 3) -> bytes:
    picture = Image.open(io.BytesIO(noise(seed, channels=channels, size=size)))
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (size // 4, size // 4, size // 2, 3 * size // 4))
    picture.putalpha(alpha)
    return pictures.encoded(picture, "PNG")


def bytes_of(content: bytes) -> torch.Tensor:
    """A PNG file -> (C, H, W) bytes."""
    array = np.asarray(pictures.decoded(content))
    return torch.tensor(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)


def reconstruction(model_id: str, dataset_id: str, **params) -> NewJob:
    values = ReconstructParams(**params).model_dump()
    return NewJob(kind=JobKind.RECONSTRUCT, params=values, model_id=model_id, dataset_id=dataset_id)


def inpainting(model_id: str, dataset_id: str, **params) -> NewJob:
    values = InpaintParams(**{"steps": 5, **params}).resolved(as_learned(), seed=11).model_dump()
    return NewJob(kind=JobKind.INPAINT, params=values, model_id=model_id, dataset_id=dataset_id)


def classification(dataset_id: str, *model_ids: str, **params) -> NewJob:
    values = ClassifyParams(**{"temperatures": 5, "steps": 1, **params}).resolved(model_ids, seed=5).model_dump()
    return NewJob(kind=JobKind.CLASSIFY, params=values, model_ids=model_ids, dataset_id=dataset_id)


def rebuilt(net: GenerativeConvNet, images: torch.Tensor, boundary: str) -> torch.Tensor:
    """σ²B; "mirrored": of the picture continued by its mirror image as far as filters reach beyond it."""
    if boundary != "mirrored":
        return decoding.reconstruct(net, images, boundary)
    halo = net.architecture.halo
    around = torch.nn.functional.pad(images, (halo,) * 4, mode="reflect")
    return decoding.reconstruct(net, around)[..., halo:-halo, halo:-halo]


def as_learned() -> LearnedSettings:
    return LearnedSettings.model_validate(learned().model_dump())


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
def test_one_pass_is_eq20_of_the_picture_as_the_model_knows_it(workplace, params, boundary, channels):
    model_id, net, levels = a_model(workplace, channels, **params)
    contents = {"a": noise(1), "b": noise(2, channels=3, size=40)}
    job = workplace.work(reconstruction(model_id, workplace.add_dataset(**contents)))
    assert job.status == JobStatus.SUCCEEDED
    assert [one.name for one in job.artifacts] == [
        "contact-sheet.png",
        "reconstructed-000.png",
        "reconstructed-001.png",
    ]
    for index, content in enumerate(contents.values()):
        picture = read_picture(content, SIZE, channels)
        expected = to_pixels(rebuilt(net, levels.standardize(picture[None]), boundary), levels)[0]
        found = bytes_of(workplace.file(job, f"reconstructed-{index:03d}.png"))
        assert torch.equal(found, expected)
        about = job.metrics["reconstructions"][index]
        assert (about["index"], about["filename"]) == (index, f"{list(contents)[index]}.png")
        rmse = (found.double() - picture).square().mean().sqrt().item()
        assert about["rmse"] == pytest.approx(rmse, abs=1e-3)
        assert about["psnr"] == pytest.approx(20 * math.log10(255 / rmse), abs=1e-2)
        assert (about["converged"], about["residual"]) == (None, None)
    ratios = [about["psnr"] for about in job.metrics["reconstructions"]]
    assert job.metrics["mean_psnr"] == pytest.approx(sum(ratios) / 2, abs=1e-2)


def test_light_that_a_model_did_not_learn_is_taken_out_before_and_given_back(workplace):
    model_id, net, levels = a_model(workplace, 3, boundary="padded", even_light=4.0)
    content = noise(1, channels=3)
    job = workplace.work(reconstruction(model_id, workplace.add_dataset(a=content)))
    picture = read_picture(content, SIZE, 3)
    light = Light.of(picture, 4.0)
    assert light.shift.std() > 5
    made = levels.to_grey_levels(rebuilt(net, levels.standardize(light.without(picture)[None]), "padded"))[0]
    assert torch.equal(bytes_of(workplace.file(job, "reconstructed-000.png")), to_bytes(light.given_to(made)))


def test_what_is_painted_has_the_light_of_its_surroundings():
    params = learned(boundary="padded")
    net = random_net(architecture_of(params, 3), 3).float()
    levels = Levels(LEVELS.mean.repeat(3), LEVELS.gain)
    masked = read_masked_picture(holed(1), SIZE, 3)
    light = Light.of(masked.pixels, 4.0, masked.known)
    asked, pace = InpaintParams(steps=5).resolved(as_learned(), seed=11), SimpleNamespace(tell=lambda *_: None)

    def painted(params, pixels):
        model = TrainedModel(net, levels, torch.zeros(1, 3, SIZE, SIZE), params)
        given = MaskedPicture(pixels, masked.known)
        return inpaint._paint(model, given, asked, inpaint._Version(0, 0, 7), pace, torch.device("cpu")).float()

    evened = painted(params.model_copy(update={"even_light": 4.0}), masked.pixels)
    plain = painted(params, light.without(masked.pixels))
    new = ~masked.known & (plain > 0).all(dim=0) & (plain < 255).all(dim=0)
    assert new.any()
    torch.testing.assert_close(evened[:, new], light.given_to(plain).clamp(0, 255)[:, new], rtol=0, atol=1.01)
    assert light.shift[:, new].std() > 3


@pytest.mark.parametrize("others", [4.0, None])
def test_pictures_are_classified_without_light_where_all_models_learned_so(workplace, monkeypatch, others):
    seen = []
    monkeypatch.setattr(
        worker.classify,
        "class_log_densities",
        lambda models, images: seen.append(images) or torch.zeros(1, len(models)),
    )
    one, *_ = a_model(workplace, boundary="padded", even_light=4.0)
    other, *_ = a_model(workplace, boundary="padded", even_light=others, seed=4)
    job = workplace.work(classification(workplace.add_dataset(a=noise(1)), one, other))
    picture = read_picture(noise(1), SIZE, 1)
    assert torch.equal(seen[0][0], evened(picture, others))
    assert any("evened differently" in remark for remark in job.metrics["remarks"]) == (others is None)


def test_an_attractor_is_its_own_reconstruction(workplace):
    model_id, net, levels = a_model(workplace, boundary="valid")  # one layer: all come to a mode (Prop. 2)
    contents = {"a": noise(1), "b": noise(2)}
    job = workplace.work(reconstruction(model_id, workplace.add_dataset(**contents), mode="attractor"))
    for index, content in enumerate(contents.values()):
        about = job.metrics["reconstructions"][index]
        assert about["converged"]
        assert about["residual"] < 1e-5
        # The mode of one picture alone is that of the batch.
        mode = decoding.find_mode(net, levels.standardize(read_picture(content, SIZE, 1)[None]), tolerance=1e-5)
        found = bytes_of(workplace.file(job, f"reconstructed-{index:03d}.png"))
        assert (found.int() - to_pixels(mode.images, levels)[0].int()).abs().max() <= 1


def test_an_attractor_that_is_not_reached_is_not_claimed(workplace):
    model_id, *_ = a_model(workplace)
    job = workplace.work(reconstruction(model_id, workplace.add_dataset(a=noise(1)), mode="attractor", steps=1))
    (about,) = job.metrics["reconstructions"]
    assert not about["converged"]
    assert about["residual"] > 1e-5


def test_a_perfect_reconstruction_has_no_psnr(workplace):
    net = GenerativeConvNet(architecture_of(learned(), 1))
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)  # gives back nothing but the mean
    model_id = workplace.add_model(net, learned(), Levels(torch.tensor([128.0])))
    grey = pictures.encoded(Image.new("L", (SIZE, SIZE), 128), "PNG")
    job = workplace.work(reconstruction(model_id, workplace.add_dataset(a=grey)))
    assert job.metrics["reconstructions"][0]["rmse"] == 0
    assert (job.metrics["reconstructions"][0]["psnr"], job.metrics["mean_psnr"]) == (None, None)


def test_many_pictures_go_through_in_batches_and_in_their_order(workplace):
    model_id, net, levels = a_model(workplace)
    contents = {f"p{index}": noise(index) for index in range(MAX_BATCH + 3)}
    job = workplace.work(reconstruction(model_id, workplace.add_dataset(**contents)))
    assert [one["filename"] for one in job.metrics["reconstructions"]] == [f"{name}.png" for name in contents]
    assert len(job.artifacts) == len(contents) + 1
    last = read_picture(list(contents.values())[-1], SIZE, 1)[None]
    expected = to_pixels(rebuilt(net, levels.standardize(last), "mirrored"), levels)[0]
    assert (bytes_of(workplace.file(job, "reconstructed-018.png")).int() - expected.int()).abs().max() <= 1
    assert job.progress["stage"] == job.progress["stages"] == len(contents)
    sheet = bytes_of(workplace.file(job, "contact-sheet.png"))
    assert sheet.shape == (1, 2 * SIZE + 2, SHOWN_PICTURES * (SIZE + 2) - 2)
    assert torch.equal(sheet[:, :SIZE, :SIZE], bytes_of(contents["p0"]))
    assert torch.equal(sheet[:, SIZE + 2 :, :SIZE], bytes_of(workplace.file(job, "reconstructed-000.png")))


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_known_of_a_picture_stays_and_the_rest_is_painted(workplace, channels):
    model_id, *_ = a_model(workplace, channels)
    contents = {"a": holed(1), "b": holed(2, size=40, channels=1)}
    job = workplace.work(inpainting(model_id, workplace.add_dataset(**contents), count=2))
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
        found = bytes_of(workplace.file(job, one["name"]))
        assert torch.equal(found[:, masked.known].float(), masked.pixels[:, masked.known])
        assert one["unknown_fraction"] == pytest.approx(1 - masked.known.float().mean().item(), abs=1e-3)
    first, second = (bytes_of(workplace.file(job, f"inpainted-00{index}.png")) for index in range(2))
    assert not torch.equal(first, second)


def test_a_version_does_not_depend_on_how_many_there_are(workplace):
    model_id, *_ = a_model(workplace)
    dataset_id = workplace.add_dataset(a=holed(1), b=holed(2))
    one = workplace.work(inpainting(model_id, dataset_id, count=1))
    three = workplace.work(inpainting(model_id, dataset_id, count=3))
    for index in range(2):
        assert workplace.file(one, f"inpainted-{index:03d}.png") == workplace.file(
            three, f"inpainted-{3 * index:03d}.png"
        )


def test_a_chain_that_runs_away_fails_with_its_reason(workplace):
    net = random_net(architecture_of(learned(), 1), 3).float()
    with torch.no_grad():
        net.weights[0].fill_(3e38)
    model_id = workplace.add_model(net, learned(), LEVELS)
    with pytest.raises(Diverged, match="smaller"):
        workplace.work(inpainting(model_id, workplace.add_dataset(a=holed(1)), steps=20))


def gaussian(mean: float, levels: Levels) -> tuple[GenerativeConvNet, LearningParams]:
    """p = N(mean, σ²) of each pixel, σ = 2, in the model's own levels: one unit per pixel, always active."""
    params = learned(layers=[{"filters": 1, "kernel_size": 1}], boundary="valid")
    net = GenerativeConvNet(architecture_of(params, len(levels.mean)))
    with torch.no_grad():
        net.weights[0].fill_(mean / params.reference_std**2)
        net.biases[0].fill_(100.0)
    return net, params


def test_class_probabilities_are_bayes_rule_for_two_gaussians_of_different_levels(workplace):
    dark, bright = Levels(torch.tensor([118.0]), 0.25), Levels(torch.tensor([122.0]), 0.2)
    ids = [workplace.add_model(*gaussian(mean, levels), levels) for mean, levels in ((-0.5, dark), (0.25, bright))]
    contents = {f"p{level}": pictures.encoded(Image.new("L", (SIZE, SIZE), level), "PNG") for level in (110, 128)}
    job = workplace.work(classification(workplace.add_dataset(**contents), *ids, chains=8, temperatures=100, steps=8))
    assert [one.name for one in job.artifacts] == ["classification.json"]
    found = json.loads(workplace.file(job, "classification.json"))
    assert found["models"] == ids
    assert [one["model_id"] for one in found["log_partitions"]] == ids
    assert all(one["standard_error"] < 0.5 for one in found["log_partitions"])
    for one, level in zip(found["pictures"], (110, 128), strict=True):
        expected = []
        for mean, levels in ((-0.5, dark), (0.25, bright)):
            center, std = levels.mean.item() + mean / levels.gain, 2 / levels.gain
            density = -((level - center) ** 2) / (2 * std**2) - math.log(std * math.sqrt(2 * math.pi))
            expected.append(SIZE * SIZE * density)
        assert [one["log_densities"][id_] for id_ in ids] == pytest.approx(expected, abs=2)
        assert sum(one["probabilities"].values()) == pytest.approx(1)
        assert one["most_likely"] == ids[int(np.argmax(expected))]
        ratio = math.exp(expected[1] - expected[0])
        if 1e-3 < ratio < 1e3:
            assert one["probabilities"][ids[0]] == pytest.approx(1 / (1 + ratio), abs=0.2)
    assert {one["most_likely"] for one in found["pictures"]} == set(ids)
    assert job.metrics["most_likely"] == dict.fromkeys(ids, 1)
    assert job.metrics["log_partitions"] == found["log_partitions"]
    assert job.progress["stages"] == 2


NEVER = 10_000


def long_job(workplace: Workplace, kind: str) -> NewJob:
    """One that would go on for minutes."""
    dataset_id = workplace.add_dataset(a=holed(1))
    chosen = [a_model(workplace, seed=seed)[0] for seed in (3, 4)]
    if kind == "reconstruct":
        many = workplace.add_dataset(**{f"p{index}": noise(index) for index in range(60)})
        return reconstruction(chosen[0], many, mode="attractor", steps=NEVER)
    if kind == "inpaint":
        return inpainting(chosen[0], dataset_id, count=64, steps=NEVER)
    return classification(dataset_id, *chosen, temperatures=NEVER)


@pytest.mark.parametrize("kind", ["reconstruct", "inpaint", "classify"])
def test_a_canceled_job_stops_within_its_work(workplace, kind):
    def cancel(desk):
        threading.Timer(0.1, requests.cancel, (workplace.database, desk.claim.job_id)).start()

    with pytest.raises(Canceled):
        workplace.work(long_job(workplace, kind), cancel)


def test_what_a_stopped_job_had_made_is_removed(workplace):
    model_id, *_ = a_model(workplace)
    new = inpainting(model_id, workplace.add_dataset(a=holed(1)), count=9)
    workplace.stopping = lambda: len(workplace.desk.artifacts) == 3
    with pytest.raises(Stopping):
        workplace.work(new)
    made = [one.stored.blob for one in workplace.desk.artifacts]
    workplace.desk.discard()
    assert len(made) == 3
    for path in made:
        with pytest.raises(LookupError):
            workplace.blobs.get(path)
