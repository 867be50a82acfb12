"""The `sample` job: new pictures of any size from a finished model."""

from dataclasses import replace
from functools import partial

import torch

from core.contracts.learned import LearnedSettings
from core.contracts.sampling import ResolvedSampleParams
from core.engine import choose_engine
from core.images import fit_torus, write_picture
from core.learning import dynamics_of
from core.sampling import develop, synthesize
from worker.desk import Desk
from worker.inputs import open_model
from worker.pace import Pace


def sample(desk: Desk) -> None:
    """Draw `count` pictures, each from a seed of its own, so that none depends on how many are asked for."""
    params = ResolvedSampleParams.model_validate(desk.claim.params)
    model = open_model(desk, desk.claim.model_id)
    net, starts = model.net, model.chains
    # An object's net and one of patches are bound to their size; every other draws on a torus of any size.
    fixed = LearnedSettings.model_validate(model.params.model_dump()).only_size is not None
    boundary = model.params.boundary if fixed else "torus"
    learned = dynamics_of(model.params, model.levels.box)
    dynamics = replace(learned, step_size=params.step_size, boundary=boundary)
    engine = choose_engine(model.params.precision, desk.device)
    pace = Pace(desk, params.count, params.steps)
    for index in range(params.count):
        generator = torch.Generator(desk.device).manual_seed((params.seed + index) % 2**63)
        pictures = synthesize(
            net,
            1,
            params.height,
            params.width,
            steps=params.steps,
            dynamics=dynamics,
            generator=generator,
            start=starts,
            engine=engine,
            after_step=partial(pace.tell, index, index + 1),
        )
        developed = develop(
            net, pictures, model.levels, model.params.picture_noise, dynamics, engine, lambda _: desk.lease.check()
        )
        pixels = developed[0]
        # On the torus the sides are multiples of the net's stride, a few pixels more than asked for at the most.
        whole = (
            fit_torus(pixels, params.height, params.width)
            if params.tileable
            else pixels[:, : params.height, : params.width]
        )
        name = f"synthesized-{index:03d}.png"
        desk.add_artifact(name, "image/png", write_picture(whole), (params.width, params.height))
    desk.succeed()
