"""What is asked for: few distinct requests, each done once undisturbed, and many like them in the storm."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from PIL import Image

LEARN = {
    "image_size": 32,
    "layers": [{"filters": 8, "kernel_size": 5, "stride": 2}],
    "num_chains": 2,
    "langevin_steps": 5,
    "iterations": 250,
    "checkpoint_seconds": 1,
}
SEEDS = (1, 2, 3)  # of what is learned
PICTURES = 12  # of a sample job that is split in two


@dataclass(frozen=True)
class Wanted:
    """A job to be posted. `like` names the undisturbed one whose results it must have."""

    like: str
    key: str
    client: int
    cancel: bool = False
    resume: bool = False  # once it is canceled
    again: bool = False  # posted once more under its key, when it is accepted


def bodies(dataset_id: str, models: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Every distinct request by its name; `models` are the ids of those that are learned, by the name of their job."""
    found: dict[str, dict[str, Any]] = {}
    for seed in SEEDS:
        name = f"train-{seed}"
        found[name] = {"kind": "train", "dataset_id": dataset_id, "params": {**LEARN, "seed": seed}}
        if name not in models:
            continue
        drawn = {"width": 32, "height": 32, "steps": 20, "seed": 10 * seed}
        asked = {"kind": "sample", "model_id": models[name]}
        found[f"sample-{seed}"] = {**asked, "params": {**drawn, "count": 2}}
        found[f"split-{seed}"] = {**asked, "params": {**drawn, "count": PICTURES, "steps": 60}}
        found[f"reconstruct-{seed}"] = {
            "kind": "reconstruct",
            "model_id": models[name],
            "dataset_id": dataset_id,
            "params": {"mode": "one_pass"},
        }
    return found


def wanted(random: Random, jobs: int, clients: int) -> list[Wanted]:
    """A third learns; of all jobs one in eight is canceled, and half of those go on afterwards."""
    kinds = ("train", "train", "sample", "sample", "split", "reconstruct")
    found = []
    for number in range(jobs):
        cancel = random.random() < 1 / 8
        found.append(
            Wanted(
                like=f"{kinds[number % len(kinds)]}-{random.choice(SEEDS)}",
                key=f"job-{number}",
                client=number % clients,
                cancel=cancel,
                resume=cancel and random.random() < 1 / 2,
                again=random.random() < 1 / 4,
            )
        )
    return found


def noise(random: Random) -> bytes:
    """A picture of a few hundred kilobytes, which takes its time to send."""
    pixels = np.random.default_rng(random.randrange(2**32)).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
