"""The `sample` job: draw new pictures of any size from a finished model."""

from functools import partial

from core.schemas.sampling import ResolvedSampleParams
from core.synthesis.blend_sampler import open_sampler
from worker.inputs import open_model, read_one_picture
from worker.job_context import JobContext
from worker.origins import Origins
from worker.progress import ProgressReporter
from worker.results import named_pictures, picture_names


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
    context.set_metrics(precision=sampler.engine.precision)
    origins = Origins.of(context, sampler.engine.precision)
    progress = ProgressReporter(context, params.count, params.steps_taken, sampler.denoising_steps)
    maps = models[0].maps
    for done in range(params.count):
        index = context.lease.first + done
        drawn = sampler.draw(index, partial(progress.report, done, done + 1))
        asked, alone = params.alone(index).model_dump(mode="json"), picture_names(0, maps)
        for (name, pixels), name_alone in zip(named_pictures(index, drawn, maps), alone, strict=True):
            context.add_picture(name, pixels, origins.origin(name_alone, 0, asked))
    context.succeed()
