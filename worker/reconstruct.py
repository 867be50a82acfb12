"""The `reconstruct` job: reconstruct a dataset's pictures with a model as an auto-encoder."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from core.pictures.images import WHITE, read_picture, sheet, to_bytes
from core.recipe.lighting import Light
from core.schemas.reconstruction import ReconstructParams
from core.synthesis.trained_model import TrainedModel
from core.synthesis.walk import Walk
from core.theory import decoding
from core.theory.boundary import crop, mirror
from worker.inputs import BoundaryHandling, batches, dataset_rows, open_model
from worker.job_context import JobContext
from worker.origins import THEORY_PRECISION, Origins
from worker.picture_warnings import find_transparent
from worker.progress import ProgressReporter

SHEET_PICTURES = 8  # pictures on the contact sheet, at most
TOLERANCE = 1e-5  # relative residual of a mode; the model computes in float32


@dataclass(frozen=True)
class Reconstruction:
    """How near a reconstruction is to its picture, in grey levels of the files.

    psnr: in dB; None if the two are equal. converged, residual: whether the search for a mode reached one, and
    ‖I - σ²B‖ / ‖I‖ at its end; None for one pass, which does not search. frames: the steps after which the pictures of
    the walk were kept; None without any.
    """

    index: int
    filename: str
    rmse: float
    psnr: float | None
    converged: bool | None
    residual: float | None
    frames: list[int] | None = None


def reconstruct(context: JobContext) -> None:
    """Reconstruct the pictures in batches, so that memory holds one batch at a time."""
    params = ReconstructParams.model_validate(context.lease.params)
    model = open_model(context, context.lease.model_id)
    rows = dataset_rows(context)
    size, channels = model.params.image_size, len(model.levels.mean)
    progress = ProgressReporter(context, len(rows), params.passes)
    origins, warnings = Origins.of(context, THEORY_PRECISION), find_transparent(context, rows)
    results: list[Reconstruction] = []
    top: list[Tensor] = []
    bottom: list[Tensor] = []
    for batch in batches(rows, size):
        pictures = torch.stack([read_picture(context.blobs.get(row.blob), size, channels) for row in batch])
        after_step = partial(progress.report, len(results), len(results) + len(batch))
        rebuilt = _reconstruct_batch(model, pictures.to(context.device), params, after_step)
        all_pixels = to_bytes(rebuilt.pictures)
        for place, (row, picture, pixels) in enumerate(zip(batch, pictures, all_pixels, strict=True)):
            index = len(results)
            name = f"reconstructed-{index:03d}.png"
            context.add_picture(name, pixels, origins.origin(name, index))
            rmse = (picture - pixels).square().mean().sqrt().item()
            frames = rebuilt.walks[place].frames() if params.frames else []
            for number, frame in enumerate(frames):
                name = f"walk-{index:03d}-{number:02d}.png"
                context.add_picture(name, frame.pixels, origins.origin(name, number))
            steps = [frame.step for frame in frames] or None
            found = Reconstruction(index, row.filename, round(rmse, 4), psnr(rmse), *rebuilt.search(place), steps)
            results.append(found)
            if index < SHEET_PICTURES:
                top.append(picture.to(torch.uint8))
                bottom.append(pixels)
    context.add_picture("contact-sheet.png", sheet([*top, *bottom], columns=len(top)))
    context.succeed(metrics={**_summary(results), "remarks": warnings})


def psnr(rmse: float) -> float | None:
    """Return the peak signal-to-noise ratio 20 log10(255 / RMSE) in dB; None if RMSE is 0."""
    return round(20 * math.log10(WHITE / rmse), 3) if rmse > 0 else None


@dataclass(frozen=True)
class _Batch:
    """Reconstructed pictures (N, C, H, W), grey levels, on the CPU, and the modes if they were searched for.

    walks: those of each picture to its mode, if frames of them are kept.
    """

    pictures: Tensor
    modes: decoding.Modes | None = None
    walks: Sequence[Walk] = ()

    def search(self, place: int) -> tuple[bool | None, float | None]:
        """Return whether the search for one picture's mode converged, and its residual."""
        if self.modes is None:
            return None, None
        return bool(self.modes.converged[place]), float(f"{self.modes.residual[place].item():.3e}")


def _reconstruct_batch(
    model: TrainedModel, pictures: Tensor, params: ReconstructParams, after_step: Callable[[int], None]
) -> _Batch:
    """Reconstruct pictures (N, C, H, W), grey levels, by one pass or by the search for a mode.

    If the model was learned from pictures with even light, the pictures' light is removed before and added after.
    """
    handling = BoundaryHandling.of(model)
    lights = [Light.of(picture, model.params.even_light) for picture in pictures]
    even = torch.stack([light.without(picture) for light, picture in zip(lights, pictures, strict=True)])
    images = mirror(model.levels.standardize(even), handling.margin)

    def to_pixels(light: Light, rebuilt: Tensor) -> Tensor:
        return to_bytes(light.given_to(model.levels.to_grey_levels(crop(rebuilt[None], handling.margin).cpu())[0]))

    def to_grey_levels(rebuilt: Tensor) -> Tensor:
        levels = model.levels.to_grey_levels(crop(rebuilt, handling.margin).cpu())
        return torch.stack([light.given_to(picture) for light, picture in zip(lights, levels, strict=True)])

    if params.mode == "one_pass":
        rebuilt = decoding.reconstruct(model.net, images, handling.boundary)
        after_step(1)
        return _Batch(to_grey_levels(rebuilt))
    walks = [Walk(params.frames, partial(to_pixels, light)) for light in lights]

    def observe(walking: Tensor) -> None:
        for walk, picture in zip(walks, walking, strict=True):
            walk.add(picture)

    modes = decoding.find_mode(
        model.net,
        images,
        max_steps=params.steps,
        tolerance=TOLERANCE,
        boundary=handling.boundary,
        after_step=after_step,
        observe=observe if params.frames else None,
    )
    return _Batch(to_grey_levels(modes.images), modes, walks)


def _summary(results: Sequence[Reconstruction]) -> dict[str, Any]:
    """Return the job's metrics. The mean PSNR is over the pictures that have one."""
    ratios = [one.psnr for one in results if one.psnr is not None]
    return {
        "reconstructions": [asdict(one) for one in results],
        "mean_rmse": round(fmean(one.rmse for one in results), 4),
        "mean_psnr": round(fmean(ratios), 3) if ratios else None,
    }
