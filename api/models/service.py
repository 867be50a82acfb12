"""Import models that were learned elsewhere, and say what a model's files are about."""

from typing import BinaryIO

from api.app_state import AppState
from api.errors import Problem
from api.files.cleanup import delete_files, delete_on_failure
from api.files.disk_space import ensure_disk_space
from api.files.download_names import without_ending
from core.schemas.model_file import BrokenFile
from core.storage import datasets, models
from core.storage.database import Database
from core.storage.idempotency import Idempotency, find_earlier
from core.storage.tables import Model, new_id


def import_model(
    app_state: AppState, file: BinaryIO, filename: str, name: str | None, idempotency: Idempotency | None = None
) -> Model:
    """Store a model's file and its row, or return the model that the same request under the same key has stored.

    Nothing is stored before the whole file has been checked.

    Raises Problem, naming the wrong tensor or field, or if the disk is full, and Conflict if the Idempotency-Key was
    used for another request.
    """
    from api.models.import_check import check_model_file  # numpy, without which the API starts sooner

    if idempotency is not None and (earlier := find_earlier(app_state.database, Model, idempotency)):
        return earlier
    ensure_disk_space(app_state)
    try:
        header = check_model_file(file)
    except BrokenFile as error:
        raise Problem(
            422, f"{filename}: {error}", [{"field": "model", "file": filename, "message": str(error)}]
        ) from error
    model_id = new_id("model")
    with delete_on_failure(app_state.blobs, lambda: models.find(app_state.database, model_id)) as paths:
        stored = app_state.blobs.put_file(f"models/{model_id}/model.safetensors", file)
        paths.append(stored.blob)
        model = Model(
            id=model_id,
            name=name,
            params=header.params.model_dump(mode="json"),
            channels=header.channels,
            maps=[one.model_dump() for one in header.maps],
            media_type="application/octet-stream",
            bytes=stored.bytes,
            sha256=stored.sha256,
            blob=stored.blob,
        )
        row = models.add(app_state.database, model, idempotency)
        if row is not model:
            delete_files(app_state.blobs, paths)
        return row


def subject_of(database: Database, model: Model) -> str | None:
    """Return what a model's file is about: its name, or else the pictures that it learned from, if they are known."""
    if model.name or model.job_id is None:
        return model.name
    return without_ending(datasets.names_by_job(database, [model.job_id]).get(model.job_id))
