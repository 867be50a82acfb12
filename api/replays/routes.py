"""/v1/replays"""

from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Response
from starlette.datastructures import UploadFile

from api.app_state import AppStateDep
from api.errors import validation_problem
from api.http.idempotency import IdempotencyKey
from api.http.openapi import BINARY, form_body
from api.http.public_urls import public_url
from api.jobs.routes import job_out
from api.jobs.schemas import JobOut
from api.replays import service
from api.uploads.forms import UploadForm, UploadFormDep

router = APIRouter(prefix="/v1/replays", tags=["replays"])

FIELDS: dict[str, Any] = {
    "image": {**BINARY, "description": "A picture that this software made: a PNG, as it was downloaded."}
}


@router.post("", status_code=202, openapi_extra=form_body(["image"], **FIELDS))
async def create(
    app_state: AppStateDep, response: Response, form: UploadFormDep, idempotency_key: IdempotencyKey = None
) -> JobOut:
    """Make a picture again, from what its file says about its making: queue a job of the same kind and parameters.

    With the same version and kind of device, and learned by as many processes, it has the same pixels; where these
    differ, the job's `remarks` say so. The picture's model, or its dataset, must be among your own: its content
    decides, not its id. A training picture is made again by the same training.
    """
    work = partial(service.create, app_state, _picture(form).file, idempotency_key)
    job = await run_sync(work, limiter=app_state.upload_limiter.threads)
    response.headers["Location"] = public_url(f"/v1/jobs/{job.id}")
    return job_out(app_state, job)


def _picture(form: UploadForm) -> UploadFile:
    """Return the form's file, whatever its field is called: there may be only one. Raises Problem."""
    if len(form.files) == 1:
        return form.files[0].upload
    raise validation_problem([{"field": "image", "message": "send one picture, as multipart/form-data"}])
