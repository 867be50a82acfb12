"""The settings that all processes share, read from environment variables that begin with GENCONVNET_."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "GENCONVNET_"


class BadSettings(ValueError):
    """Invalid settings. The message names each variable."""


class Settings(BaseSettings):
    """Raises BadSettings if a variable is invalid."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            wrong = [f"{PREFIX}{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()]
            raise BadSettings("; ".join(wrong)) from error

    data_dir: Annotated[
        Path, Field(description="Folder for the database and files, unless other locations are given.")
    ] = Path("genconvnet-data")
    database_url: Annotated[
        str | None,
        Field(
            pattern=r"^(sqlite|postgresql(\+psycopg)?)://",
            description="For example postgresql+psycopg://user@host/name. Default: SQLite in the data folder.",
        ),
    ] = None
    blob_url: Annotated[
        str | None,
        Field(
            pattern=r"^(file|s3)://",
            description="Location of the files, for example s3://bucket/prefix. Default: the data folder.",
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
        float, Field(ge=1, description="Length of a lease: a worker that does not renew it in time loses its job.")
    ] = 20.0
    heartbeat_seconds: Annotated[
        float,
        Field(gt=0, description="Interval between two renewals of a lease. A cancellation is noticed at a renewal."),
    ] = 1.0
    stall_seconds: Annotated[
        float,
        Field(gt=0, description="A worker whose job makes no progress for this long is killed."),
    ] = 600.0
    reconcile_seconds: Annotated[
        float, Field(gt=0, description="Interval between two checks for waiting jobs that no worker was notified of.")
    ] = 5.0
    log_format: Annotated[str, Field(pattern="^(auto|json|console)$")] = "auto"
    log_level: Annotated[str, Field(pattern="(?i)^(debug|info|warning|error|critical)$")] = "INFO"

    @property
    def rows_url(self) -> str:
        return self.database_url or f"sqlite:///{quote(str((self.data_dir / 'genconvnet.sqlite3').resolve()))}"

    @property
    def blobs_url(self) -> str:
        return self.blob_url or (self.data_dir / "blobs").resolve().as_uri()
