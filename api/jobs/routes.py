"""/v1/jobs"""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AfterValidator

from api import file_cleanup, files
from api.app_state import AppState, AppStateDep
from api.errors import NoContent
from api.jobs import service
from api.jobs.events import follow, has_heard_the_end, is_id
from api.jobs.schemas import JobIn, JobOut, ResumeIn
from api.jobs.zip_stream import stream_zip
from api.pagination import After, Limit, Page, cut
from core.jobs import requests
from core.schemas.jobs import JobKind, JobStatus
from core.storage.blobs import BlobMissing
from core.storage.errors import NotFound
from core.storage.tables import Artifact, Job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="Post again with the same key and body: the same job again."),
]


def _event_id(given: str) -> str:
    if not is_id(given):
        raise ValueError("is no id of an event")
    return given


LastEventId = Annotated[
    Annotated[str, AfterValidator(_event_id)] | None,
    Header(max_length=70, description="Replay what came after it; 204 where that was the end."),
]


@router.post("", status_code=202)
def create(
    app_state: AppStateDep, response: Response, asked: Annotated[JobIn, Body()], idempotency_key: IdempotencyKey = None
) -> JobOut:
    """Accept a job; it will be done whatever happens to the broker or a worker."""
    job = service.create(app_state, asked, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _shown(app_state, job)


@router.get("")
def listing(
    app_state: AppStateDep,
    kind: JobKind | None = None,
    status: JobStatus | None = None,
    limit: Limit = 20,
    after: After = None,
) -> Page[JobOut]:
    found = requests.listing(app_state.database, kind=kind, status=status, limit=limit + 1, after=after)
    rows, more, following = cut(found, limit)
    places = requests.queue_positions(app_state.database, rows)
    return Page(data=[JobOut.of(row, places.get(row.id)) for row in rows], has_more=more, next=following)


@router.get("/{job_id}")
def show(app_state: AppStateDep, job_id: str) -> JobOut:
    return _shown(app_state, requests.find(app_state.database, job_id))


@router.post("/{job_id}/cancel", status_code=202)
def cancel(app_state: AppStateDep, job_id: str) -> JobOut:
    """A job that waits or is split ends at once, a running one within 2 s. 409 for one that has ended."""
    return _shown(app_state, service.cancel(app_state, job_id))


@router.post("/{job_id}/resume", status_code=202)
def resume(app_state: AppStateDep, job_id: str, asked: ResumeIn | None = None) -> JobOut:
    """Go on from the last checkpoint, further than first asked where `iterations` says so. 409 where it cannot."""
    return _shown(app_state, service.resume(app_state, job_id, asked or ResumeIn()))


@router.delete("/{job_id}", status_code=204)
def delete(app_state: AppStateDep, job_id: str) -> None:
    """The job and its files; a model that it learned stays. 409 for one that has not ended."""
    file_cleanup.remove(app_state.blobs, requests.delete(app_state.database, job_id))


def _heard(app_state: AppStateDep, job_id: str, last_event_id: LastEventId = None) -> str | None:
    """Before the answer begins: an unknown job is a clean 404, and who heard of the end is told not to come back."""
    if has_heard_the_end(requests.find(app_state.database, job_id), last_event_id):
        raise NoContent
    return last_event_id


@router.get(
    "/{job_id}/events",
    response_class=EventSourceResponse,
    responses={204: {"description": "The job has ended, and its `done` was told."}},
)
async def events(
    app_state: AppStateDep, job_id: str, heard: Annotated[str | None, Depends(_heard)]
) -> AsyncIterator[ServerSentEvent]:
    """`status`, `progress`, `preview` and `done`, as they happen."""
    async for event in follow(app_state, job_id, heard):
        yield event


@router.get("/{job_id}/metrics")
def metrics(app_state: AppStateDep, job_id: str) -> dict[str, list[dict[str, Any]]]:
    """Everything measured while learning, one entry an iteration."""
    return {"data": requests.metrics(app_state.database, job_id)}


@router.api_route("/{job_id}/artifacts/{name}", methods=["GET", "HEAD"], response_class=Response)
def artifact(app_state: AppStateDep, request: Request, job_id: str, name: str) -> Response:
    try:
        return _serve(app_state, request, job_id, name)
    except BlobMissing:  # a preview that was replaced between the row's reading and the file's: read again
        return _serve(app_state, request, job_id, name)


@router.get("/{job_id}/artifacts.zip", response_class=Response)
def artifacts(app_state: AppStateDep, job_id: str) -> Response:
    """All of the job's files; while it runs without the preview, which is replaced all the time."""
    job = requests.find(app_state.database, job_id)
    found = [one for one in job.artifacts if JobStatus(job.status).final or one.name != "preview.png"]
    headers = {**files.HARMLESS, "Content-Disposition": f'attachment; filename="{job_id}.zip"'}
    return StreamingResponse(stream_zip(app_state.blobs, found), media_type="application/zip", headers=headers)


def _shown(app_state: AppState, job: Job) -> JobOut:
    return JobOut.of(job, requests.queue_positions(app_state.database, [job]).get(job.id))


def _serve(app_state: AppState, request: Request, job_id: str, name: str) -> Response:
    row: Artifact | None = next(
        (one for one in requests.find(app_state.database, job_id).artifacts if one.name == name), None
    )
    if row is None:
        raise NotFound("artifact", f"{job_id}/artifacts/{name}")
    return files.serve(request, app_state.blobs, row, row.name)
