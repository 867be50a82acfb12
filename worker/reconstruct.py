"""The `reconstruct` job: a dataset's pictures as a model's auto-encoder gives them back."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from core.pictures.images import WHITE, read_picture, sheet, to_bytes, write_picture
from core.recipe.lighting import Light
from core.schemas.reconstruction import ReconstructParams
from core.synthesis.trained_model import TrainedModel
from core.theory import decoding
from core.theory.boundary import crop, mirror
from worker.inputs import Frame, batches, dataset_rows, open_model
from worker.job_context import JobContext
from worker.progress import ProgressReporter

SHOWN_PICTURES = 8  # on the contact sheet
TOLERANCE = 1e-5  # relative, of a mode; the model computes in float32


@dataclass(frozen=True)
class Reconstruction:
    """How near a picture's reconstruction is to it: between what was read and the file written, in its grey levels.

    psnr: dB, None where nothing differs. residual: ‖I - σ²B‖ / ‖I‖ where the search for the attractor ended, and
    whether that is a mode; None for one pass, which searches none.
    """

    index: int
    filename: str
    rmse: float
    psnr: float | None
    converged: bool | None
    residual: float | None


def reconstruct(desk: JobContext) -> None:
    """Each picture through the model, a batch at a time, so that none waits in memory."""
    params = ReconstructParams.model_validate(desk.claim.params)
    model = open_model(desk, desk.claim.model_id)
    rows = dataset_rows(desk)
    size, channels = model.params.image_size, len(model.levels.mean)
    pace = ProgressReporter(desk, len(rows), params.passes)
    made: list[Reconstruction] = []
    above: list[Tensor] = []
    below: list[Tensor] = []
    for batch in batches(rows, size):
        pictures = torch.stack([read_picture(desk.blobs.get(row.blob), size, channels) for row in batch])
        step = partial(pace.tell, len(made), len(made) + len(batch))
        rebuilt = _rebuild(model, pictures.to(desk.device), params, step)
        all_pixels = to_bytes(rebuilt.pictures)
        for place, (row, picture, pixels) in enumerate(zip(batch, pictures, all_pixels, strict=True)):
            index = len(made)
            desk.add_artifact(f"reconstructed-{index:03d}.png", "image/png", write_picture(pixels), (size, size))
            rmse = (picture - pixels).square().mean().sqrt().item()
            made.append(Reconstruction(index, row.filename, round(rmse, 4), psnr(rmse), *rebuilt.mode(place)))
            if index < SHOWN_PICTURES:
                above.append(picture.to(torch.uint8))
                below.append(pixels)
    whole = sheet([*above, *below], columns=len(above))
    desk.add_artifact("contact-sheet.png", "image/png", write_picture(whole), (whole.shape[2], whole.shape[1]))
    desk.succeed(metrics=_summary(made))


def psnr(rmse: float) -> float | None:
    """Peak signal to noise, 20 log10(255 / RMSE), in dB; None for no noise."""
    return round(20 * math.log10(WHITE / rmse), 3) if rmse > 0 else None


@dataclass(frozen=True)
class _Rebuilt:
    """pictures (N, C, H, W), grey levels, on the CPU; modes where attractors were sought."""

    pictures: Tensor
    modes: decoding.Modes | None = None

    def mode(self, place: int) -> tuple[bool | None, float | None]:
        """Of one picture: whether it converged, and its residual."""
        if self.modes is None:
            return None, None
        return bool(self.modes.converged[place]), float(f"{self.modes.residual[place].item():.3e}")


def _rebuild(model: TrainedModel, pictures: Tensor, params: ReconstructParams, tell: Callable[[int], None]) -> _Rebuilt:
    """Pictures (N, C, H, W), grey levels, through the model by the mode asked for; `tell` hears of each step.

    Light that was evened out of what the model learned from is taken out before, and given back.
    """
    frame = Frame.of(model)
    lights = [Light.of(picture, model.params.even_light) for picture in pictures]
    even = torch.stack([light.without(picture) for light, picture in zip(lights, pictures, strict=True)])
    images = mirror(model.levels.standardize(even), frame.margin)

    def lit(rebuilt: Tensor) -> Tensor:
        made = model.levels.to_grey_levels(crop(rebuilt, frame.margin).cpu())
        return torch.stack([light.given_to(one) for light, one in zip(lights, made, strict=True)])

    if params.mode == "one_pass":
        rebuilt = decoding.reconstruct(model.net, images, frame.boundary)
        tell(1)
        return _Rebuilt(lit(rebuilt))
    modes = decoding.find_mode(
        model.net,
        images,
        max_steps=params.steps,
        tolerance=TOLERANCE,
        boundary=frame.boundary,
        after_step=tell,
    )
    return _Rebuilt(lit(modes.images), modes)


def _summary(made: Sequence[Reconstruction]) -> dict[str, Any]:
    """The job's metrics. The mean PSNR is over the pictures that have one."""
    ratios = [one.psnr for one in made if one.psnr is not None]
    return {
        "reconstructions": [asdict(one) for one in made],
        "mean_rmse": round(fmean(one.rmse for one in made), 4),
        "mean_psnr": round(fmean(ratios), 3) if ratios else None,
    }
