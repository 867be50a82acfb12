"""Where rows, blobs and the broker are: the settings that every process shares. Variables begin with GENCONVNET_."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "GENCONVNET_"


class BadSettings(ValueError):
    """Settings that cannot be; the message names each variable."""


class Settings(BaseSettings):
    """Raises BadSettings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            wrong = [f"{PREFIX}{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()]
            raise BadSettings("; ".join(wrong)) from error

    data_dir: Annotated[Path, Field(description="Folder of rows and blobs where no other place is named.")] = Path(
        "genconvnet-data"
    )
    database_url: Annotated[
        str | None,
        Field(
            pattern=r"^(sqlite|postgresql(\+psycopg)?)://",
            description="Such as postgresql+psycopg://user@host/name; SQLite in the data folder when absent.",
        ),
    ] = None
    blob_url: Annotated[
        str | None,
        Field(
            pattern=r"^(file|s3)://",
            description="Where blobs lie, such as s3://bucket/prefix; the data folder when absent.",
        ),
    ] = None
    broker_url: Annotated[
        str,
        Field(
            pattern=r"^(rediss?|unix)://",
            description="Redis or Valkey: redis://host:6379/0, or unix:///path/to/socket.",
        ),
    ] = "redis://127.0.0.1:6379/0"
    lease_seconds: Annotated[
        float, Field(ge=1, description="A worker that is not heard of for so long has lost its job.")
    ] = 20.0
    heartbeat_seconds: Annotated[
        float, Field(gt=0, description="Between two renewals of a lease, at which a cancellation is noticed too.")
    ] = 1.0
    stall_seconds: Annotated[
        float,
        Field(gt=0, description="A worker whose job makes no step for so long is killed."),
    ] = 600.0
    reconcile_seconds: Annotated[float, Field(gt=0, description="Between two looks for jobs that wait unheard.")] = 5.0
    log_format: Annotated[str, Field(pattern="^(auto|json|console)$")] = "auto"
    log_level: Annotated[str, Field(pattern="(?i)^(debug|info|warning|error|critical)$")] = "INFO"

    @property
    def rows_url(self) -> str:
        return self.database_url or f"sqlite:///{quote(str((self.data_dir / 'genconvnet.sqlite3').resolve()))}"

    @property
    def blobs_url(self) -> str:
        return self.blob_url or (self.data_dir / "blobs").resolve().as_uri()
