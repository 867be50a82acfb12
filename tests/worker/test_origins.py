"""Each result says how it was made, by the content of what it was made from."""

import pytest
import torch
from support import rows
from support.finished_models import noise_png
from support.worker_harness import WorkerHarness

from core.jobs.requests import NewJob
from core.pictures.origin import DatasetOrigin
from core.schemas.jobs import JobKind
from core.storage import datasets, models
from core.version import VERSION
from worker.device import device_kind
from worker.origins import Origins

DEVICE = device_kind(torch.device("cpu"))


def _dataset(harness: WorkerHarness, seed: int) -> tuple[str, DatasetOrigin]:
    dataset_id = harness.add_dataset(a=noise_png(seed), b=noise_png(seed + 1))
    return dataset_id, DatasetOrigin.of([one.sha256 for one in datasets.find(harness.database, dataset_id).images])


def _model(harness: WorkerHarness, digit: str) -> tuple[str, str]:
    """Return the id and the SHA-256 of a model, of the one digit."""
    model_id = rows.add_model(harness.database)
    with harness.database.write() as session:
        model = session.merge(models.find(harness.database, model_id))
        model.sha256 = digit * 64
    return model_id, digit * 64


def test_a_learned_picture_names_its_dataset_and_the_new_model(harness: WorkerHarness) -> None:
    dataset_id, about = _dataset(harness, 1)
    context = harness.begin(rows.train(dataset_id))
    origin = Origins.of(context, "float32", "a" * 64, processes=2).origin("synthesized-000.png", 0)
    assert (origin.kind, origin.dataset, origin.model, origin.processes) == ("train", about, "a" * 64, 2)
    assert (origin.name, origin.index, origin.version) == ("synthesized-000.png", 0, VERSION)
    assert (origin.precision, origin.device) == ("float32", DEVICE)
    assert (origin.datasets, origin.models) == ({}, {})


def test_a_drawn_picture_names_all_that_it_was_made_from_by_content_and_not_by_id(harness: WorkerHarness) -> None:
    (model_id, sha256), (other_id, other_sha256) = _model(harness, "1"), _model(harness, "2")
    (start_id, start), (mask_id, mask) = _dataset(harness, 1), _dataset(harness, 5)
    blend = [{"model_id": other_id, "mask_dataset_id": mask_id, "weight": None}]
    params = {"count": 2, "seed": 7, "start_dataset_id": start_id, "blend": blend}
    context = harness.begin(NewJob(kind=JobKind.SAMPLE, params=params, model_id=model_id))
    origins = Origins.of(context, "float32")
    origin = origins.origin("synthesized-001.png", 1)
    assert (origin.model, origin.dataset) == (sha256, None)
    assert origin.datasets == {"start_dataset_id": start, "blend[0].mask_dataset_id": mask}
    assert origin.models == {"blend[0].model_id": other_sha256}
    assert origin.params == {"count": 2, "seed": 7, "blend": [{"weight": None}]}
    alone = origins.origin("synthesized-000.png", 0, {**params, "count": 1, "seed": 8})
    assert alone.params == {"count": 1, "seed": 8, "blend": [{"weight": None}]}


@pytest.mark.parametrize("roles", [None, ("albedo", "height")])
def test_a_dataset_is_named_with_the_roles_of_its_maps(harness: WorkerHarness, roles: tuple[str, str] | None) -> None:
    dataset_id, plain = _dataset(harness, 1)
    if roles is not None:
        with harness.database.write() as session:
            dataset = session.merge(datasets.find(harness.database, dataset_id))
            for image, role in zip(dataset.images, roles, strict=True):
                image.role = role
    found = Origins.of(harness.begin(rows.train(dataset_id)), "float32", "a" * 64).origin("a.png", 0).dataset
    assert found is not None
    assert (found == plain, found.first, found.pictures) == (roles is None, plain.first, 2)
