"""Training jobs on small pictures of noise."""

import numpy as np
from PIL import Image
from support import pictures

from core.jobs.requests import NewJob
from core.schemas.jobs import JobKind
from core.schemas.learning import LearningParams

SIZE = 16


def noise(seed: int) -> bytes:
    array = np.random.default_rng(seed).integers(60, 200, (SIZE, SIZE), dtype=np.uint8)
    return pictures.encoded(Image.fromarray(array), "PNG")


def training(dataset_id: str, **settings: object) -> NewJob:
    """Return a job of three iterations, unless `settings` say otherwise."""
    given = {"image_size": SIZE, "layers": [{"filters": 4, "kernel_size": 5}], "iterations": 3, "seed": 1}
    params = LearningParams.model_validate({**given, "num_chains": 2, "langevin_steps": 1, **settings})
    return NewJob(kind=JobKind.TRAIN, params=params.model_dump(mode="json"), dataset_id=dataset_id)
