"""Turn what a picture says about its making into a job. Anyone may have written it: it is checked like any request."""

import hashlib
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from api.app_state import AppState
from api.errors import Problem, field_errors, validation_problem
from api.jobs import service
from api.jobs.schemas import AnyJobIn, JobIn
from core.jobs import requests
from core.pictures.origin import BadOrigin, DatasetOrigin, NoOrigin, Origin, read_origin
from core.schemas.jobs import JobKind, Replay
from core.schemas.references import datasets_of, models_of, with_ids
from core.schemas.sampling import with_later_settings
from core.storage import datasets, models
from core.storage.tables import Job

_body: TypeAdapter[AnyJobIn] = TypeAdapter(JobIn)


def create(app_state: AppState, file: BinaryIO, key: str | None) -> Job:
    """Queue the job that makes a picture again. Raises Problem if the file does not say how, or its input is gone."""
    try:
        origin = read_origin(file)
    except (NoOrigin, BadOrigin) as error:
        raise validation_problem([{"field": "image", "message": str(error)}]) from error
    body = _request(app_state, origin, file)
    return service.create(app_state, body, key, Replay.model_validate(origin, from_attributes=True))


def _request(app_state: AppState, origin: Origin, file: BinaryIO) -> AnyJobIn:
    """Return the request that a client would send for this job. Raises Problem."""

    def dataset(parameter: str, about: DatasetOrigin | None) -> str:
        found = _find_dataset(app_state, about)
        if found is None:
            content = f"{about.pictures} pictures with the SHA-256 {about.sha256}" if about else "not named"
            message = f"the picture was made from a dataset that is not there: {content}"
            raise Problem(404, message + _as_named(app_state, file, parameter))
        return found

    def model(parameter: str, sha256: str | None) -> str:
        found = None if sha256 is None else models.find_by_content(app_state.database, sha256)
        if found is None:
            message = f"the picture was made by a model that is not there: a file with the SHA-256 {sha256}"
            raise Problem(404, message + _as_named(app_state, file, parameter))
        return found.id

    named = {name: dataset(name, about) for name, about in origin.datasets.items()}
    named |= {name: model(name, sha256) for name, sha256 in origin.models.items()}
    params = with_ids(origin.params, named)
    if JobKind(origin.kind) == JobKind.SAMPLE:
        params = with_later_settings(params)
    request: dict[str, Any] = {"kind": origin.kind, "params": params}
    if JobKind(origin.kind) != JobKind.TRAIN:
        request["model_id"] = model("model_id", origin.model)
    if JobKind(origin.kind) != JobKind.SAMPLE:
        request["dataset_id"] = dataset("dataset_id", origin.dataset)
    try:
        return _body.validate_python(request)
    except ValidationError as error:
        inside = [{**one, "loc": one["loc"][1:]} for one in error.errors()]  # without the kind
        wrong = field_errors(inside, ["image"])
        raise Problem(
            422, f"the picture was made by version {origin.version} with parameters that cannot be used here", wrong
        ) from error


def _as_named(app_state: AppState, file: BinaryIO, parameter: str) -> str:
    """Return the id by which the job that made this very file named a model or dataset; nothing without such a job.

    The file itself does not say it: it names what it was made from by content alone.
    """
    file.seek(0)
    job = requests.find_by_artifact(app_state.database, hashlib.file_digest(file, "sha256").hexdigest())  # type: ignore[arg-type]
    if job is None:
        return ""
    ids = {"model_id": job.model_id, "dataset_id": job.dataset_id, **datasets_of(job.params), **models_of(job.params)}
    return f" ({ids[parameter]} in job {job.id})" if ids.get(parameter) else ""


def _find_dataset(app_state: AppState, origin: DatasetOrigin | None) -> str | None:
    if origin is not None:
        for dataset in datasets.find_by_first_picture(app_state.database, origin.first):
            rows = dataset.images
            if DatasetOrigin.of([row.sha256 for row in rows], [row.role for row in rows]) == origin:
                return dataset.id
    return None
