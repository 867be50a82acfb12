"""Datasets as responses show them."""

from typing import Self

from pydantic import BaseModel

from api.files.thumbnails import thumbnail_url
from api.http.pagination import Time
from api.http.public_urls import public_url
from core.schemas.materials import Role
from core.schemas.times import utc_datetime
from core.storage.datasets import maps_of
from core.storage.tables import Dataset, DatasetImage


class ImageOut(BaseModel):
    """A stored picture. notes: what it lost besides its conversion to sRGB, such as later frames or its size."""

    index: int
    filename: str
    width: int
    height: int
    bytes: int
    sha256: str
    notes: list[str]
    url: str
    thumbnail_url: str | None

    @classmethod
    def of(cls, dataset_id: str, row: DatasetImage) -> Self:
        url = public_url(f"/v1/datasets/{dataset_id}/images/{row.index}")
        return cls(
            index=row.index,
            filename=row.filename,
            width=row.width,
            height=row.height,
            bytes=row.bytes,
            sha256=row.sha256,
            notes=row.notes,
            url=url,
            thumbnail_url=thumbnail_url(url, row),
        )


class MapOut(BaseModel):
    """A map of a material: the picture `index` of the dataset. channels: 1 grey, 3 RGB. bits: of each channel."""

    index: int
    role: Role
    channels: int
    bits: int


class SkippedOut(BaseModel):
    """A file of an archive that is not part of the dataset."""

    file: str
    reason: str


class DatasetOut(BaseModel):
    """Pictures to learn from. skipped: files of uploaded archives that are no pictures.

    maps: what each picture is if the dataset is a material, whose maps are learned together; else none.
    """

    id: str
    name: str | None
    created_at: Time
    images: list[ImageOut]
    skipped: list[SkippedOut]
    maps: list[MapOut]

    @classmethod
    def of(cls, row: Dataset) -> Self:
        images = [ImageOut.of(row.id, image) for image in row.images]
        skipped = [SkippedOut(**one) for one in row.skipped]
        maps = [MapOut(index=index, **one.model_dump()) for index, one in enumerate(maps_of(row))]
        return cls(
            id=row.id,
            name=row.name,
            created_at=utc_datetime(row.created_at),
            images=images,
            skipped=skipped,
            maps=maps,
        )
