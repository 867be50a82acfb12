"""The files of synthesized pictures and materials."""

from collections.abc import Sequence

from torch import Tensor

from core.pictures.exr import MEDIA_TYPE, write_exr
from core.pictures.materials import heights, split_maps
from core.schemas.materials import MaterialMap
from worker.job_context import JobContext


def picture_names(index: int, maps: Sequence[MaterialMap]) -> list[str]:
    """Return the names of the files of synthesized picture `index`: one, or one for each map."""
    stem = f"synthesized-{index:03d}"
    return [f"{stem}-{one.role}.png" for one in maps] or [f"{stem}.png"]


def named_pictures(index: int, drawn: Tensor, maps: Sequence[MaterialMap]) -> list[tuple[str, Tensor]]:
    """Return the name and the pixels of each file of synthesized picture `index`; see `picture_names`.

    drawn (C, H, W): bytes; of a material, grey levels in float32.
    """
    pixels = split_maps(drawn, maps) if maps else [drawn]
    return list(zip(picture_names(index, maps), pixels, strict=True))


def add_heights(context: JobContext, index: int, drawn: Tensor, maps: Sequence[MaterialMap]) -> None:
    """Add the heights of synthesized picture `index` to the results once more, as height-INDEX.exr; see `heights`.

    drawn: as in `named_pictures`.
    """
    found = heights(drawn, maps) if maps else None
    if found is not None:
        context.add_artifact(f"height-{index:03d}.exr", MEDIA_TYPE, write_exr(found))
