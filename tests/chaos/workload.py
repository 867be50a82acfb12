"""The jobs of a chaos run: a few distinct requests, each done once undisturbed, and many equal ones among faults."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from support.client import TINY

ITERATIONS = 250
SEEDS = (1, 2, 3)  # of the training jobs
SPLIT_COUNT = 12  # pictures of a sampling job, which is split into two shards


@dataclass(frozen=True)
class JobRequest:
    """A job to post. `control` names the undisturbed job whose results it must have."""

    control: str
    key: str
    client: int
    cancel: bool = False
    resume: bool = False  # after it was canceled
    again: bool = False  # post it once more under its key, after it was accepted


def bodies(
    dataset_id: str, models: Mapping[str, str], iterations: int, seeds: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Return each distinct request by its name; `models` are the ids of trained models by the names of their jobs."""
    found: dict[str, dict[str, Any]] = {}
    params = {**TINY, "iterations": iterations}
    for seed in seeds:
        name = f"train-{seed}"
        found[name] = {"kind": "train", "dataset_id": dataset_id, "params": {**params, "seed": seed}}
        if name not in models:
            continue
        size = {"width": 32, "height": 32, "steps": 20, "seed": 10 * seed}
        body = {"kind": "sample", "model_id": models[name]}
        found[f"sample-{seed}"] = {**body, "params": {**size, "count": 2}}
        found[f"split-{seed}"] = {**body, "params": {**size, "count": SPLIT_COUNT, "steps": 60}}
        found[f"reconstruct-{seed}"] = {
            "kind": "reconstruct",
            "model_id": models[name],
            "dataset_id": dataset_id,
            "params": {"mode": "one_pass"},
        }
    return found


def requests(random: Random, jobs: int, clients: int, seeds: Sequence[int]) -> list[JobRequest]:
    """Return requests of all kinds. A third trains; one in eight is canceled, and half of those are resumed."""
    kinds = ("train", "train", "sample", "sample", "split", "reconstruct")
    found = []
    for number in range(jobs):
        cancel = random.random() < 1 / 8
        found.append(
            JobRequest(
                control=f"{kinds[number % len(kinds)]}-{random.choice(seeds)}",
                key=f"job-{number}",
                client=number % clients,
                cancel=cancel,
                resume=cancel and random.random() < 1 / 2,
                again=random.random() < 1 / 4,
            )
        )
    return found


def noise(random: Random) -> bytes:
    """Return a picture of a few hundred kilobytes, which takes a moment to send."""
    pixels = np.random.default_rng(random.randrange(2**32)).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
