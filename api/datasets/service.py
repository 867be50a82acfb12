"""Create datasets: all of the pictures are stored or none, and the row is written last."""

from collections.abc import Iterable

from api.app_state import AppState
from api.datasets.decoder_pool import DecodeResult
from api.datasets.files import DecodedPicture, PictureRefused, SkippedFile
from api.datasets.maps import Roles, check_material
from api.errors import Problem
from api.files.cleanup import delete_files, delete_on_failure
from api.files.disk_space import ensure_disk_space
from core.storage import datasets
from core.storage.idempotency import Idempotency, find_earlier
from core.storage.tables import Dataset, DatasetImage, new_id


def create(
    app_state: AppState,
    name: str | None,
    results: Iterable[DecodeResult],
    roles: Roles | None = None,
    idempotency: Idempotency | None = None,
) -> Dataset:
    """Store a dataset, or return the one that the same request under the same Idempotency-Key has stored.

    roles: of the maps of a material, by file name, if the dataset is one.

    Raises Problem, naming each refused file, or if the disk is full, and Conflict if the Idempotency-Key was used for
    another request; then nothing is stored.
    """
    if idempotency is not None and (earlier := find_earlier(app_state.database, Dataset, idempotency)):
        return earlier
    ensure_disk_space(app_state)
    dataset_id = new_id("dataset")
    dataset = Dataset(id=dataset_id, name=name, images=[], skipped=[])
    refused: list[PictureRefused] = []
    with delete_on_failure(app_state.blobs, lambda: datasets.find(app_state.database, dataset_id)) as paths:
        for result in results:
            if isinstance(result, PictureRefused):
                refused.append(result)
            elif isinstance(result, SkippedFile):
                dataset.skipped.append({"file": result.filename, "reason": result.reason})
            elif not refused:
                _check_count(app_state, len(dataset.images) + 1)
                ensure_disk_space(app_state)  # again, because a small upload may hold large pictures
                dataset.images.append(_store(app_state, dataset_id, len(dataset.images), result))
                paths.append(dataset.images[-1].blob)
        if refused:
            raise _refusal(refused)
        if roles is not None:
            _make_material(dataset, roles)
        row = datasets.add(app_state.database, dataset, idempotency)
        if row is not dataset:
            delete_files(app_state.blobs, paths)
        return row


def _make_material(dataset: Dataset, roles: Roles) -> None:
    """Give each picture its role. Raises Problem, naming the files, if they are no maps of one material."""
    check_material(dataset.images, roles)
    for image in dataset.images:
        image.role = roles[image.filename]


def _check_count(app_state: AppState, count: int) -> None:
    """Raise Problem if a dataset may not have `count` pictures; an upload may hold several archives."""
    if count > (most := app_state.settings.max_pictures):
        raise Problem(413, f"more than {most} pictures", [{"field": "images", "message": f"at most {most} pictures"}])


def _refusal(refused: list[PictureRefused]) -> Problem:
    """Return one Problem for all refused files, with the status of the first."""
    errors = [{"field": one.file.field, "file": one.file.filename, "message": one.reason} for one in refused]
    return Problem(refused[0].status, "; ".join(str(one) for one in refused[:3]), errors)


def _store(app_state: AppState, dataset_id: str, index: int, picture: DecodedPicture) -> DatasetImage:
    stored = app_state.blobs.put(f"datasets/{dataset_id}/{index}.png", picture.png)
    return DatasetImage(
        index=index,
        filename=picture.filename,
        width=picture.width,
        height=picture.height,
        mode=picture.mode,
        bits=picture.bits,
        notes=picture.notes,
        media_type="image/png",
        bytes=stored.bytes,
        sha256=stored.sha256,
        blob=stored.blob,
    )
