"""The `sample` job: new pictures of any size from a finished model."""

from functools import partial

import torch
from torch import Tensor

from core.contracts.learned import LearnedSettings
from core.contracts.sampling import ResolvedSampleParams
from core.decoding import denoise
from core.images import fit_torus, to_pixels, write_picture
from core.learning import box_of
from core.sampling import synthesize
from worker.desk import Desk
from worker.inputs import open_model
from worker.pace import Pace


def sample(desk: Desk) -> None:
    """Draw `count` pictures, or a shard's share of them.

    Each has a seed of its own, so that none depends on how many are asked for, nor on who draws the others.
    """
    params = ResolvedSampleParams.model_validate(desk.claim.params)
    model = open_model(desk, desk.claim.model_id)
    net, starts = model.net, model.chains
    # An object's net and one of patches are bound to their size; every other draws on a torus of any size.
    fixed = LearnedSettings.model_validate(model.params.model_dump()).only_size is not None
    boundary = model.params.boundary if fixed else "torus"
    box = box_of(model.params, model.levels.limits)
    pace = Pace(desk, params.count, params.steps)
    first = desk.claim.first
    for index in range(first, first + params.count):
        generator = torch.Generator(desk.device).manual_seed((params.seed + index) % 2**63)
        pictures = synthesize(
            net,
            1,
            params.height,
            params.width,
            steps=params.steps,
            step_size=params.step_size,
            generator=generator,
            start=starts,
            boundary=boundary,
            after_step=partial(_tell, pace, index - first),
            box=box,
            random_lattice=model.params.random_lattice,
        )
        clean = denoise(net, pictures, model.params.picture_noise, boundary, model.params.random_lattice)
        pixels = to_pixels(clean, model.levels)[0]
        # On the torus the sides are multiples of the net's stride, a few pixels more than asked for at the most.
        whole = (
            fit_torus(pixels, params.height, params.width)
            if params.tileable
            else pixels[:, : params.height, : params.width]
        )
        name = f"synthesized-{index:03d}.png"
        desk.add_artifact(name, "image/png", write_picture(whole), (params.width, params.height))
    desk.succeed()


def _tell(pace: Pace, done: int, step: int, _: Tensor) -> None:
    pace.tell(done, done + 1, step)
