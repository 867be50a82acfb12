"""Turn what a picture says about its making into a job. Anyone may have written it: it is checked like any request."""

from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from api.app_state import AppState
from api.errors import Problem, field_errors, validation_problem
from api.jobs import service
from api.jobs.schemas import AnyJobIn, JobIn
from core.pictures.origin import BadOrigin, DatasetOrigin, NoOrigin, Origin, read_origin
from core.schemas.jobs import JobKind, Replay
from core.schemas.sampling import with_ids
from core.storage import datasets, models
from core.storage.tables import Job

_body: TypeAdapter[AnyJobIn] = TypeAdapter(JobIn)


def create(app_state: AppState, file: BinaryIO, key: str | None) -> Job:
    """Queue the job that makes a picture again. Raises Problem if the file does not say how, or its input is gone."""
    try:
        origin = read_origin(file)
    except (NoOrigin, BadOrigin) as error:
        raise validation_problem([{"field": "image", "message": str(error)}]) from error
    body = _request(app_state, origin)
    return service.create(app_state, body, key, Replay.model_validate(origin, from_attributes=True))


def _request(app_state: AppState, origin: Origin) -> AnyJobIn:
    """Return the request that a client would send for this job. Raises Problem."""
    named = {name: _find_dataset(app_state, dataset) for name, dataset in origin.datasets.items()}
    named |= {name: _find_model(app_state, sha256) for name, sha256 in origin.models.items()}
    request: dict[str, Any] = {"kind": origin.kind, "params": with_ids(origin.params, named)}
    if JobKind(origin.kind) != JobKind.TRAIN:
        request["model_id"] = _find_model(app_state, origin.model)
    if JobKind(origin.kind) != JobKind.SAMPLE:
        request["dataset_id"] = _find_dataset(app_state, origin.dataset)
    try:
        return _body.validate_python(request)
    except ValidationError as error:
        inside = [{**one, "loc": one["loc"][1:]} for one in error.errors()]  # without the kind
        wrong = field_errors(inside, ["image"])
        raise Problem(
            422, f"the picture was made by version {origin.version} with parameters that cannot be used here", wrong
        ) from error


def _find_model(app_state: AppState, sha256: str | None) -> str:
    found = None if sha256 is None else models.find_by_content(app_state.database, sha256)
    if found is None:
        raise Problem(404, f"the picture was made by a model that is not there: a file with the SHA-256 {sha256}")
    return found.id


def _find_dataset(app_state: AppState, origin: DatasetOrigin | None) -> str:
    if origin is not None:
        for dataset in datasets.find_by_first_picture(app_state.database, origin.first):
            rows = dataset.images
            if DatasetOrigin.of([row.sha256 for row in rows], [row.role for row in rows]) == origin:
                return dataset.id
    named = f"{origin.pictures} pictures with the SHA-256 {origin.sha256}" if origin else "not named"
    raise Problem(404, f"the picture was made from a dataset that is not there: {named}")
