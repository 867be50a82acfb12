"""/v1/jobs"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AfterValidator, Field

from api.app_state import AppState, AppStateDep
from api.errors import NoContent
from api.files import cleanup, serving, thumbnails
from api.files.download_names import disposition, download_name
from api.http.idempotency import IdempotencyKey
from api.http.openapi import file_response
from api.http.pagination import After, Limit, Page, page_of
from api.http.public_urls import public_url
from api.jobs import service
from api.jobs.events import has_received_end, is_event_id, stream_events
from api.jobs.schemas import JobIn, JobOut, PreviewOut, ResumeIn
from api.jobs.zip_stream import stream_zip
from core.jobs import leases, previews, requests
from core.jobs.results import PREVIEW
from core.schemas.jobs import JobKind, JobStatus
from core.storage import datasets
from core.storage.blobs import BlobMissing
from core.storage.errors import NotFound
from core.storage.tables import Artifact, Job

THUMBNAIL = file_response(thumbnails.MEDIA_TYPE)
MAX_SELECTED = 500  # files in one zip
PAIR = r"^[A-Za-z0-9_-]{1,40}/[A-Za-z0-9._-]{1,100}$"
MAX_STEP = (1 << 31) - 1  # of a column of integers

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
artifacts_router = APIRouter(tags=["jobs"])


def _event_id(text: str) -> str:
    if not is_event_id(text):
        raise ValueError("is not the id of an event")
    return text


Selected = Annotated[
    list[Annotated[str, Field(pattern=PAIR)]],
    Query(min_length=1, max_length=MAX_SELECTED, description="A file as JOB_ID/NAME; repeat it for each file."),
]
Download = Annotated[
    bool, Query(description="As a file to be saved, whose name says what it is and differs from those of other jobs.")
]
Step = Annotated[int, Path(ge=0, le=MAX_STEP)]
LastEventId = Annotated[
    Annotated[str, AfterValidator(_event_id)] | None,
    Header(max_length=70, description="Send the events after this one; 204 if it was the last."),
]


@router.post("", status_code=202)
def create(
    app_state: AppStateDep, response: Response, body: Annotated[JobIn, Body()], idempotency_key: IdempotencyKey = None
) -> JobOut:
    """Queue a job. An accepted job is done even if the broker or a worker fails meanwhile."""
    job = service.create(app_state, body, idempotency_key)
    response.headers["Location"] = public_url(f"/v1/jobs/{job.id}")
    return job_out(app_state, job)


@router.get("")
def listing(
    app_state: AppStateDep,
    kind: JobKind | None = None,
    status: JobStatus | None = None,
    limit: Limit = 20,
    after: After = None,
) -> Page[JobOut]:
    """List jobs, newest first."""
    rows = requests.listing(app_state.database, kind=kind, status=status, limit=limit + 1, after=after)
    return page_of(rows, limit, _shower(app_state, rows[:limit]))


@router.get("/{job_id}")
def show(app_state: AppStateDep, job_id: str) -> JobOut:
    """Show a job."""
    return job_out(app_state, requests.find(app_state.database, job_id))


@router.post("/{job_id}/cancel", status_code=202)
def cancel(app_state: AppStateDep, job_id: str) -> JobOut:
    """Cancel a job. A queued or split job ends at once, a running one within 2 s. 409 if it has already ended."""
    return job_out(app_state, service.cancel(app_state, job_id))


@router.post("/{job_id}/resume", status_code=202)
def resume(app_state: AppStateDep, job_id: str, body: ResumeIn | None = None) -> JobOut:
    """Continue a job from its last checkpoint, up to `iterations` if that is given. 409 if it cannot go on.

    A training job that `stop_when_steady` ended early goes on to as many `iterations` as it was to have, or to more,
    and does not stop early again.

    A job that ended before its first checkpoint starts anew; `continues_from` says so, also before.
    """
    return job_out(app_state, service.resume(app_state, job_id, body or ResumeIn()))


@router.delete("/{job_id}", status_code=204)
def delete(app_state: AppStateDep, job_id: str) -> None:
    """Delete a job and its files; the model that it learned stays. 409 if the job has not ended."""
    cleanup.delete_files(app_state.blobs, requests.delete(app_state.database, job_id))


def _replay_after(app_state: AppStateDep, job_id: str, last_event_id: LastEventId = None) -> str | None:
    """Return Last-Event-ID. Raises NotFound, or NoContent if the client has received the end.

    A dependency runs before the response begins. 204 tells an EventSource not to reconnect.
    """
    if has_received_end(requests.find(app_state.database, job_id), last_event_id):
        raise NoContent
    return last_event_id


@router.get(
    "/{job_id}/events",
    response_class=EventSourceResponse,
    responses={204: {"description": "The job has ended, and the client has received its `done`."}},
)
async def events(
    app_state: AppStateDep, job_id: str, replay_after: Annotated[str | None, Depends(_replay_after)]
) -> AsyncIterator[ServerSentEvent]:
    """Stream the events `status`, `progress`, `preview` and `done` as they happen."""
    async for event in stream_events(app_state, job_id, replay_after):
        yield event


@router.get("/{job_id}/metrics")
def metrics(app_state: AppStateDep, job_id: str) -> dict[str, list[dict[str, Any]]]:
    """List everything measured while learning, one entry per iteration."""
    return {"data": requests.metrics(app_state.database, job_id)}


@router.get("/{job_id}/previews")
def list_previews(app_state: AppStateDep, job_id: str) -> dict[str, list[PreviewOut]]:
    """List at most 48 pictures of what the job works on, the first and the latest among them.

    There are more from the beginning of each stage than from its end. Of jobs that draw there are none once they have
    succeeded.
    """
    return {"data": [PreviewOut.of(job_id, row) for row in previews.listing(app_state.database, job_id)]}


@router.get("/{job_id}/previews/{step}", response_class=Response, responses=file_response("image/png"))
def preview(app_state: AppStateDep, request: Request, job_id: str, step: Step) -> Response:
    """Download a preview. Supports ETag and Range."""
    row = previews.find(app_state.database, job_id, step)
    return serving.serve(request, app_state.blobs, row, download_name(None, f"preview-{step:06d}", job_id, ".png"))


@router.get("/{job_id}/previews/{step}/thumbnail", response_class=Response, responses=THUMBNAIL)
async def preview_thumbnail(app_state: AppStateDep, request: Request, job_id: str, step: Step) -> Response:
    """Download a small copy of a preview: WebP, at most 384 pixels on its longest side. Supports ETag."""
    find = partial(previews.find, app_state.database, job_id, step)
    return await app_state.thumbnails.serve(request, find, f"{job_id}-{step}")


@router.get("/{job_id}/artifacts/{name}/thumbnail", response_class=Response, responses=THUMBNAIL)
async def artifact_thumbnail(app_state: AppStateDep, request: Request, job_id: str, name: str) -> Response:
    """Download a small copy of a picture: WebP, at most 384 pixels on its longest side. Supports ETag."""
    find = partial(_find_artifact, app_state, job_id, name)
    return await app_state.thumbnails.serve(request, find, name.removesuffix(".png"))


@router.get("/{job_id}/artifacts/{name}", response_class=Response, responses=file_response("*/*"))
def artifact(app_state: AppStateDep, request: Request, job_id: str, name: str, download: Download = False) -> Response:
    """Download one of the job's files. Supports ETag and Range."""
    try:
        return _serve(app_state, request, job_id, name, download)
    except BlobMissing:  # a preview may be replaced after its row was read: read the new row
        return _serve(app_state, request, job_id, name, download)


@router.get("/{job_id}/artifacts.zip", response_class=Response, responses=file_response("application/zip"))
def artifacts(app_state: AppStateDep, job_id: str) -> Response:
    """Download all of the job's files. While it runs, the preview is left out because it is replaced all the time."""
    job = requests.find(app_state.database, job_id)
    final = JobStatus(job.status).final
    found = {one.name: one for one in job.artifacts if final or one.name != PREVIEW}
    name = download_name(service.subject_of(app_state.database, job), job.kind, job.id, ".zip")
    return _zip(app_state, found, name)


def _zip(app_state: AppState, artifacts: Mapping[str, Artifact], name: str) -> Response:
    headers = {**serving.FILE_HEADERS, "Content-Disposition": disposition("attachment", name)}
    return StreamingResponse(stream_zip(app_state.blobs, artifacts), media_type="application/zip", headers=headers)


@artifacts_router.get("/v1/artifacts.zip", response_class=Response, responses=file_response("application/zip"))
def selected_artifacts(app_state: AppStateDep, artifact: Selected) -> Response:
    """Download files of several jobs in one zip, each named as when it is downloaded alone."""
    wanted = list(dict.fromkeys(artifact))
    pairs = [(job_id, name) for job_id, _, name in (pair.partition("/") for pair in wanted)]
    found = requests.find_artifacts(app_state.database, pairs)
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    name = download_name(None, "genconvnet-pictures", digest, ".zip")
    return _zip(app_state, dict(zip(_zip_names(app_state, pairs), found, strict=True)), name)


def _zip_names(app_state: AppState, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return a name for each (job id, artifact's name); with the whole id if two would have the same."""
    jobs = {
        job_id: requests.find(app_state.database, job_id) for job_id in dict.fromkeys(job_id for job_id, _ in pairs)
    }
    subjects = {job_id: service.subject_of(app_state.database, job) for job_id, job in jobs.items()}
    names = [_saved_as(subjects[job_id], job_id, name) for job_id, name in pairs]
    times = Counter(names)
    return [one if times[one] == 1 else f"{job_id}-{one}" for one, (job_id, _) in zip(names, pairs, strict=True)]


def job_out(app_state: AppState, job: Job) -> JobOut:
    """Return a job as responses show it, with its position in the queue and what it waits for."""
    return _shower(app_state, [job])(job)


def _shower(app_state: AppState, jobs: Sequence[Job]) -> Callable[[Job], JobOut]:
    """Return a function that shows any of these jobs, after reading what all of them need at once."""
    heartbeat_seconds = app_state.settings.heartbeat_seconds
    positions = requests.queue_positions(app_state.database, jobs)
    running = requests.find_running_before(app_state.database, jobs, heartbeat_seconds)
    at_work = [job.id for job in jobs if job.status == JobStatus.RUNNING]
    silent = leases.find_silent(app_state.database, heartbeat_seconds, at_work) if at_work else set()
    names = datasets.names(app_state.database, {job.dataset_id for job in jobs if job.dataset_id is not None})

    def show(job: Job) -> JobOut:
        place, dataset_name = positions.get(job.id), names.get(job.dataset_id or "")
        return JobOut.of(job, place, running.get(job.id), dataset_name, is_silent=job.id in silent)

    return show


def _serve(app_state: AppState, request: Request, job_id: str, name: str, download: bool) -> Response:
    job = requests.find(app_state.database, job_id)
    row = _artifact_of(job, name)
    if not download:
        return serving.serve(request, app_state.blobs, row, row.name)
    filename = _saved_as(service.subject_of(app_state.database, job), job_id, name)
    return serving.serve(request, app_state.blobs, row, filename, download=True)


def _saved_as(subject: str | None, job_id: str, name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return download_name(subject, stem, job_id, dot + ending)


def _find_artifact(app_state: AppState, job_id: str, name: str) -> Artifact:
    return _artifact_of(requests.find(app_state.database, job_id), name)


def _artifact_of(job: Job, name: str) -> Artifact:
    row: Artifact | None = next((one for one in job.artifacts if one.name == name), None)
    if row is None:
        raise NotFound("artifact", f"{job.id}/artifacts/{name}")
    return row
