"""/v1/models"""

from collections.abc import Callable, Sequence
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from api.app_state import AppState, AppStateDep
from api.datasets.files import clean_name
from api.errors import Problem
from api.files import cleanup, serving
from api.files.download_names import download_name
from api.http import idempotency
from api.http.idempotency import IdempotencyKey
from api.http.openapi import BINARY, OCTETS, file_response, form_body
from api.http.pagination import After, Limit, Page, page_of
from api.http.public_urls import public_url
from api.models import service
from api.models.schemas import ModelIn, ModelOut
from api.uploads.forms import UploadForm, UploadFormDep
from core.storage import datasets, models
from core.storage.tables import NAME_LENGTH, Model

router = APIRouter(prefix="/v1/models", tags=["models"])

FIELDS: dict[str, Any] = {
    "model": {**BINARY, "description": "One .safetensors file, as `download` returns it."},
    "name": {"type": "string", "maxLength": NAME_LENGTH},
}


@router.post("", status_code=201, openapi_extra=form_body(["model"], **FIELDS))
async def create(
    app_state: AppStateDep,
    response: Response,
    form: UploadFormDep,
    idempotency_key: IdempotencyKey = None,
) -> ModelOut:
    """Import a model that was learned elsewhere. Its settings, shapes and every number are checked."""
    model, name = _model_file(form), form.name()
    filename = clean_name(model.filename, "model.safetensors")

    def work() -> Model:
        repeatable = idempotency.of_form(idempotency_key, form)
        return service.import_model(app_state, model.file, filename, name, repeatable)

    row = await run_sync(work, limiter=app_state.upload_limiter.models)
    response.headers["Location"] = public_url(f"/v1/models/{row.id}")
    return ModelOut.of(row, dataset_name=None)  # no job of this service learned it


@router.get("")
def listing(app_state: AppStateDep, limit: Limit = 20, after: After = None) -> Page[ModelOut]:
    """List models, newest first."""
    rows = models.listing(app_state.database, limit=limit + 1, after=after)
    return page_of(rows, limit, _shower(app_state, rows[:limit]))


@router.get("/{model_id}")
def show(app_state: AppStateDep, model_id: str) -> ModelOut:
    """Show a model."""
    row = models.find(app_state.database, model_id)
    return _shower(app_state, [row])(row)


@router.get("/{model_id}/download", response_class=Response, responses=file_response(OCTETS))
def download(app_state: AppStateDep, request: Request, model_id: str) -> Response:
    """Download a model: one .safetensors file with the weights and, in its header, how they were learned."""
    row = models.find(app_state.database, model_id)
    name = download_name(service.subject_of(app_state.database, row), "model", row.id, ".safetensors")
    return serving.serve(request, app_state.blobs, row, name, download=True)


@router.patch("/{model_id}")
def rename(app_state: AppStateDep, model_id: str, body: ModelIn) -> ModelOut:
    """Give a model another name."""
    row = models.rename(app_state.database, model_id, body.name)
    return _shower(app_state, [row])(row)


@router.delete("/{model_id}", status_code=204)
def delete(app_state: AppStateDep, model_id: str) -> None:
    """Delete a model and its file. 409 while a job that needs it has not ended."""
    cleanup.delete_files(app_state.blobs, models.delete(app_state.database, model_id))


def _shower(app_state: AppState, rows: Sequence[Model]) -> Callable[[Model], ModelOut]:
    """Return a function that shows any of these models, after reading what all of them need at once."""
    names = datasets.names_by_job(app_state.database, {row.job_id for row in rows if row.job_id is not None})
    return lambda row: ModelOut.of(row, names.get(row.job_id or ""))


def _model_file(form: UploadForm) -> UploadFile:
    """Return the form's file, whatever its field is called: there may be only one. Raises Problem."""
    if len(form.files) == 1:
        return form.files[0].upload
    message = "send one .safetensors file in the field model, as multipart/form-data"
    raise Problem(422, message, [{"field": "model", "message": message}])
