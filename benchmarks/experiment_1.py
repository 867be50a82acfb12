"""Experiment 1 of the paper in full: `python benchmarks/speed.py --full`."""

import sys
import time
from pathlib import Path
from typing import Any

import torch
from timing import MEBIBYTE, peak_bytes, start_memory_peak

from core.pictures.images import read_picture, sheet, to_pixels, write_picture
from core.pictures.quality import distance_ratio
from core.pictures.training_set import TrainingSet
from core.recipe.diagnosis import find_warnings
from core.recipe.learner import Learner
from core.recipe.preparation import prepare_for
from core.recipe.presets import PRESETS
from core.recipe.rendering import render_chains

TEXTURE = Path(__file__).parents[1] / "examples" / "texture.png"


def run_experiment_1(device: torch.device, precision: str, out: Path) -> dict[str, Any]:
    """Run Experiment 1 as printed on examples/texture.png; write its chains to `out` and return its figures.

    16 chains of 224 x 224, three layers grown one after the other, 700 iterations of ten steps for each.
    """
    params = PRESETS["texture"].model_copy(update={"seed": 1, "precision": precision})
    picture = read_picture(TEXTURE.read_bytes(), params.image_size, 3)[None].to(device)
    images, levels = prepare_for(params, picture)
    learner = Learner(TrainingSet.of(images, levels), params)
    before, began_at = start_memory_peak(device), time.perf_counter()
    for progress in learner.iterate():
        if progress.step % 100 == 0:
            sys.stderr.write(
                f"{progress.fraction:4.0%} after {time.perf_counter() - began_at:.0f} s, {progress.health}\n"
            )
    seconds, peak_mib = time.perf_counter() - began_at, (peak_bytes(device) - before) / MEBIBYTE
    synthesized = to_pixels(render_chains(learner.state.net, learner.state.chains, params), levels)
    out.mkdir(parents=True, exist_ok=True)
    (out / "experiment-1.png").write_bytes(write_picture(sheet([*picture.cpu().to(torch.uint8), *synthesized])))
    return {
        "seconds": seconds,
        "peak_mib": peak_mib,
        "recoveries": learner.state.recoveries,
        "remarks": find_warnings(learner.measure_health()),
        "distance_ratio": distance_ratio(synthesized.float(), picture[0].cpu()),
    }
