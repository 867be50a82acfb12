"""The settings that all processes share, read from environment variables that begin with GENCONVNET_."""

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.runtime.startup import CannotStart

PREFIX = "GENCONVNET_"
_HOME = re.compile(r"(?P<scheme>(?:file|unix)://|sqlite:///)(?P<home>~[^/]*)")


class BadSettings(CannotStart, ValueError):
    """Invalid settings. The message names each variable."""


def _expand_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path.parts[0]} is no user's home folder: write the whole path") from error


def _expand_home_in_url(url: object) -> object:
    """Replace ~ at the beginning of the path of a file:, unix: or sqlite: URL."""
    if isinstance(url, str) and (found := _HOME.match(url)):
        return found["scheme"] + str(_expand_home(Path(found["home"]))) + url[found.end() :]
    return url


def _require_absolute_path(url: str) -> str:
    if url.startswith("file://") and not url.startswith("file:///"):
        raise ValueError("a file URL has three slashes and then the whole path, as in file:///srv/genconvnet")
    return url


def _require_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.netloc:
            raise ValueError("a unix URL has three slashes and then the whole path, as in unix:///run/valkey.sock")
    elif not parts.hostname or parts.port == 0:  # `port` raises ValueError if it is no number
        raise ValueError("the URL names no host, or a port that cannot be")
    return url


_HomeExpanded = BeforeValidator(_expand_home_in_url)
DatabaseUrl = Annotated[str, Field(pattern=r"^(sqlite|postgresql(\+psycopg)?)://"), _HomeExpanded]
BlobUrl = Annotated[str, Field(pattern=r"^(file|s3)://"), _HomeExpanded, AfterValidator(_require_absolute_path)]
BrokerUrl = Annotated[str, Field(pattern=r"^(rediss?|unix)://"), _HomeExpanded, AfterValidator(_require_address)]


class Settings(BaseSettings):
    """Raises BadSettings if a variable is invalid."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            wrong = [f"{PREFIX}{str(one['loc'][0]).upper()}: {self._reason(one)}" for one in error.errors()]
            raise BadSettings("; ".join(wrong)) from error

    @classmethod
    def _reason(cls, error: Any) -> str:
        """Return pydantic's message, and what the variable is for if its form is wrong."""
        message, field = str(error["msg"]).removeprefix("Value error, "), cls.model_fields.get(str(error["loc"][0]))
        if error["type"] == "string_pattern_mismatch" and field is not None and field.description:
            return f"{message} ({field.description.removesuffix('.')})"
        return message

    data_dir: Annotated[
        Path,
        AfterValidator(_expand_home),
        Field(description="Folder for the database and files, unless other locations are given."),
    ] = Path("genconvnet-data")
    database_url: Annotated[
        DatabaseUrl | None,
        Field(description="For example postgresql+psycopg://user@host/name. Default: SQLite in the data folder."),
    ] = None
    blob_url: Annotated[
        BlobUrl | None,
        Field(description="Location of the files, for example s3://bucket/prefix. Default: the data folder."),
    ] = None
    broker_url: Annotated[
        BrokerUrl, Field(description="Redis or Valkey: redis://host:6379/0, or unix:///path/to/socket.")
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
    log_format: Annotated[
        str, Field(pattern="(?i)^(auto|json|console)$", description="auto, json or console."), AfterValidator(str.lower)
    ] = "auto"
    log_level: Annotated[
        str,
        Field(
            pattern="(?i)^(debug|info|warning|error|critical)$",
            description="debug, info, warning, error or critical.",
        ),
    ] = "INFO"

    revision: Annotated[
        str | None,
        Field(description="Commit that the image was built from; the image sets it, the metrics show it."),
    ] = None

    @property
    def rows_url(self) -> str:
        return self.database_url or f"sqlite:///{quote(str((self.data_dir / 'genconvnet.sqlite3').resolve()))}"

    @property
    def blobs_url(self) -> str:
        return self.blob_url or (self.data_dir / "blobs").resolve().as_uri()
