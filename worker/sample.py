"""The `sample` job: new pictures of any size from a finished model."""

import time
from functools import partial

import torch
from torch import Tensor

from core.checkpoint import load_model
from core.contracts.jobs import Progress
from core.contracts.learned import LearnedSettings
from core.contracts.sampling import ResolvedSampleParams
from core.decoding import denoise
from core.images import fit_torus, to_pixels, write_picture
from core.learning import box_of
from core.sampling import synthesize
from core.store import models
from worker.desk import Desk


def sample(desk: Desk) -> None:
    """Draw `count` pictures, each from a seed of its own, so that none depends on how many are asked for."""
    params = ResolvedSampleParams.model_validate(desk.claim.params)
    assert desk.claim.model_id is not None
    model = load_model(desk.blobs.get(models.find(desk.database, desk.claim.model_id).blob))
    net, starts = model.net.to(desk.device), model.chains.to(desk.device)
    # An object's net and one of patches are bound to their size; every other draws on a torus of any size.
    fixed = LearnedSettings.model_validate(model.params.model_dump()).only_size is not None
    boundary = model.params.boundary if fixed else "torus"
    began_at = time.monotonic()

    def after_step(index: int, step: int, _: Tensor) -> None:
        desk.lease.check()
        fraction = (index * params.steps + step) / (params.count * params.steps)
        desk.progress(
            Progress(
                stage=index + 1,
                stages=params.count,
                iteration=step,
                iterations=params.steps,
                fraction=fraction,
                eta_seconds=round((time.monotonic() - began_at) * (1 / fraction - 1), 1),
            )
        )

    for index in range(params.count):
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
            after_step=partial(after_step, index),
            box=box_of(model.params, model.levels.limits),
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
