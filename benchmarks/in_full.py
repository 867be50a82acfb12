"""Whole jobs, and where their time goes: `python benchmarks/speed.py --full`, which `make bench-gpu` runs.

Experiment 1 of the paper as printed; `quick` learned twice from one seed, which must give the same picture; a large
canvas drawn; and a profile of Langevin steps and of iterations, operation by operation.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from real_jobs import YARDSTICKS, learner_of
from samplers import PLANE, experiment_1_net, noise_pictures
from timing import MEBIBYTE, peak_bytes, start_memory_peak
from torch.profiler import ProfilerActivity, profile

from core.engine import choose_engine
from core.pictures.images import sheet, to_pixels, write_picture
from core.pictures.quality import distance_ratio
from core.recipe.diagnosis import find_warnings
from core.recipe.preparation import dynamics_of
from core.recipe.presets import PRESETS
from core.recipe.rendering import render_chains
from core.schemas.fields import DEFAULT_STEPS
from core.schemas.learning import LearningParams
from core.synthesis.sampling import synthesize

LARGE_CANVAS = 8192
PROFILED_STEPS, PROFILED_ITERATIONS = 20, 20
PROFILED_ROWS = 50


def run_in_full(device: torch.device, precision: str, out: Path) -> dict[str, Any]:
    """Run all of it; write pictures and profiles to `out` and return the figures."""
    out.mkdir(parents=True, exist_ok=True)
    params = YARDSTICKS["quick"].model_copy(update={"precision": precision})
    return {
        "experiment_1": run_experiment_1(device, precision, out),
        "quick": learn_twice(params, device),
        "canvas": draw_large(params, device),
        "profiles": [str(path) for path in write_profiles(params, device, out)],
    }


def run_experiment_1(device: torch.device, precision: str, out: Path) -> dict[str, Any]:
    """Run Experiment 1 as printed on examples/texture.png; write its chains to `out` and return its figures.

    16 chains of 224 x 224, three layers grown one after the other, 700 iterations of ten steps for each.
    """
    params = PRESETS["texture"].model_copy(update={"seed": 1, "precision": precision})
    learner, levels = learner_of(params, device)
    before, began_at = start_memory_peak(device), time.perf_counter()
    for progress in learner.iterate():
        if progress.step % 100 == 0:
            sys.stderr.write(
                f"{progress.fraction:4.0%} after {time.perf_counter() - began_at:.0f} s, {progress.health}\n"
            )
    seconds, peak_mib = time.perf_counter() - began_at, (peak_bytes(device) - before) / MEBIBYTE
    picture = to_pixels(learner.pictures.read([0]), levels)
    synthesized = to_pixels(render_chains(learner.state.net, learner.state.chains, params), levels)
    (out / "experiment-1.png").write_bytes(write_picture(sheet([*picture, *synthesized])))
    return {
        "seconds": seconds,
        "peak_mib": peak_mib,
        "recoveries": learner.state.recoveries,
        "warnings": find_warnings(learner.measure_health()),
        "distance_ratio": distance_ratio(synthesized.float(), picture[0].float()),
    }


def learn_twice(params: LearningParams, device: torch.device) -> dict[str, Any]:
    """Learn examples/texture.png twice from one seed; return the seconds of each, and whether the chains are equal."""
    seconds, chains = [], []
    for _ in range(2):
        began_at = time.perf_counter()
        learner, _ = learner_of(params, device)
        for _ in learner.iterate():
            pass
        chains.append(learner.state.chains.cpu())
        seconds.append(time.perf_counter() - began_at)
    return {"seconds": seconds, "equal": torch.equal(*chains)}


def draw_large(params: LearningParams, device: torch.device) -> dict[str, float]:
    """Draw a canvas of LARGE_CANVAS pixels as a sampling job does, by a net that has learned nothing yet."""
    learner, _ = learner_of(params, device)
    before, began_at = start_memory_peak(device), time.perf_counter()
    drawn = synthesize(
        learner.state.net,
        1,
        LARGE_CANVAS,
        LARGE_CANVAS,
        steps=DEFAULT_STEPS,
        dynamics=dynamics_of(params, learner.pictures.box),
        generator=learner.state.generator,
        start=learner.examples.to(device),
        engine=learner.engine,
    )
    drawn[..., :1, :1].cpu()  # waits for the device
    return {
        "side": LARGE_CANVAS,
        "steps": DEFAULT_STEPS,
        "seconds": time.perf_counter() - began_at,
        "peak_mib": (peak_bytes(device) - before) / MEBIBYTE,
    }


def write_profiles(params: LearningParams, device: torch.device, out: Path) -> list[Path]:
    """Profile steps of 16 chains of Experiment 1, and iterations of `params`; write a table of each to `out`."""
    net, images = experiment_1_net(device), noise_pictures(16, 225, device)
    engine, generator = choose_engine(params.precision, device), torch.Generator(device).manual_seed(3)
    learner, _ = learner_of(params, device)
    works: dict[str, Callable[[], object]] = {
        "profile-steps.txt": lambda: engine.run(net, images, PROFILED_STEPS, PLANE, generator),
        "profile-iterations.txt": lambda: [learner.update() for _ in range(PROFILED_ITERATIONS)],
    }
    return [_write_profile(work, device, out / name) for name, work in works.items()]


def _write_profile(work: Callable[[], object], device: torch.device, path: Path) -> Path:
    """Profile the second of two runs, after kernels are chosen and graphs captured."""
    on_gpu = device.type == "cuda"
    work()
    if on_gpu:
        torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as found:
        work()
        if on_gpu:
            torch.cuda.synchronize(device)
    order = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    path.write_text(found.key_averages().table(sort_by=order, row_limit=PROFILED_ROWS, max_name_column_width=90))
    return path
