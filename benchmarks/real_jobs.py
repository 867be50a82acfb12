"""How fast the jobs that people begin with are: an iteration of learning, a large canvas, the demo.

An iteration is L Langevin steps, the gradients of the chain and of the training picture, and an update by Adam. The
peers do the same with plain PyTorch modules and autograd: torchebm's sampler, and the usual loop of published code.
Their chains continue periodically too, so that they compute as many responses as ours. Run by speed.py.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import operations
import torch
from peers import LOOP, TORCHEBM, PeerLearner, autograd_loop, has_torchebm, peer_samplers, torchebm_sampler
from timing import median_seconds

from core.engine import choose_engine
from core.engine.dynamics import Dynamics
from core.engine.parallel import threads
from core.pictures.images import Levels, read_picture
from core.pictures.training_set import TrainingSet
from core.recipe.learner import Learner
from core.recipe.preparation import prepare_for
from core.schemas.geometry import chain_side
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

ROOT = Path(__file__).parents[1]
ITERATIONS = 10  # in a row, as in a job: one alone would find the caches full of the peers' data
CANVAS = 1024
CANVAS_STEPS = 2

# The presets `quick` and `texture-cpu` as of 2026-11-28, so that a changed preset does not move the yardstick.
_QUICK = LearningParams(
    image_size=96,
    layers=(
        LayerParams(filters=96, kernel_size=9, stride=3),
        LayerParams(filters=48, kernel_size=3),
        LayerParams(filters=32, kernel_size=3),
    ),
    layerwise=False,
    num_chains=1,
    langevin_steps=2,
    reference_std=10.0,
    contrast=50.0,
    even_light=32.0,
    picture_noise=10.0,
    bounded=True,
    random_lattice=True,
    keep_nearest=True,
    step_size=6.0,
    iterations=600,
    learning_rate=6e-4,
    seed=1,
)
YARDSTICKS = {
    "quick": _QUICK,
    "texture-cpu": _QUICK.model_copy(
        update={"image_size": 128, "langevin_steps": 4, "iterations": 1500, "learning_rate": 4e-4}
    ),
}


def compare_iterations(device: torch.device, precision: str, turns: int, count: int) -> dict[str, Any]:
    """Compare an iteration of each yardstick with the peers' on `count` threads; seconds, ratios and GFLOP."""
    found = {}
    with threads(count):
        for name, params in YARDSTICKS.items():
            learner, peers = _learners(params.model_copy(update={"precision": precision}), device)
            tasks = {way: partial(_repeat, update) for way, update in {"ours": learner.update, **peers}.items()}
            seconds = {way: taken / ITERATIONS for way, taken in median_seconds(tasks, turns, device).items()}
            found[name] = {
                "seconds": seconds,
                "gflop": operations.of_iteration(learner.architecture, params, chains=1, pictures=1) / 1e9,
                "ratios": {peer: seconds[peer] / seconds["ours"] for peer in peers},
            }
    return found


def _learners(params: LearningParams, device: torch.device) -> tuple[Learner, Mapping[str, Callable[[], object]]]:
    """Return our learner of the example's texture, and an iteration of each peer with the same net and picture."""
    learner, _ = learner_of(params, device)
    peers = {
        name: PeerLearner(learner.state.net, learner.pictures.read([0]), learner.state.chains, params, maker).update
        for name, maker in peer_samplers().items()
    }
    return learner, peers


def learner_of(params: LearningParams, device: torch.device) -> tuple[Learner, Levels]:
    """Return a learner of the example's texture, and how its grey levels were changed."""
    picture = read_picture((ROOT / "examples" / "texture.png").read_bytes(), params.image_size, 3)
    images, levels = prepare_for(params, picture[None].to(device))
    return Learner(TrainingSet.of(images, levels), params), levels


def _repeat(update: Callable[[], object]) -> None:
    for _ in range(ITERATIONS):
        update()


def compare_canvas(device: torch.device, precision: str, turns: int) -> dict[str, Any]:
    """Compare a step on a canvas of CANVAS x CANVAS pixels by the net of `quick`; seconds and ratios."""
    params = _QUICK
    net = GenerativeConvNet(architecture_of(params, 3), torch.Generator().manual_seed(1)).to(device)
    side = chain_side(params.layers, CANVAS, "torus")
    chains = 30 * torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(2)).to(device)
    engine, generator = choose_engine(precision, device), torch.Generator(device).manual_seed(3)
    tasks = {
        "ours": partial(engine.run, net, chains, CANVAS_STEPS, Dynamics(params.step_size, "torus"), generator),
        LOOP: partial(autograd_loop(net, params.step_size, periodic=True), chains, CANVAS_STEPS),
    }
    if has_torchebm():
        tasks[TORCHEBM] = partial(torchebm_sampler(net, params.step_size, periodic=True), chains, CANVAS_STEPS)
    seconds = {name: taken / CANVAS_STEPS for name, taken in median_seconds(tasks, turns, device).items()}
    ratios = {name: taken / seconds["ours"] for name, taken in seconds.items() if name != "ours"}
    return {"side": CANVAS, "seconds": seconds, "ratios": ratios}


def measure_demo(out: Path) -> dict[str, float]:
    """Run `make demo`; return the seconds until each of its phases was over, from the one before."""
    command = [sys.executable, "-u", str(ROOT / "examples" / "demo.py"), "--out", str(out)]
    phases = {"serving": "start of the service", "learned": "upload and learning", "wrote": "sampling, download"}
    seconds: dict[str, float] = {}
    before = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            now, word = time.monotonic(), re.split(r"\s", line, maxsplit=1)[0]
            if (phase := phases.pop(word, None)) is not None:
                seconds[phase], before = now - before, now
    if demo.returncode or phases:
        raise RuntimeError(f"the demo ended with {demo.returncode} before {', '.join(phases.values()) or 'its end'}")
    seconds["stop of the service"] = time.monotonic() - before
    return seconds
