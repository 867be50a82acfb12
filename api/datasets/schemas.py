"""Datasets as responses show them."""

from pydantic import BaseModel

from api.pagination import Time
from core.schemas.times import utc_datetime
from core.storage.tables import Dataset


class ImageOut(BaseModel):
    index: int
    filename: str
    width: int
    height: int
    bytes: int
    sha256: str
    url: str


class DatasetOut(BaseModel):
    id: str
    name: str | None
    created_at: Time
    images: list[ImageOut]

    @classmethod
    def of(cls, row: Dataset) -> "DatasetOut":
        images = [
            ImageOut(
                index=image.index,
                filename=image.filename,
                width=image.width,
                height=image.height,
                bytes=image.bytes,
                sha256=image.sha256,
                url=f"/v1/datasets/{row.id}/images/{image.index}",
            )
            for image in row.images
        ]
        return cls(id=row.id, name=row.name, created_at=utc_datetime(row.created_at), images=images)
