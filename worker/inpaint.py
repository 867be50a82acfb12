"""The `inpaint` job: fill the transparent parts of a dataset's pictures with a model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.pictures.images import MaskedPicture, read_covering, read_masked_picture, reduce, to_bytes
from core.recipe.lighting import Light
from core.recipe.preparation import dynamics_of
from core.schemas.inpainting import MAX_VERSIONS, ResolvedInpaintParams
from core.schemas.learning import MAX_SEED
from core.storage.tables import DatasetImage
from core.synthesis import inpainting
from core.synthesis.conditions import Periodic
from core.synthesis.sampler import PREVIEW_SIDE
from core.synthesis.trained_model import TrainedModel
from core.theory.boundary import crop
from worker.errors import NonFiniteResult
from worker.inputs import BoundaryHandling, dataset_rows, open_model
from worker.job_context import JobContext
from worker.origins import THEORY_PRECISION, Origins
from worker.previews import FIRST_SHARE, Previews
from worker.progress import ProgressReporter


@dataclass(frozen=True)
class _Prepared:
    """A picture to inpaint. light: its slow light, which the model has not learned; taken from the known pixels."""

    masked: MaskedPicture
    light: Light


@dataclass(frozen=True)
class _Variant:
    """One of the inpaintings of a picture. `index` counts the results of the job; `seed` is for this result only."""

    index: int
    seed: int


def inpaint(context: JobContext) -> None:
    """Inpaint each picture `count` times, one after the other, so that no result depends on the number of others."""
    params = ResolvedInpaintParams.model_validate(context.lease.params)
    model = open_model(context, context.lease.model_id)
    rows = dataset_rows(context)
    progress = ProgressReporter(context, len(rows) * params.count, params.steps)
    origins = Origins.of(context, THEORY_PRECISION)
    previews = Previews(context, first_after_seconds=FIRST_SHARE * context.settings.preview_seconds)
    results = []
    for number, row in enumerate(rows):
        prepared = _prepare(context.blobs.get(row.blob), row, model, params)
        for variant in _variants(number, params):
            pixels = _inpaint_variant(model, prepared, params, variant, progress, previews, context.device)
            name = f"inpainted-{variant.index:03d}.png"
            context.add_picture(name, pixels, origins.origin(name, variant.index))
            results.append(_describe(variant.index, number, name, row, prepared.masked))
    context.succeed(metrics={"inpaintings": results})


def _prepare(content: bytes, row: DatasetImage, model: TrainedModel, params: ResolvedInpaintParams) -> _Prepared:
    masked = _read(content, row, model, params)
    light = (Light.of_periodic if params.seam else Light.of)(masked.pixels, model.params.even_light, masked.known)
    return _Prepared(masked, light)


def _read(content: bytes, row: DatasetImage, model: TrainedModel, params: ResolvedInpaintParams) -> MaskedPicture:
    """Read the middle square at the model's size; or if its seam is painted, the whole picture as it is."""
    channels = len(model.levels.mean)
    if not params.seam:
        return read_masked_picture(content, model.params.image_size, channels)
    assert params.seam_width is not None
    known = inpainting.inside_seam(row.height, row.width, params.seam_width)
    return MaskedPicture(read_covering(content, row.height, row.width, channels), known)


def _variants(picture: int, params: ResolvedInpaintParams) -> Iterator[_Variant]:
    """Yield the variants of the picture of this number."""
    for count in range(params.count):
        seed = (params.seed + picture * MAX_VERSIONS + count) % (MAX_SEED + 1)
        yield _Variant(picture * params.count + count, seed)


def _inpaint_variant(
    model: TrainedModel,
    prepared: _Prepared,
    params: ResolvedInpaintParams,
    variant: _Variant,
    progress: ProgressReporter,
    previews: Previews,
    device: torch.device,
) -> Tensor:
    """Return one variant as (C, H, W), uint8. Known pixels stay as they were read. Raises NonFiniteResult."""
    handling = BoundaryHandling.of_periodic(model) if params.seam else BoundaryHandling.of(model)
    generator = torch.Generator(device).manual_seed(variant.seed)
    masked, light = prepared.masked, prepared.light
    picture = model.levels.standardize(light.without(masked.pixels)[None].to(device))
    known = masked.known[None, None].to(device)

    def show(step: int, look: Callable[[], Tensor]) -> None:
        """Publish the picture as it is, with the noise of what is being painted."""
        done = variant.index * params.steps + step
        previews.publish_when_due(done, variant.index + 1, step, lambda: _reduced(finished(look())))

    def finished(painted: Tensor) -> Tensor:
        return _finished(model.levels.to_grey_levels(crop(painted, handling.margin).cpu())[0], prepared, params)

    painted = inpainting.inpaint(
        model.net,
        handling.extend(picture),
        handling.extend(known.float()).bool(),
        steps=params.steps,
        dynamics=replace(
            dynamics_of(model.params, model.levels.box), step_size=params.step_size, boundary=handling.boundary
        ),
        generator=generator,
        noise_std=model.params.picture_noise,
        start=_start(model, handling, picture, known, params, generator),
        conditions=(Periodic(handling.margin),) if params.seam else (),
        after_step=lambda step: progress.report(variant.index, variant.index + 1, step),
        detail_filter=model.detail_filter,
        watch=show,
    )
    if not painted.isfinite().all():
        raise NonFiniteResult(f"the chain diverged with a step_size of {params.step_size:g}: a smaller one may help")
    return finished(painted)


def _start(
    model: TrainedModel,
    handling: BoundaryHandling,
    picture: Tensor,
    known: Tensor,
    params: ResolvedInpaintParams,
    generator: torch.Generator,
) -> Tensor:
    """Return where the chain of a picture (1, C, H, W) begins: across its seam, or from the model's own chains."""
    if params.seam_width is not None:
        noise_std = model.params.picture_noise
        return handling.extend(inpainting.start_across_seam(picture, params.seam_width, generator, noise_std))
    images, all_known = handling.extend(picture), handling.extend(known.float()).bool()
    return inpainting.start_from_chains(images, all_known, model.chains, generator, handling.stride)


def _finished(levels: Tensor, prepared: _Prepared, params: ResolvedInpaintParams) -> Tensor:
    """Return what was painted (C, H, W), grey levels, in its picture's light and around its known pixels: uint8."""
    masked = prepared.masked
    levels = prepared.light.given_to(levels)
    if params.seam_width is not None:
        height, width = levels.shape[1:]
        share = inpainting.share_of_photograph(height, width, params.seam_width)
        levels = torch.lerp(levels, masked.pixels, share)
    seen = masked.pixels[:, masked.known]
    if seen.numel() and (seen == seen[:1]).all():  # a grey picture stays grey, also by a model of colour
        levels = levels.mean(dim=0).expand_as(levels)
    pixels = to_bytes(levels)
    return torch.where(masked.known, masked.pixels.to(torch.uint8), pixels)


def _reduced(pixels: Tensor) -> Tensor:
    """Reduce pixels (C, H, W), uint8, to PREVIEW_SIDE."""
    return to_bytes(reduce(pixels[None].float(), PREVIEW_SIDE)[0])


def _describe(index: int, picture: int, name: str, row: DatasetImage, masked: MaskedPicture) -> dict[str, object]:
    """Return which picture a result belongs to, and how much of it is new."""
    unknown = 1 - masked.known.float().mean().item()
    return {
        "index": index,
        "name": name,
        "picture": picture,
        "filename": row.filename,
        "unknown_fraction": round(unknown, 4),
    }
