"""Convert between the files of a material's maps and the channels that are learned together.

The channels of all maps follow each other in the maps' order, in grey levels 0 to 255; a map of 16 bits has levels in
between. A normal map holds the vector (x, y, z) of length one as (1 + x, 1 + y, 1 + z) · 127.5 grey levels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from core.pictures.deep_png import read_samples
from core.pictures.images import WHITE, to_bytes
from core.pictures.masks import middle_square
from core.pictures.orientations import NormalChannels
from core.pictures.profiles import Samples
from core.schemas.materials import MaterialMap, channels_of

DEEP = 257  # levels of 16 bits to one of 8 bits: 65535 / 255
MIDDLE = WHITE / 2  # the grey level of a normal's 0
SHORTEST = 1e-6  # of a normal that still has a direction


def read_maps(files: Sequence[bytes], maps: Sequence[MaterialMap], size: int) -> Tensor:
    """Read the stored file of each map -> (C, size, size) grey levels, scaled and cropped as `read_picture` does.

    Normals have unit length, also where scaling has mixed them.
    """
    parts = [_scaled(read_samples(content), size) for content in files]
    pairs = zip(maps, parts, strict=True)
    return torch.cat([unit_normals(part) if one.role == "normal" else part for one, part in pairs])


def _scaled(samples: Samples, size: int) -> Tensor:
    """Scale samples (H, W, C) of 8 or 16 bits -> (C, size, size) grey levels."""
    unit = DEEP if samples.dtype == np.uint16 else 1
    box = middle_square(samples.shape[1], samples.shape[0])
    channels = [Image.fromarray(samples[..., index].astype(np.float32) / unit) for index in range(samples.shape[2])]
    scaled = [np.array(one.resize((size, size), Image.Resampling.LANCZOS, box=box)) for one in channels]
    return torch.from_numpy(np.stack(scaled)).clamp(0, WHITE)


def unit_normals(levels: Tensor) -> Tensor:
    """Return normals (..., 3, H, W), in grey levels, of unit length; one without a direction points to the viewer."""
    vectors = levels / MIDDLE - 1
    viewer = torch.tensor((0.0, 0.0, 1.0)).to(levels)[:, None, None]
    lost = vectors.norm(dim=-3, keepdim=True) < SHORTEST
    return (normalize(torch.where(lost, viewer, vectors), dim=-3) + 1) * MIDDLE


def normal_channels(maps: Sequence[MaterialMap], mean: Tensor, gains: Tensor) -> NormalChannels | None:
    """Return where the normals are among standardized channels, (level - mean) * gain; None without a normal map.

    mean, gains (C,): of `core.pictures.images.Levels`; zeros and ones for grey levels.
    """
    first = 0
    for one in maps:
        if one.role == "normal":
            x, y = ((MIDDLE - mean[first : first + 2]) * gains[first : first + 2]).tolist()
            return NormalChannels(first, (x, y))
        first += one.channels
    return None


def split_maps(levels: Tensor, maps: Sequence[MaterialMap]) -> list[Tensor]:
    """Return the pixels (C, H, W) of each map, given all channels' grey levels (C', H, W): uint8, or uint16 of 16 bits.

    Normals get unit length.
    """
    parts = torch.split(levels, [one.channels for one in maps])
    return [_pixels(part, one) for part, one in zip(parts, maps, strict=True)]


def heights(levels: Tensor, maps: Sequence[MaterialMap]) -> Tensor | None:
    """Return the height map (1, H, W) of all channels' grey levels (C', H, W), 0 to 1, not rounded; None without one.

    Of a height map in RGB the mean of its channels.
    """
    parts = torch.split(levels, [one.channels for one in maps])
    found = next((part for part, one in zip(parts, maps, strict=True) if one.role == "height"), None)
    return None if found is None else (found.float().mean(dim=0, keepdim=True) / WHITE).clamp(0, 1)


def _pixels(levels: Tensor, one: MaterialMap) -> Tensor:
    levels = unit_normals(levels) if one.role == "normal" else levels
    if one.bits == 8:
        return to_bytes(levels)
    return (levels.double() * DEEP).round().clamp(0, WHITE * DEEP).to(torch.uint16)


def compared_channels(maps: Sequence[MaterialMap]) -> slice | None:
    """Return the channels in which synthesized pictures are compared with the training picture; None if in none.

    Of a material they are those of the albedo, or of the first map that holds no normals.
    """
    if not maps:
        return slice(None)
    comparable = [one for one in maps if one.role == "albedo"] or [one for one in maps if one.role != "normal"]
    if not comparable:
        return None
    first = channels_of(maps[: maps.index(comparable[0])])
    return slice(first, first + comparable[0].channels)


def shown_maps(levels: Tensor, maps: Sequence[MaterialMap]) -> list[Tensor]:
    """Return each map as RGB bytes (3, H, W), to be looked at: grey maps as grey."""
    shown = [one.model_copy(update={"bits": 8}) for one in maps]
    return [pixels.expand(3, -1, -1) for pixels in split_maps(levels, shown)]
