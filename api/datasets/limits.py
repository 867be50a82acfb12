"""The settings that a decoder needs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a decoder starts sooner without it
    from api.settings import ApiSettings


@dataclass(frozen=True)
class Limits:
    """The limits within which an upload is decoded; see ApiSettings for their meaning."""

    max_body_bytes: int
    max_file_bytes: int
    max_pictures: int
    max_picture_side: int
    max_picture_pixels: int
    max_stored_pixels: int
    decode_seconds: float
    decoder_memory_bytes: int

    @classmethod
    def of(cls, settings: "ApiSettings") -> "Limits":
        return cls(**{name: getattr(settings, name) for name in cls.__dataclass_fields__})
