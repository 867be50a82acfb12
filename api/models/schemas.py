"""Models as responses show them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.pagination import Time
from api.public_urls import public_url
from api.uploads.forms import NAME_LENGTH
from core.schemas.times import utc_datetime
from core.storage.tables import Model


class ModelIn(BaseModel):
    """What can be changed of a model."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str | None, Field(max_length=NAME_LENGTH, pattern=r"^[^\x00]*$", description="null: the model has no name.")
    ]


class ModelOut(BaseModel):
    id: str
    name: str | None
    created_at: Time
    job_id: str | None
    params: dict[str, Any]
    channels: int
    bytes: int
    sha256: str
    url: str

    @classmethod
    def of(cls, row: Model) -> "ModelOut":
        return cls(
            id=row.id,
            name=row.name,
            created_at=utc_datetime(row.created_at),
            job_id=row.job_id,
            params=row.params,
            channels=row.channels,
            bytes=row.bytes,
            sha256=row.sha256,
            url=public_url(f"/v1/models/{row.id}/download"),
        )
