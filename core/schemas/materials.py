"""The maps of a material: pictures of one surface, aligned pixel by pixel, that are learned together as channels."""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["albedo", "normal", "height", "roughness", "metalness", "occlusion", "other"]
Bits = Literal[8, 16]

ROLES: tuple[Role, ...] = get_args(Role)
MAX_CHANNELS = 16  # of all maps of a material together


class MaterialMap(BaseModel):
    """One map. channels: 1 grey, 3 RGB. bits: of each channel, in the file that was uploaded and in results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    channels: Literal[1, 3]
    bits: Bits


Maps = Annotated[tuple[MaterialMap, ...], Field(max_length=len(ROLES))]


def channels_of(maps: Sequence[MaterialMap]) -> int:
    """Return the number of channels of all maps together."""
    return sum(one.channels for one in maps)


def check_maps(maps: Sequence[MaterialMap]) -> None:
    """Raise ValueError if a role is there twice, a normal map is not RGB, or there are more than MAX_CHANNELS."""
    roles = [one.role for one in maps]
    if len(set(roles)) < len(roles):
        raise ValueError("a role is there twice")
    if any(one.role == "normal" and one.channels != 3 for one in maps):
        raise ValueError("a normal map has three channels")
    if channels_of(maps) > MAX_CHANNELS:
        raise ValueError(f"{channels_of(maps)} channels, more than {MAX_CHANNELS}")
