"""The files of synthesized pictures and materials."""

from collections.abc import Sequence

from torch import Tensor

from core.pictures.materials import split_maps
from core.schemas.materials import MaterialMap


def named_pictures(index: int, drawn: Tensor, maps: Sequence[MaterialMap]) -> list[tuple[str, Tensor]]:
    """Return the name and the pixels of each file of synthesized picture `index`: one, or one for each map.

    drawn (C, H, W): bytes; of a material, grey levels in float32.
    """
    stem = f"synthesized-{index:03d}"
    if not maps:
        return [(f"{stem}.png", drawn)]
    return [(f"{stem}-{one.role}.png", pixels) for one, pixels in zip(maps, split_maps(drawn, maps), strict=True)]
