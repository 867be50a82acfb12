"""/v1/datasets"""

import asyncio
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, File, Form, Request, Response, UploadFile

from api import file_cleanup, files
from api.app_state import AppState, AppStateDep
from api.datasets import service
from api.datasets.decoder_pool import DecodeResult, service_stopping
from api.datasets.files import clean_name
from api.datasets.schemas import DatasetOut
from api.errors import Problem
from api.pagination import After, Limit, Page, page_of
from core.storage import datasets
from core.storage.errors import NotFound
from core.storage.tables import Dataset

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post("", status_code=201)
async def create(
    app_state: AppStateDep,
    request: Request,
    response: Response,
    images: Annotated[list[UploadFile] | None, File(description="Pictures: PNG, JPEG, WebP, TIFF or BMP.")] = None,
    archive: Annotated[UploadFile | None, File(description="Or one zip of pictures.")] = None,
    name: Annotated[str | None, Form(max_length=200, pattern=r"^[^\x00]*$")] = None,
) -> DatasetOut:
    """Upload pictures as a dataset. Either all of them are stored or none."""
    if (archive is None) == (not images):
        raise Problem(
            422, "send either images or one archive", [{"field": "images", "message": "or archive is required"}]
        )
    disconnected = threading.Event()
    work = partial(_create, app_state, name, images or [], archive, disconnected)
    watch = asyncio.create_task(_watch_disconnect(request, disconnected))
    try:
        dataset = await run_sync(work, limiter=app_state.upload_limiter.threads)
    finally:
        disconnected.set()
        watch.cancel()
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    return DatasetOut.of(dataset)


async def _watch_disconnect(request: Request, disconnected: threading.Event) -> None:
    """Set `disconnected` when the client closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
    disconnected.set()


def _create(
    app_state: AppState,
    name: str | None,
    images: list[UploadFile],
    archive: UploadFile | None,
    disconnected: threading.Event,
) -> Dataset:
    with closing(_decode(app_state, images, archive)) as results:
        return service.create(app_state, name, _until_aborted(app_state, results, disconnected))


def _until_aborted(
    app_state: AppState, results: Iterator[DecodeResult], disconnected: threading.Event
) -> Iterator[DecodeResult]:
    """Yield `results`. Raises Problem if they take too long, the client has gone, or the service stops."""
    seconds = app_state.settings.upload_decode_seconds
    ends_at = time.monotonic() + seconds
    for result in results:
        if disconnected.is_set():
            raise Problem(400, "the client disconnected before its pictures were decoded; nothing was stored")
        if app_state.decoders.closed:
            raise service_stopping()
        yield result
        if time.monotonic() > ends_at:
            detail = f"decoding the pictures takes longer than {seconds:g} s, the time for other uploads included"
            raise Problem(422, f"{detail}: send fewer at a time; nothing was stored")


def _decode(app_state: AppState, images: list[UploadFile], archive: UploadFile | None) -> Generator[DecodeResult]:
    if archive is not None:
        yield from app_state.decoders.decode("archive", "archive", clean_name(archive.filename, "archive.zip"), archive)
    for index, image in enumerate(images):
        name = clean_name(image.filename, f"image-{index}")
        yield from app_state.decoders.decode("picture", f"images[{index}]", name, image)
        image.file.close()  # an upload may hold thousands of files


@router.get("")
def listing(app_state: AppStateDep, limit: Limit = 20, after: After = None) -> Page[DatasetOut]:
    """List datasets, newest first."""
    return page_of(datasets.listing(app_state.database, limit=limit + 1, after=after), limit, DatasetOut.of)


@router.get("/{dataset_id}")
def show(app_state: AppStateDep, dataset_id: str) -> DatasetOut:
    """Show a dataset."""
    return DatasetOut.of(datasets.find(app_state.database, dataset_id))


@router.delete("/{dataset_id}", status_code=204)
def delete(app_state: AppStateDep, dataset_id: str) -> None:
    """Delete a dataset and its files. 409 while a job that needs it has not ended."""
    file_cleanup.delete_files(app_state.blobs, datasets.delete(app_state.database, dataset_id))


@router.api_route("/{dataset_id}/images/{index}", methods=["GET", "HEAD"], response_class=Response)
def image(app_state: AppStateDep, request: Request, dataset_id: str, index: int) -> Response:
    """Download a picture as it is stored, always PNG. Supports ETag and Range."""
    for row in datasets.find(app_state.database, dataset_id).images:
        if row.index == index:
            return files.serve(request, app_state.blobs, row, f"{dataset_id}-{index}.png")
    raise NotFound("picture", f"{dataset_id}/images/{index}")
