"""Settings of the API process."""

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from api.auth.allowed_names import parse_host, parse_origin, parse_published
from api.http.public_urls import parse_prefix
from core.runtime.settings import Settings

MEBIBYTE = 1 << 20


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _each(parse: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(lambda names: tuple(map(parse, names)))


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


def _without_brackets(host: str) -> str:
    return host.removeprefix("[").removesuffix("]")


class ApiSettings(Settings):
    host: Annotated[str, AfterValidator(_without_brackets)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    sample_workers: Annotated[
        int,
        Field(ge=1, description="Sampling workers that `genconvnet serve` starts; they divide the cores among them."),
    ] = 1
    max_body_bytes: Annotated[int, Field(ge=1, description="Size limit of an upload.")] = 256 * MEBIBYTE
    max_file_bytes: Annotated[int, Field(ge=1, description="Size limit of one picture.")] = 64 * MEBIBYTE
    max_pictures: Annotated[int, Field(ge=1, description="Number of pictures allowed in one dataset.")] = 2000
    max_picture_side: Annotated[int, Field(ge=1, description="Longest side of a picture, in pixels.")] = 16_384
    max_job_seconds: Annotated[
        float | None, Field(gt=0, description="Default and upper bound of a job's time limit.")
    ] = None
    min_free_bytes: Annotated[
        int, Field(ge=0, description="With less free disk space, uploads and jobs are refused.")
    ] = 256 * MEBIBYTE
    keep_jobs_days: Annotated[
        float | None, Field(gt=0, description="Jobs that ended longer ago are deleted with their files.")
    ] = None
    keep_bytes: Annotated[
        int | None,
        Field(gt=0, description="Size limit of all files of ended jobs; the jobs that ended first are deleted."),
    ] = None
    idempotency_days: Annotated[float, Field(gt=0, description="How long an Idempotency-Key is remembered.")] = 30.0
    orphan_days: Annotated[
        float, Field(ge=1 / 24, description="Age at which files that belong to no row are deleted.")
    ] = 1.0
    sweep_seconds: Annotated[float, Field(gt=0, description="Interval between two retention sweeps.")] = 3600.0
    max_picture_pixels: Annotated[int, Field(ge=1, description="Limit of width times height.")] = 128_000_000
    max_stored_pixels: Annotated[
        int, Field(ge=1, description="Pictures of more pixels are scaled down while they are decoded, and noted.")
    ] = 36_000_000
    webhook_timeout_seconds: Annotated[
        float, Field(gt=0, le=60, description="Timeout of one attempt to deliver a webhook message.")
    ] = 10
    webhook_retry_scale: Annotated[
        float, Field(ge=0, description="Factor on the waits between the 10 attempts, 5 s to 24 h.")
    ] = 1.0
    webhook_look_seconds: Annotated[
        float, Field(gt=0, description="Interval between two checks for messages to deliver.")
    ] = 1.0
    webhook_log_days: Annotated[float, Field(gt=0, description="How long deliveries stay in the log.")] = 30
    webhooks_to_private_addresses: Annotated[
        bool,
        Field(description="Allow webhooks to addresses of the private network; only if all users are trusted."),
    ] = False

    published_on: Annotated[
        Annotated[str, AfterValidator(parse_published)] | None,
        Field(description="Address of a container's published port, such as 127.0.0.1:8000; used in place of host."),
    ] = None
    without_keys: Annotated[bool, Field(description="Serve without keys, also to other machines.")] = False
    allowed_hosts: Annotated[
        CommaSeparated,
        _each(parse_host),
        Field(description="Further host names of the service, accepted while no key is needed; comma-separated."),
    ] = ()
    allowed_origins: Annotated[
        CommaSeparated,
        _each(parse_origin),
        Field(description="Other origins whose pages may use the API, such as https://example.org; comma-separated."),
    ] = ()
    allow_credentials: Annotated[
        bool, Field(description="Let the pages of allowed_origins send the session's cookie too.")
    ] = False
    root_path: Annotated[
        str,
        AfterValidator(parse_prefix),
        Field(description="Path below which a reverse proxy publishes the service, such as /pictures."),
    ] = ""
    requests_per_minute: Annotated[int | None, Field(ge=1, description="Limit of a key without its own.")] = None
    max_stored_bytes: Annotated[int | None, Field(ge=1, description="Limit of a key without its own.")] = None
    max_unfinished_jobs: Annotated[int | None, Field(ge=1, description="Limit of a key without its own.")] = None
    uploads_at_once: Annotated[
        int, Field(ge=2, description="Uploads received at once; one key may have half of them. Others wait.")
    ] = 16
    decoders: Annotated[int, Field(ge=1, description="Processes that decode uploads, one picture each at a time.")] = 2
    decode_seconds: Annotated[float, Field(gt=0, description="Time limit for decoding one picture.")] = 20.0
    upload_decode_seconds: Annotated[
        float,
        Field(gt=0, le=1800, description="Time limit for decoding an upload, including waiting for other uploads."),
    ] = 1800.0  # shorter than orphan_days can be, so that the sweep deletes no file of a running upload
    decoder_memory_bytes: Annotated[
        int, Field(ge=256 * MEBIBYTE, description="Address space of one decoder process.")
    ] = 1280 * MEBIBYTE
    upload_idle_seconds: Annotated[
        float, Field(gt=0, description="A request is ended if no byte of its body arrives for this long.")
    ] = 20.0
    upload_grace_seconds: Annotated[
        float, Field(ge=0, description="Time spent waiting for a body before its rate is checked.")
    ] = 10.0
    min_upload_bytes_per_second: Annotated[
        float, Field(ge=0, description="A request is ended if the average rate of its body is lower.")
    ] = 1024.0
    headers_seconds: Annotated[float, Field(gt=0, description="Time limit for receiving a request's headers.")] = 10.0
