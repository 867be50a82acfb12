"""Models as responses show them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.http.pagination import Time
from api.http.public_urls import public_url
from core.schemas.classification import KeptPartition
from core.schemas.materials import MaterialMap
from core.schemas.times import utc_datetime
from core.storage.tables import NAME_LENGTH, Model


class ModelIn(BaseModel):
    """What can be changed of a model."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str | None,
        Field(min_length=1, max_length=NAME_LENGTH, pattern=r"^[^\x00]*$", description="null: the model has no name."),
    ]


class LogPartitionOut(BaseModel):
    """The estimate of log Z that classifications use (annealed importance sampling); of `chains` chains."""

    value: float
    standard_error: float
    effective_samples: float
    chains: int
    temperatures: int
    steps: int


class ModelOut(BaseModel):
    id: str
    name: str | None
    created_at: Time
    job_id: str | None
    dataset_name: Annotated[
        str | None,
        Field(
            description="What the pictures that it learned from are called, as `dataset_name` of its job. Null if the "
            "model was imported, or if its job or the pictures were deleted."
        ),
    ]
    params: dict[str, Any]
    channels: int
    maps: Annotated[
        list[MaterialMap], Field(description="The maps of a material, in the order of its channels; none of pictures.")
    ]
    log_partition: Annotated[
        LogPartitionOut | None, Field(description="null: the model has not been used to classify pictures.")
    ]
    bytes: int
    sha256: str
    url: str

    @classmethod
    def of(cls, row: Model, dataset_name: str | None) -> "ModelOut":
        return cls(
            id=row.id,
            name=row.name,
            created_at=utc_datetime(row.created_at),
            job_id=row.job_id,
            dataset_name=dataset_name,
            params=row.params,
            channels=row.channels,
            maps=[MaterialMap.model_validate(one) for one in row.maps],
            log_partition=_log_partition(row.log_partition),
            bytes=row.bytes,
            sha256=row.sha256,
            url=public_url(f"/v1/models/{row.id}/download"),
        )


def _log_partition(stored: dict[str, Any] | None) -> LogPartitionOut | None:
    if stored is None:
        return None
    return LogPartitionOut.model_validate(KeptPartition.model_validate(stored).summary())
