"""Accepting a dataset: all of its pictures or none, and the row comes last."""

from collections.abc import Iterable

from api.app_state import AppState
from api.datasets.decoder_pool import Decoded
from api.datasets.files import Picture, PictureRefused
from api.disk_space import ensure_disk_space
from api.errors import Problem
from api.file_cleanup import delete_on_failure
from core.storage import datasets
from core.storage.tables import Dataset, DatasetImage, new_id


def create(app_state: AppState, name: str | None, decoded: Iterable[Decoded]) -> Dataset:
    """Raises Problem, naming each file that is refused, or for a full disk; then nothing is stored."""
    ensure_disk_space(app_state)
    dataset_id = new_id("dataset")
    dataset = Dataset(id=dataset_id, name=name, images=[])
    refused: list[PictureRefused] = []
    with delete_on_failure(app_state.blobs, lambda: datasets.find(app_state.database, dataset_id)) as paths:
        for index, one in enumerate(decoded):
            if isinstance(one, PictureRefused):
                refused.append(one)
            elif not refused:  # one picture at a time is in memory
                ensure_disk_space(app_state)  # also for this one: a small file may hold a large picture
                dataset.images.append(_store(app_state, dataset_id, index, one))
                paths.append(dataset.images[-1].blob)
        if refused:
            raise refusal(refused)
        return datasets.add(app_state.database, dataset)


def refusal(refused: list[PictureRefused]) -> Problem:
    """One answer for all the files at fault, with the first one's status."""
    errors = [{"field": one.upload.field, "file": one.upload.filename, "message": one.reason} for one in refused]
    return Problem(refused[0].status, "; ".join(str(one) for one in refused[:3]), errors)


def _store(app_state: AppState, dataset_id: str, index: int, picture: Picture) -> DatasetImage:
    stored = app_state.blobs.put(f"datasets/{dataset_id}/{index}.png", picture.png)
    return DatasetImage(
        index=index,
        filename=picture.filename,
        width=picture.width,
        height=picture.height,
        mode=picture.mode,
        media_type="image/png",
        bytes=stored.bytes,
        sha256=stored.sha256,
        blob=stored.blob,
    )
