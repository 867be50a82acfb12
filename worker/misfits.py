"""What a job's pictures lose before it uses them: what is cut off or enlarged to fit, and what is transparent."""

import re
from collections.abc import Iterator, Sequence

from core.pictures.images import is_transparent
from core.schemas.sampling import ResolvedSampleParams, datasets_of
from core.storage import datasets
from core.storage.tables import DatasetImage
from worker.job_context import JobContext

ENLARGED = 1.5  # times, from which on a picture is said to be enlarged
NAMED = 3  # pictures that a remark names


def find_misfits(context: JobContext, params: ResolvedSampleParams) -> list[str]:
    """Return remarks on what a sampling job draws with.

    Each picture or mask that is cut off has one, each picture that is enlarged, and each that is transparent somewhere.
    """
    size = (params.width, params.height)
    return [
        remark
        for parameter, dataset_id in datasets_of(params.model_dump()).items()
        for row in datasets.find(context.database, dataset_id).images
        for remark in _misfits(context, _called(parameter), row, size)
    ]


def find_transparent(context: JobContext, rows: Sequence[DatasetImage]) -> list[str]:
    """Return one remark that names pictures which are transparent somewhere, or none, for jobs that see whole ones."""
    names = [row.filename for row in rows if _is_transparent(context, row)]
    if not names:
        return []
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return [f"transparent parts count as white, in {', '.join(names[:NAMED])}{more}"]


def _misfits(context: JobContext, what: str, row: DatasetImage, drawn: tuple[int, int]) -> Iterator[str]:
    """Yield what a picture loses when it is scaled to cover `drawn` (width, height), and cropped to that."""
    own = (row.width, row.height)
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
    if what.startswith("the mask"):
        return
    if scale >= ENLARGED:
        yield f"{what} is enlarged {scale:.1f} times, from {width} x {height}"
    if _is_transparent(context, row):
        yield f"{what} is transparent in parts, which count as white"


def _is_transparent(context: JobContext, row: DatasetImage) -> bool:
    return row.mode in ("LA", "RGBA") and is_transparent(context.blobs.get(row.blob))


def _called(parameter: str) -> str:
    """Return what the picture that a parameter names is called."""
    if blended := re.match(r"blend\[(\d+)\]", parameter):
        return f"the mask of model {int(blended[1]) + 1} of blend"
    return f"the {parameter.removesuffix('_dataset_id')} picture"
