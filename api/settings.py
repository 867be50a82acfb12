"""Settings of the API process."""

from typing import Annotated

from pydantic import Field

from core.contracts.settings import Settings

MEBIBYTE = 1 << 20


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
    max_picture_pixels: Annotated[int, Field(ge=1, description="Width x height.")] = 36_000_000
