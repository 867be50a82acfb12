"""/v1/datasets"""

import asyncio
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from api.app_state import AppState, AppStateDep
from api.datasets import service
from api.datasets.decoder_pool import DecodeResult, service_stopping
from api.datasets.files import clean_name
from api.datasets.form import FIELDS, is_archive, pictures_of
from api.datasets.maps import FIELD, Roles, parse_maps
from api.datasets.schemas import DatasetOut
from api.errors import Problem
from api.files import cleanup, serving, thumbnails
from api.files.download_names import download_name, without_ending
from api.http import idempotency
from api.http.idempotency import IdempotencyKey
from api.http.openapi import file_response, form_body
from api.http.pagination import After, Limit, Page, page_of
from api.http.public_urls import public_url
from api.uploads.forms import FormFile, UploadForm, UploadFormDep
from core.storage import datasets
from core.storage.errors import NotFound
from core.storage.tables import Dataset, DatasetImage

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post("", status_code=201, openapi_extra=form_body([], **FIELDS))
async def create(
    app_state: AppStateDep,
    request: Request,
    response: Response,
    form: UploadFormDep,
    idempotency_key: IdempotencyKey = None,
) -> DatasetOut:
    """Upload pictures as a dataset. Either all of them are stored or none.

    What is stored, and learned from, is what a browser shows on an sRGB screen: a PNG with 8 bits a channel. `notes`
    says what a picture lost besides: all but the first frame of an animation, or its size if it has very many pixels.
    What cannot be read right is refused in words that name the property.

    `maps` says that the files are the maps of one material: they are learned together, pixel by pixel. Their samples
    are stored as they are, with up to 16 bits a channel; only the albedo is converted to sRGB.

    What people pack into a zip besides pictures, such as captions and the files of their system, is skipped and listed.
    """
    upload = _Upload(form, pictures_of(form), form.name(), parse_maps(form.texts.get(FIELD)), idempotency_key)
    disconnected = threading.Event()
    work = partial(_create, app_state, upload, disconnected)
    watch = asyncio.create_task(_watch_disconnect(request, disconnected))
    try:
        created = await run_sync(work, limiter=app_state.upload_limiter.threads)
    finally:
        disconnected.set()
        watch.cancel()
    response.headers["Location"] = public_url(f"/v1/datasets/{created.id}")
    return DatasetOut.of(created)


async def _watch_disconnect(request: Request, disconnected: threading.Event) -> None:
    """Set `disconnected` when the client closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
    disconnected.set()


@dataclass(frozen=True)
class _Upload:
    """What a client asks to store: its form, and what is in it. key: the Idempotency-Key."""

    form: UploadForm
    files: Sequence[FormFile]
    name: str | None
    roles: Roles | None
    key: str | None


def _create(app_state: AppState, upload: _Upload, disconnected: threading.Event) -> Dataset:
    repeatable = idempotency.of_form(upload.key, upload.form)
    with closing(_decode(app_state, upload.files, upload.roles)) as results:
        decoded = _until_aborted(app_state, results, disconnected)
        return service.create(app_state, upload.name, decoded, upload.roles, repeatable)


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


def _decode(app_state: AppState, files: Sequence[FormFile], roles: Roles | None) -> Generator[DecodeResult]:
    bytes_left = app_state.settings.max_body_bytes  # that may still be unpacked, of all zips together
    for index, (field, upload) in enumerate((file.field, file.upload) for file in files):
        if is_archive(field, upload):
            name = clean_name(upload.filename, "archive.zip")
            bytes_left = yield from app_state.decoders.decode("archive", field, name, upload, bytes_left, roles)
        else:
            name = clean_name(upload.filename, f"image-{index}")
            yield from app_state.decoders.decode("picture", field, name, upload, bytes_left, roles)
        upload.file.close()  # an upload may hold thousands of files


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
    cleanup.delete_files(app_state.blobs, datasets.delete(app_state.database, dataset_id))


@router.get("/{dataset_id}/images/{index}", response_class=Response, responses=file_response("image/png"))
def image(app_state: AppStateDep, request: Request, dataset_id: str, index: int) -> Response:
    """Download a picture as it is stored, always PNG. Supports ETag and Range."""
    row = _find(app_state, dataset_id, index)
    name = download_name(without_ending(row.filename), f"picture-{index:03d}", dataset_id, ".png")
    return serving.serve(request, app_state.blobs, row, name)


@router.get(
    "/{dataset_id}/images/{index}/thumbnail", response_class=Response, responses=file_response(thumbnails.MEDIA_TYPE)
)
async def image_thumbnail(app_state: AppStateDep, request: Request, dataset_id: str, index: int) -> Response:
    """Download a small copy of a picture: WebP, at most 384 pixels on its longest side. Supports ETag."""
    find = partial(_find, app_state, dataset_id, index)
    return await app_state.thumbnails.serve(request, find, f"{dataset_id}-{index}")


def _find(app_state: AppState, dataset_id: str, index: int) -> DatasetImage:
    for row in datasets.find(app_state.database, dataset_id).images:
        if row.index == index:
            return row
    raise NotFound("picture", f"{dataset_id}/images/{index}")
