"""The `inpaint` job: a dataset's pictures, their transparent parts painted by a model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.pictures.images import MaskedPicture, read_masked_picture, to_bytes, write_picture
from core.recipe.learner import dynamics_of
from core.recipe.lighting import Light
from core.schemas.inpainting import MAX_COUNT, ResolvedInpaintParams
from core.schemas.learning import MAX_SEED
from core.storage.tables import DatasetImage
from core.synthesis import inpainting
from core.synthesis.trained_model import TrainedModel
from core.theory.boundary import crop, mirror
from worker.errors import Diverged
from worker.inputs import Frame, dataset_rows, open_model
from worker.job_context import JobContext
from worker.progress import ProgressReporter


@dataclass(frozen=True)
class _Version:
    """One of the results: which of the job's, of which picture, and the seed of its noise alone."""

    index: int
    picture: int
    seed: int


def inpaint(desk: JobContext) -> None:
    """Every picture `count` times, one after the other: none depends on how many others are asked for."""
    params = ResolvedInpaintParams.model_validate(desk.claim.params)
    model = open_model(desk, desk.claim.model_id)
    rows = dataset_rows(desk)
    size, channels = model.params.image_size, len(model.levels.mean)
    pace = ProgressReporter(desk, len(rows) * params.count, params.steps)
    made = []
    for version in _versions(len(rows), params):
        row = rows[version.picture]
        masked = read_masked_picture(desk.blobs.get(row.blob), size, channels)
        pixels = _paint(model, masked, params, version, pace, desk.device)
        name = f"inpainted-{version.index:03d}.png"
        desk.add_artifact(name, "image/png", write_picture(pixels), (size, size))
        made.append(_about(version, name, row, masked))
    desk.succeed(metrics={"inpaintings": made})


def _versions(pictures: int, params: ResolvedInpaintParams) -> Iterator[_Version]:
    """All versions of the first picture, then those of the next."""
    for picture in range(pictures):
        for count in range(params.count):
            seed = (params.seed + picture * MAX_COUNT + count) % (MAX_SEED + 1)
            yield _Version(picture * params.count + count, picture, seed)


def _paint(
    model: TrainedModel,
    masked: MaskedPicture,
    params: ResolvedInpaintParams,
    version: _Version,
    pace: ProgressReporter,
    device: torch.device,
) -> Tensor:
    """One version of a picture -> (C, S, S) bytes; what is known of it is as it was read."""
    frame, generator = Frame.of(model), torch.Generator(device).manual_seed(version.seed)
    # What the model has not learned: what is painted gets that of its surroundings.
    light = Light.of(masked.pixels, model.params.even_light, masked.known)
    images = mirror(model.levels.standardize(light.without(masked.pixels)[None].to(device)), frame.margin)
    known = mirror(masked.known[None, None].float(), frame.margin).bool().to(device)
    painted = inpainting.inpaint(
        model.net,
        images,
        known,
        steps=params.steps,
        dynamics=replace(
            dynamics_of(model.params, model.levels.box), step_size=params.step_size, boundary=frame.boundary
        ),
        generator=generator,
        noise_std=model.params.picture_noise,
        start=inpainting.start_from_chains(images, known, model.chains, generator, frame.stride),
        after_step=lambda step: pace.tell(version.index, version.index + 1, step),
    )
    if not painted.isfinite().all():
        raise Diverged(f"the chain ran away with a step_size of {params.step_size:g}: a smaller one may help")
    pixels = to_bytes(light.given_to(model.levels.to_grey_levels(crop(painted, frame.margin).cpu())[0]))
    return torch.where(masked.known, masked.pixels.to(torch.uint8), pixels)


def _about(version: _Version, name: str, row: DatasetImage, masked: MaskedPicture) -> dict[str, object]:
    """What a client needs to know which picture a result belongs to, and how much of it is new."""
    unknown = 1 - masked.known.float().mean().item()
    return {
        "index": version.index,
        "name": name,
        "picture": version.picture,
        "filename": row.filename,
        "unknown_fraction": round(unknown, 4),
    }
