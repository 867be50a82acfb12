"""The `classify` job, from its row to its results."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from support import pictures
from support.finished_models import SIZE, add_model, learning_params, noise_png

import worker.classify
from core.jobs.requests import NewJob
from core.pictures.images import Levels, read_picture
from core.recipe.lighting import evened
from core.schemas.classification import ClassifyParams
from core.schemas.jobs import JobKind
from core.schemas.learning import LearningParams
from core.storage import models
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet
from core.theory.partition import annealed_log_weights, estimate
from worker.lease_renewer import JobCanceled


def classification(dataset_id: str, *model_ids: str, **params) -> NewJob:
    values = ClassifyParams(**{"temperatures": 5, "steps": 1, **params}).resolved(model_ids, seed=5).model_dump()
    return NewJob(kind=JobKind.CLASSIFY, params=values, model_ids=model_ids, dataset_id=dataset_id)


@pytest.mark.parametrize("others", [4.0, None])
def test_pictures_are_evened_if_all_models_learned_from_evened_ones(harness, monkeypatch, others):
    seen = []
    monkeypatch.setattr(
        worker.classify,
        "class_log_densities",
        lambda models, images: seen.append(images) or torch.zeros(len(images), len(models)),
    )
    one, _ = add_model(harness, boundary="padded", even_light=4.0)
    other, _ = add_model(harness, boundary="padded", even_light=others, seed=4)
    holed = pictures.with_hole(SIZE, SIZE, hole=(0, 0, 4, 4), grey=True)
    job = harness.work(classification(harness.add_dataset(a=noise_png(1), b=holed), one, other))
    picture = read_picture(noise_png(1), SIZE, 1)
    assert torch.equal(seen[-1][0], evened(picture, others))  # after the models' own pictures
    assert "transparent parts count as white, in b.png" in job.metrics["remarks"]
    assert any("evened differently" in warning for warning in job.metrics["remarks"]) == (others is None)


def test_warnings_call_models_by_their_names(harness):
    named, _ = add_model(harness, boundary="torus")
    other, _ = add_model(harness, boundary="torus", seed=4)
    models.rename(harness.database, named, "bricks")
    job = harness.work(classification(harness.add_dataset(a=noise_png(1)), named, other))
    on_torus = [said for said in job.metrics["remarks"] if "was learned on the torus" in said]
    assert [said.split(" was")[0] for said in on_torus] == ["model “bricks”", f"model {other}"]
    models.rename(harness.database, other, "bricks")
    job = harness.work(classification(job.dataset_id, named, other))
    on_torus = [said for said in job.metrics["remarks"] if "was learned on the torus" in said]
    assert [said.split(" was")[0] for said in on_torus] == [f"model “bricks” ({one})" for one in (named, other)]


def gaussian(mean: float, levels: Levels) -> tuple[GenerativeConvNet, LearningParams]:
    """A model with p = N(mean, σ²) for each pixel, σ = 2, in its own levels: one unit per pixel, always active."""
    params = learning_params(layers=[{"filters": 1, "kernel_size": 1}], boundary="valid")
    net = GenerativeConvNet(architecture_of(params, len(levels.mean)))
    with torch.no_grad():
        net.weights[0].fill_(mean / params.reference_std**2)
        net.biases[0].fill_(100.0)
    return net, params


def test_two_gaussian_models_classify_by_bayes_rule(harness):
    dark, bright = Levels(torch.tensor([118.0]), 0.25), Levels(torch.tensor([122.0]), 0.2)
    ids = [harness.add_model(*gaussian(mean, levels), levels) for mean, levels in ((-0.5, dark), (0.25, bright))]
    contents = {f"p{level}": pictures.encoded(Image.new("L", (SIZE, SIZE), level), "PNG") for level in (110, 128)}
    job = harness.work(classification(harness.add_dataset(**contents), *ids, chains=8, temperatures=100, steps=8))
    assert [one.name for one in job.artifacts] == ["classification.json"]
    found = json.loads(harness.file(job, "classification.json"))
    assert found["models"] == ids
    assert found["compared_by"] == "log_z"
    assert [one["model_id"] for one in found["log_partitions"]] == ids
    assert all(one["standard_error"] < 0.5 for one in found["log_partitions"])
    for one, level in zip(found["pictures"], (110, 128), strict=True):
        expected = []
        for mean, levels in ((-0.5, dark), (0.25, bright)):
            center, std = levels.mean.item() + mean / levels.gain, 2 / levels.gain
            density = -((level - center) ** 2) / (2 * std**2) - math.log(std * math.sqrt(2 * math.pi))
            expected.append(SIZE * SIZE * density)
        densities = [one["log_densities"][id_] for id_ in ids]
        assert densities == pytest.approx(expected, abs=2)
        posterior = torch.tensor(densities, dtype=torch.float64).softmax(dim=0).tolist()
        assert [one["probabilities"][id_] for id_ in ids] == pytest.approx(posterior)
        assert one["most_likely"] == ids[int(np.argmax(expected))]
    assert {one["most_likely"] for one in found["pictures"]} == set(ids)
    assert job.metrics["most_likely"] == dict.fromkeys(ids, 1)
    assert job.metrics["log_partitions"] == found["log_partitions"]
    assert job.progress["stages"] == 2


@pytest.mark.parametrize("apart", [0.0, 5_000.0], ids=["all chains alike", "a single chain"])
def test_where_log_z_contradicts_the_models_own_pictures_these_decide(harness, monkeypatch, apart):
    """The second model's log Z comes out too low by 1,000: by it, all pictures would be the first's.

    An estimate that a single chain carries is not used either.
    """

    def too_low(net, *arguments, **settings):
        found = annealed_log_weights(net, *arguments, **settings)
        return found - 1_000 * (net.weights[0].item() < 0) - apart * torch.arange(len(found))

    monkeypatch.setattr(worker.classify, "annealed_log_weights", too_low)
    levels, generator = Levels(torch.tensor([120.0]), 0.25), torch.Generator().manual_seed(1)
    ids = []
    for mean in (0.5, -0.5):
        chains = mean + 2 * torch.randn(8, 1, SIZE, SIZE, generator=generator)
        ids.append(harness.add_model(*gaussian(mean, levels), levels, chains))
    contents = {f"p{level}": pictures.encoded(Image.new("L", (SIZE, SIZE), level), "PNG") for level in (118, 122)}
    job = harness.work(classification(harness.add_dataset(**contents), *ids, chains=8, temperatures=100, steps=8))
    found = json.loads(harness.file(job, "classification.json"))
    assert found["compared_by"] == job.metrics["compared_by"] == "own_pictures"
    assert [one["most_likely"] for one in found["pictures"]] == [ids[1], ids[0]]
    warnings = [remark for remark in job.metrics["remarks"] if "compared with these instead" in remark]
    assert len(warnings) == 1
    by_annealing = [one["value"] for one in found["log_partitions"]]
    assert abs(by_annealing[0] - by_annealing[1]) > 900, "what annealing found is shown as it is"
    for one, level in zip(found["pictures"], (118, 122), strict=True):
        densities = [one["log_densities"][id_] for id_ in ids]
        expected = SIZE * SIZE * levels.gain * (level - 120) / 2**2  # log N(x; 0.5, 2²) - log N(x; -0.5, 2²)
        assert densities[0] - densities[1] == pytest.approx(expected, abs=5)


def test_two_models_that_are_the_same_are_compared_by_log_z(harness):
    """The bounds of models that do not differ are zero; what annealing finds differs by chance."""
    levels = Levels(torch.tensor([120.0]), 0.25)
    ids = [harness.add_model(*gaussian(0.5, levels), levels) for _ in range(2)]
    dataset = harness.add_dataset(a=noise_png(1))
    job = harness.work(classification(dataset, *ids, chains=8, temperatures=100, steps=8))
    found = json.loads(harness.file(job, "classification.json"))
    assert found["log_partitions"][0]["value"] != found["log_partitions"][1]["value"]
    assert found["compared_by"] == "log_z"


def test_a_canceled_job_stops_during_its_work(harness):
    ids = [add_model(harness, seed=seed)[0] for seed in (3, 4)]
    with pytest.raises(JobCanceled):
        harness.work(
            classification(harness.add_dataset(a=noise_png(1)), *ids, temperatures=10_000), harness.cancel_soon
        )


def test_log_z_is_kept_with_the_model_and_refined_on_request(harness, monkeypatch):
    annealed = []

    def counted(*arguments, **settings):
        annealed.append((settings["chains"], settings["temperatures"], settings["steps"]))
        return annealed_log_weights(*arguments, **settings)

    monkeypatch.setattr(worker.classify, "annealed_log_weights", counted)
    ids = [add_model(harness, boundary="padded", seed=seed)[0] for seed in (3, 4)]
    dataset = harness.add_dataset(a=noise_png(1))

    def partitions(**params):
        job = harness.work(classification(dataset, *ids, chains=4, **params))
        return json.loads(harness.file(job, "classification.json"))["log_partitions"]

    def kept():
        return [models.find(harness.database, model_id).log_partition for model_id in ids]

    first = partitions()
    assert annealed == [(4, 5, 1)] * 2
    assert partitions() == first
    assert partitions(temperatures=3) == first, "what is kept was annealed more slowly"
    assert len(annealed) == 2
    weights = [one["log_weights"] for one in kept()]

    refined = partitions(refine=True, temperatures=3)
    assert annealed[2:] == [(4, 5, 1)] * 2, "not faster than what is kept"
    for before, now, shown in zip(weights, kept(), refined, strict=True):
        assert now["log_weights"][:4] == before
        assert len(set(now["log_weights"])) == 8, "with other random numbers"
        expected = asdict(estimate(torch.tensor(now["log_weights"], dtype=torch.float64)))
        assert shown == {"model_id": shown["model_id"], **expected, "chains": 8, "temperatures": 5, "steps": 1}

    slower = partitions(temperatures=9)
    assert [(one["chains"], one["temperatures"]) for one in slower] == [(4, 9)] * 2, "weights of faster ones go"


def test_weights_that_two_jobs_found_with_one_seed_count_once(harness, monkeypatch):
    ids = [add_model(harness, boundary="padded", seed=seed)[0] for seed in (3, 4)]
    dataset = harness.add_dataset(a=noise_png(1))
    started = []

    def overtaken(*arguments, **settings):
        started.append(settings)
        if len(started) == 1:
            harness.work(classification(dataset, *ids, chains=4))
        return annealed_log_weights(*arguments, **settings)

    monkeypatch.setattr(worker.classify, "annealed_log_weights", overtaken)
    job = harness.work(classification(dataset, *ids, chains=4))
    assert len(started) == 3, "the second model's log Z was known"
    partitions = json.loads(harness.file(job, "classification.json"))["log_partitions"]
    assert [one["chains"] for one in partitions] == [4, 4]
