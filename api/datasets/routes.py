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
from api.app_state import House, InHouse
from api.datasets import service
from api.datasets.decoder_pool import Decoded, stopping
from api.datasets.files import clean_name
from api.datasets.schemas import DatasetOut
from api.errors import Problem
from api.pagination import After, Limit, Page, cut
from core.storage import datasets
from core.storage.errors import NotFound
from core.storage.tables import Dataset

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post("", status_code=201)
async def create(
    house: InHouse,
    request: Request,
    response: Response,
    images: Annotated[list[UploadFile] | None, File(description="Pictures: PNG, JPEG, WebP, TIFF or BMP.")] = None,
    archive: Annotated[UploadFile | None, File(description="Or one zip of them.")] = None,
    name: Annotated[str | None, Form(max_length=200, pattern=r"^[^\x00]*$")] = None,
) -> DatasetOut:
    """Store pictures to learn from. All are accepted, or none."""
    if (archive is None) == (not images):
        raise Problem(
            422, "send either images or one archive", [{"field": "images", "message": "or archive is required"}]
        )
    gone = threading.Event()
    work = partial(_accept, house, name, images or [], archive, gone)
    watch = asyncio.create_task(_notice(request, gone))
    try:
        dataset = await run_sync(work, limiter=house.places.threads)
    finally:
        gone.set()
        watch.cancel()
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    return DatasetOut.of(dataset)


async def _notice(request: Request, gone: threading.Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
    gone.set()


def _accept(
    house: House, name: str | None, images: list[UploadFile], archive: UploadFile | None, gone: threading.Event
) -> Dataset:
    with closing(_decoded(house, images, archive)) as decoded:
        return service.create(house, name, _wanted(house, decoded, gone))


def _wanted(house: House, decoded: Iterator[Decoded], gone: threading.Event) -> Iterator[Decoded]:
    """Raises Problem where it takes too long, for a client that has gone, and where the service stops."""
    seconds = house.settings.upload_decode_seconds
    ends_at = time.monotonic() + seconds
    for one in decoded:
        if gone.is_set():
            raise Problem(400, "the client has gone before its pictures were decoded; nothing was stored")
        if house.decoders.closed:
            raise stopping()
        yield one
        if time.monotonic() > ends_at:
            detail = f"the pictures take longer than {seconds:g} s to be decoded, with the turns of other uploads"
            raise Problem(422, f"{detail}: send fewer at a time; nothing was stored")


def _decoded(house: House, images: list[UploadFile], archive: UploadFile | None) -> Generator[Decoded]:
    if archive is not None:
        yield from house.decoders.decode("archive", "archive", clean_name(archive.filename, "archive.zip"), archive)
    for index, image in enumerate(images):
        name = clean_name(image.filename, f"image-{index}")
        yield from house.decoders.decode("picture", f"images[{index}]", name, image)
        image.file.close()  # so many open files are many


@router.get("")
def listing(house: InHouse, limit: Limit = 20, after: After = None) -> Page[DatasetOut]:
    rows, more, following = cut(datasets.listing(house.database, limit=limit + 1, after=after), limit)
    return Page(data=[DatasetOut.of(row) for row in rows], has_more=more, next=following)


@router.get("/{dataset_id}")
def show(house: InHouse, dataset_id: str) -> DatasetOut:
    return DatasetOut.of(datasets.find(house.database, dataset_id))


@router.delete("/{dataset_id}", status_code=204)
def delete(house: InHouse, dataset_id: str) -> None:
    """409 while a job that needs it has not ended."""
    file_cleanup.remove(house.blobs, datasets.delete(house.database, dataset_id))


@router.api_route("/{dataset_id}/images/{index}", methods=["GET", "HEAD"], response_class=Response)
def image(house: InHouse, request: Request, dataset_id: str, index: int) -> Response:
    """The stored picture, always PNG."""
    for row in datasets.find(house.database, dataset_id).images:
        if row.index == index:
            return files.serve(request, house.blobs, row, f"{dataset_id}-{index}.png")
    raise NotFound("picture", f"{dataset_id}/images/{index}")
