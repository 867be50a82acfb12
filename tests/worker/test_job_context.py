"""What a job's handler stores beside its results."""

import io
from dataclasses import replace

import pytest
import torch
from PIL import Image
from support import rows
from support.finished_models import add_model
from support.worker_harness import WorkerHarness

from core.jobs.requests import NewJob
from core.pictures.origin import NoOrigin, read_origin
from core.schemas.jobs import JobKind, Replay
from core.storage.blobs import thumbnail_path
from core.version import VERSION
from worker.device import device_kind


def test_large_pictures_get_a_thumbnail_when_they_are_stored(harness: WorkerHarness) -> None:
    context = harness.begin(rows.sample(None))
    generator = torch.Generator().manual_seed(0)
    for name, side in (("large.png", 500), ("small.png", 100)):
        pixels = torch.randint(0, 255, (3, side, side), dtype=torch.uint8, generator=generator)
        context.add_picture(name, pixels)
    path = context.lease.path("large.png")
    with Image.open(io.BytesIO(harness.blobs.get(thumbnail_path(path)))) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("WEBP", (384, 384))
    assert not harness.blobs.exists(thumbnail_path(context.lease.path("small.png")))
    context.delete_artifacts()
    assert not harness.blobs.exists(thumbnail_path(path))


@pytest.mark.parametrize("version", [VERSION, "0.0.1"])
def test_a_picture_that_is_made_again_by_another_version_may_differ_and_the_job_says_so(
    harness: WorkerHarness, version: str
) -> None:
    replay = Replay(name="a.png", version=version, precision="float32", device=device_kind(torch.device("cpu")))
    job = harness.work(replace(_sampling(harness), replays=replay))
    said = [f"the picture was made with version 0.0.1, and again with {VERSION}: their pixels may differ"]
    assert job.metrics == {"precision": "float32", "remarks": [] if version == VERSION else said}


@pytest.mark.parametrize("wanted", [True, False])
def test_results_say_how_they_were_made_unless_the_settings_forbid_it(harness: WorkerHarness, wanted: bool) -> None:
    harness.settings = harness.settings.model_copy(update={"picture_metadata": wanted})
    content = harness.file(harness.work(_sampling(harness)), "synthesized-001.png")
    if not wanted:
        with pytest.raises(NoOrigin):
            read_origin(io.BytesIO(content))
        return
    origin = read_origin(io.BytesIO(content))
    unset = {"tileable": False, "start_dataset_id": None, "start_strength": None}
    unset |= {"guide_dataset_id": None, "guide_strength": None, "blend": None}
    unset |= {"end_dataset_id": None, "end_shares": None, "layout_strength": None}
    assert origin.params == {**_PARAMS, "count": 1, "seed": 8, **unset}
    assert (origin.name, origin.index, origin.device) == ("synthesized-000.png", 0, device_kind(torch.device("cpu")))


_PARAMS = {"count": 2, "width": 16, "height": 16, "steps": 1, "step_size": 0.5, "seed": 7}


def _sampling(harness: WorkerHarness) -> NewJob:
    model_id, _ = add_model(harness, precision="float32")
    return NewJob(kind=JobKind.SAMPLE, params=_PARAMS, model_id=model_id)
