"""/v1/models"""

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from api import file_cleanup, files, idempotency
from api.app_state import AppStateDep
from api.datasets.files import clean_name
from api.errors import Problem
from api.idempotency import IdempotencyKey
from api.models import service
from api.models.schemas import ModelIn, ModelOut
from api.openapi import BINARY, OCTETS, file_response, form_body
from api.pagination import After, Limit, Page, page_of
from api.public_urls import public_url
from api.uploads.forms import NAME_LENGTH, UploadForm, UploadFormDep
from core.storage import models
from core.storage.tables import Model

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
    return ModelOut.of(row)


@router.get("")
def listing(app_state: AppStateDep, limit: Limit = 20, after: After = None) -> Page[ModelOut]:
    """List models, newest first."""
    return page_of(models.listing(app_state.database, limit=limit + 1, after=after), limit, ModelOut.of)


@router.get("/{model_id}")
def show(app_state: AppStateDep, model_id: str) -> ModelOut:
    """Show a model."""
    return ModelOut.of(models.find(app_state.database, model_id))


@router.get("/{model_id}/download", response_class=Response, responses=file_response(OCTETS))
def download(app_state: AppStateDep, request: Request, model_id: str) -> Response:
    """Download a model: one .safetensors file with the weights and, in its header, how they were learned."""
    row = models.find(app_state.database, model_id)
    return files.serve(request, app_state.blobs, row, f"{model_id}.safetensors", download=True)


@router.patch("/{model_id}")
def rename(app_state: AppStateDep, model_id: str, body: ModelIn) -> ModelOut:
    """Give a model another name."""
    return ModelOut.of(models.rename(app_state.database, model_id, body.name))


@router.delete("/{model_id}", status_code=204)
def delete(app_state: AppStateDep, model_id: str) -> None:
    """Delete a model and its file. 409 while a job that needs it has not ended."""
    file_cleanup.delete_files(app_state.blobs, models.delete(app_state.database, model_id))


def _model_file(form: UploadForm) -> UploadFile:
    """Return the form's file, whatever its field is called: there may be only one. Raises Problem."""
    if len(form.files) == 1:
        return form.files[0].upload
    message = "send one .safetensors file in the field model, as multipart/form-data"
    raise Problem(422, message, [{"field": "model", "message": message}])
