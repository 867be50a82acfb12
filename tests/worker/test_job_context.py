"""What a job's handler stores beside its results."""

import io

import torch
from PIL import Image
from support import rows
from support.worker_harness import WorkerHarness

from core.storage.blobs import thumbnail_path


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
