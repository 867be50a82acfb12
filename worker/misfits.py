"""What pictures that steer a sampling job lose when they are scaled and cropped to the size of what is drawn."""

import re
from collections.abc import Iterator

from core.schemas.sampling import ResolvedSampleParams, datasets_of
from core.storage import datasets
from worker.job_context import JobContext

ENLARGED = 1.5  # times, from which on a picture is said to be enlarged


def find_misfits(context: JobContext, params: ResolvedSampleParams) -> list[str]:
    """Return a remark for each picture or mask that is cut off, and for each picture that is enlarged."""
    size = (params.width, params.height)
    return [
        remark
        for parameter, dataset_id in datasets_of(params.model_dump()).items()
        for row in datasets.find(context.database, dataset_id).images
        for remark in _misfits(_called(parameter), (row.width, row.height), size)
    ]


def _misfits(what: str, own: tuple[int, int], drawn: tuple[int, int]) -> Iterator[str]:
    """Yield what a picture of `own` (width, height) loses when it is scaled to cover `drawn`, and cropped to that."""
    scale = max(wanted / side for side, wanted in zip(own, drawn, strict=True))
    lost_width, lost_height = (1 - wanted / scale / side for side, wanted in zip(own, drawn, strict=True))
    lost = max(lost_width, lost_height)
    (width, height), (drawn_width, drawn_height) = own, drawn
    if lost * min(own) >= 1:
        where = "left and right" if lost_width > lost_height else "top and bottom"
        yield (
            f"{what} has other proportions than what is drawn, {drawn_width} x {drawn_height}: its middle is used, and "
            f"{lost:.0%} of it, at its {where}, is cut off"
        )
    if scale >= ENLARGED and not what.startswith("the mask"):
        yield f"{what} is enlarged {scale:.1f} times, from {width} x {height}"


def _called(parameter: str) -> str:
    """Return what the picture that a parameter names is called."""
    if blended := re.match(r"blend\[(\d+)\]", parameter):
        return f"the mask of model {int(blended[1]) + 1} of blend"
    return f"the {parameter.removesuffix('_dataset_id')} picture"
