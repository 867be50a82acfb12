"""Settings of the API process."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from core.runtime.settings import Settings

MEBIBYTE = 1 << 20


def _split(given: object) -> object:
    return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class ApiSettings(Settings):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    sample_workers: Annotated[
        int, Field(ge=1, description="Started by `genconvnet serve`, which share the cores out; each may own a GPU.")
    ] = 1
    max_body_bytes: Annotated[int, Field(ge=1, description="Of one request.")] = 256 * MEBIBYTE
    max_file_bytes: Annotated[int, Field(ge=1, description="Of one picture, also inside an archive.")] = 32 * MEBIBYTE
    max_pictures: Annotated[int, Field(ge=1, description="In one dataset.")] = 2000
    max_picture_side: Annotated[int, Field(ge=1, description="Pixels.")] = 16_384
    max_job_seconds: Annotated[
        float | None, Field(gt=0, description="Time limit of a job that asks for none, and the most one may ask for.")
    ] = None
    min_free_bytes: Annotated[
        int, Field(ge=0, description="With less room on the disk, uploads and jobs are refused.")
    ] = 256 * MEBIBYTE
    keep_jobs_days: Annotated[
        float | None, Field(gt=0, description="Jobs that ended longer ago are deleted with their files.")
    ] = None
    keep_bytes: Annotated[
        int | None, Field(gt=0, description="Of the files of jobs that ended; those that ended first are deleted.")
    ] = None
    idempotency_days: Annotated[float, Field(gt=0, description="For so long an Idempotency-Key is known again.")] = 30.0
    orphan_days: Annotated[
        float, Field(ge=1 / 24, description="Files that belong to nothing are removed when they are so old.")
    ] = 1.0
    sweep_seconds: Annotated[float, Field(gt=0, description="Between two looks for what is not kept.")] = 3600.0
    max_picture_pixels: Annotated[int, Field(ge=1, description="Width x height.")] = 36_000_000
    webhook_timeout_seconds: Annotated[float, Field(gt=0, le=60, description="Of one attempt to tell a webhook.")] = 10
    webhook_retry_scale: Annotated[
        float, Field(ge=0, description="Of the waits between attempts, 5 s to 24 h; 10 attempts are made.")
    ] = 1.0
    webhook_look_seconds: Annotated[float, Field(gt=0, description="Between two looks for what is to be told.")] = 1.0
    webhook_log_days: Annotated[float, Field(gt=0, description="How long deliveries are kept in the log.")] = 30
    webhooks_to_private_addresses: Annotated[
        bool,
        Field(description="Let webhooks lead to addresses of one's own network; only where all users are trusted."),
    ] = False

    published_on: Annotated[
        str | None,
        Field(description="Where a container's port is published, as 127.0.0.1:8000; counts in place of host."),
    ] = None
    without_keys: Annotated[bool, Field(description="Serve without keys, also to other machines.")] = False
    allowed_hosts: Annotated[
        Names, Field(description="Further names by which the service is called where no key is needed, with commas.")
    ] = ()
    allowed_origins: Annotated[
        Names, Field(description="Origins besides its own whose pages may write, as https://example.org, with commas.")
    ] = ()
    requests_per_minute: Annotated[int | None, Field(ge=1, description="Of a key that has no limit of its own.")] = None
    max_stored_bytes: Annotated[int | None, Field(ge=1, description="Of a key that has no limit of its own.")] = None
    max_unfinished_jobs: Annotated[int | None, Field(ge=1, description="Of a key that has no limit of its own.")] = None
    uploads_at_once: Annotated[int, Field(ge=2, description="Of all; of one key half as many. The others wait.")] = 16
    decoders: Annotated[int, Field(ge=1, description="Processes that open uploads; so many pictures at once.")] = 2
    decode_seconds: Annotated[float, Field(gt=0, description="That one picture may take to be decoded.")] = 20.0
    upload_decode_seconds: Annotated[
        float, Field(gt=0, le=1800, description="That all pictures of an upload may take, others' turns included.")
    ] = 1800.0  # less than the youngest files of nobody are old
    decoder_memory_bytes: Annotated[
        int, Field(ge=256 * MEBIBYTE, description="Of address space, that a decoder may take in all.")
    ] = 1024 * MEBIBYTE
    upload_idle_seconds: Annotated[
        float, Field(gt=0, description="Without a byte of a request's body, after which it is cut off.")
    ] = 20.0
    upload_grace_seconds: Annotated[
        float, Field(ge=0, description="Of waiting for a body, after which its rate is looked at.")
    ] = 10.0
    min_upload_bytes_per_second: Annotated[
        float, Field(ge=0, description="On average, below which a body is cut off.")
    ] = 1024.0
    headers_seconds: Annotated[float, Field(gt=0, description="That a request's head may take to arrive whole.")] = 10.0
