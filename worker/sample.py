"""The `sample` job: draw new pictures of any size from a finished model."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from core.pictures.images import read_covering, sheet, to_bytes
from core.pictures.materials import shown_maps
from core.schemas.sampling import ResolvedSampleParams
from core.synthesis.blend_sampler import open_sampler
from worker.inputs import open_model, read_one_picture
from worker.job_context import JobContext
from worker.origins import Origins
from worker.picture_warnings import find_altered, find_far_guide
from worker.previews import FIRST_SHARE, Previews
from worker.progress import ProgressReporter
from worker.results import add_heights, named_pictures, picture_names


def sample(context: JobContext) -> None:
    """Draw `count` pictures, or those of one shard.

    Each picture has its own seed. So it does not depend on the number of pictures or on the worker: on processors of
    one kind the files are equal, byte for byte.
    """
    params = ResolvedSampleParams.model_validate(context.lease.params)
    blend = params.blend or ()
    models = [open_model(context, id_) for id_ in (context.lease.model_id, *(one.model_id for one in blend))]
    masks = [read_one_picture(context, one.mask_dataset_id) for one in blend]
    start, guide, end = (
        read_one_picture(context, id_)
        for id_ in (params.start_dataset_id, params.guide_dataset_id, params.end_dataset_id)
    )
    sampler = open_sampler(models, params, masks, start, guide, end, context.renewer.check_stop)
    warnings = [*find_altered(context, params), *find_far_guide(models, guide, params)]
    context.set_metrics(precision=sampler.engine.precision, **({"remarks": warnings} if warnings else {}))
    origins = Origins.of(context, sampler.engine.precision)
    progress = ProgressReporter(context, params.count, params.steps_taken, sampler.denoising_steps)
    previews = Previews(context, first_after_seconds=FIRST_SHARE * context.settings.preview_seconds)
    maps, variations = models[0].maps, []

    def show(index: int, step: int, look: Callable[[], Tensor]) -> None:
        def draw() -> Tensor:
            return sheet(shown_maps(look(), maps), columns=len(maps)) if maps else look()

        previews.publish_when_due(index * params.steps_taken + step, index + 1, step, draw)

    for done in range(params.count):
        index = context.lease.first + done
        drawn = sampler.draw(index, partial(progress.report, done, done + 1), partial(show, index))
        asked, alone = params.alone(index).model_dump(mode="json"), picture_names(0, maps)
        for (name, pixels), name_alone in zip(named_pictures(index, drawn, maps), alone, strict=True):
            context.add_picture(name, pixels, origins.origin(name_alone, 0, asked))
        add_heights(context, index, drawn, maps)
        if start is not None and params.count > 1:
            variations.append(drawn)
    if start is not None and variations:
        context.add_picture(f"contact-sheet-{context.lease.first:03d}.png", _contact_sheet(start, variations, end))
    context.succeed()


def _contact_sheet(start: bytes, variations: Sequence[Tensor], end: bytes | None) -> Tensor:
    """Arrange the picture that the chains started from, what was drawn, and the picture that they passed to, if any.

    All as large as what was drawn (C, H, W); several pictures of a job or shard are at most SHARD_PIXELS together.
    """
    channels, height, width = variations[0].shape
    first, *last = (to_bytes(read_covering(one, height, width, channels)) for one in (start, end) if one is not None)
    return sheet([first, *variations, *last])
