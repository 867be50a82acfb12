"""What a job's pictures lose before it uses them: what is cut off or enlarged to fit, and what is transparent.

Also that there are too few of them.
"""

import re
from collections.abc import Iterator, Sequence

from core.pictures.masks import is_opaque
from core.schemas.learning import LearningParams, can_be_learned
from core.schemas.references import datasets_of
from core.schemas.sampling import DEFAULT_GUIDE_STRENGTH, ResolvedSampleParams
from core.storage import datasets
from core.storage.tables import DatasetImage
from core.synthesis.sampler import guide_contrast
from core.synthesis.trained_model import TrainedModel
from worker.job_context import JobContext

ENLARGED = 1.25  # times, from which on a picture is said to be enlarged
FAR_GUIDE = 2.0  # times the contrast of what a model draws, from which on a guide costs structure
FEW_OF_OBJECT = 5  # pictures of an object; models of fewer draw little but these
NAMED = 3  # pictures that a warning names


def find_altered(context: JobContext, params: ResolvedSampleParams) -> list[str]:
    """Return warnings about what a sampling job draws with.

    Each picture or mask that is cut off has one, each picture that is enlarged, and each that is transparent somewhere.
    """
    size = (params.width, params.height)
    return [
        warning
        for parameter, dataset_id in datasets_of(params.model_dump()).items()
        for row in datasets.find(context.database, dataset_id).images
        for warning in (*_alterations(parameter, row, size), *_on_white(context, parameter, row, size))
    ]


def find_far_guide(models: Sequence[TrainedModel], guide: bytes | None, params: ResolvedSampleParams) -> list[str]:
    """Return a warning if the guide is far lighter, darker or more colourful than what one of the models draws."""
    if guide is None or not params.guide_strength:
        return []
    contrast = max(guide_contrast(guide, model, params.height, params.width) for model in models)
    if contrast < FAR_GUIDE:
        return []
    what = f"the guide picture has {contrast:.1f} times the contrast of what the model draws"
    weaker = (
        f" or a guide_strength of {DEFAULT_GUIDE_STRENGTH:g}" if params.guide_strength > DEFAULT_GUIDE_STRENGTH else ""
    )
    why = "structure fades, and colours become the nearest that the model has"
    return [f"{what}: {why}; a fainter guide{weaker} may help"]


def find_transparent(context: JobContext, rows: Sequence[DatasetImage]) -> list[str]:
    """Return one warning that names the pictures whose middle square is transparent somewhere; none if there are none.

    For jobs that lay transparent parts on white.
    """
    names = [row.filename for row in rows if _is_transparent(context, row, (1, 1))]
    return [f"transparent parts count as white, in {_listed(names)}"] if names else []


def find_enlarged(rows: Sequence[DatasetImage], params: LearningParams) -> list[str]:
    """Return one warning that names the pictures that are enlarged to be learned; none if there are none.

    It advises the size at which none would be, if that can be learned with the job's other settings.
    """
    image_size = params.image_size
    small = [row for row in rows if image_size >= ENLARGED * min(row.width, row.height)]
    if not small:
        return []
    side = min(min(row.width, row.height) for row in small)
    names = _listed([f"{row.filename} ({row.width} x {row.height})" for row in small])
    what = f"the picture {names} is enlarged" if len(small) == 1 else f"the pictures {names} are enlarged up to"
    how = f"{image_size / side:.1f} times, to an image_size of {image_size}, and learned blurred"
    fits = can_be_learned({**params.model_dump(), "image_size": side})
    advice = f": an image_size of {side} enlarges nothing" if fits else ""
    return [f"{what} {how}{advice}"]


def find_few(rows: Sequence[DatasetImage], params: LearningParams) -> list[str]:
    """Return one warning if an object is learned from fewer than FEW_OF_OBJECT pictures; else none."""
    if params.top != "object" or len(rows) >= FEW_OF_OBJECT:
        return []
    there = "there is only 1: what the model draws is near it" if len(rows) == 1 else f"there are only {len(rows)}"
    return [f"an object is learned from about ten pictures, all at the same place, size and direction; {there}"]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _alterations(parameter: str, row: DatasetImage, drawn: tuple[int, int]) -> Iterator[str]:
    """Yield what a picture loses when it is scaled to cover `drawn` (width, height), and cropped to that."""
    what, own = _called(parameter), (row.width, row.height)
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
    if scale >= ENLARGED and not _is_mask(parameter):
        yield f"{what} is enlarged {scale:.1f} times, from {width} x {height}"


def _on_white(context: JobContext, parameter: str, row: DatasetImage, drawn: tuple[int, int]) -> Iterator[str]:
    """Yield that a picture is laid on white where it is transparent. Masks are laid on black, as meant."""
    if not _is_mask(parameter) and _is_transparent(context, row, drawn):
        yield f"{_called(parameter)} is transparent in parts, which count as white"


def _is_transparent(context: JobContext, row: DatasetImage, proportions: tuple[int, int]) -> bool:
    context.renewer.check_stop()
    return "A" in row.mode and not is_opaque(context.blobs.get(row.blob), proportions)


def _is_mask(parameter: str) -> bool:
    return parameter.startswith("blend")


def _called(parameter: str) -> str:
    """Return what the picture that a parameter names is called."""
    if blended := re.match(r"blend\[(\d+)\]", parameter):
        return f"the mask of model {int(blended[1]) + 1} of blend"
    return f"the {parameter.removesuffix('_dataset_id')} picture"
