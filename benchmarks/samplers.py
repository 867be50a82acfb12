"""What speed.py compares: the implementations of the Langevin step, on the net of Experiment 1."""

from functools import partial

import torch
from peers import LOOP, TORCHEBM, Sampler, autograd_loop, torchebm_sampler
from torch import Tensor

from core.engine import Engine, FastEngine, ReferenceEngine, choose_engine, has_bfloat16
from core.engine.dynamics import Dynamics
from core.recipe.presets import PRESETS
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

FLOAT32, BFLOAT16 = "ours, fast, float32", "ours, fast, bfloat16"
STEP_SIZE = 0.3
PLANE = Dynamics(STEP_SIZE, "valid")


def experiment_1_net(device: torch.device) -> GenerativeConvNet:
    net = GenerativeConvNet(architecture_of(PRESETS["texture"], 3), torch.Generator().manual_seed(1))
    return net.to(device)


def noise_pictures(count: int, size: int, device: torch.device) -> Tensor:
    return 30 * torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(2)).to(device)


def samplers(net: GenerativeConvNet, precision: str) -> dict[str, Sampler]:
    """Return all implementations by name: the peers that are installed, our engines, and `ours` for `precision`.

    bfloat16 is left out where the device would emulate it: a step would take minutes.
    """
    device = net.weights[0].device
    engines: dict[str, Engine] = {
        "ours, reference": ReferenceEngine(),
        FLOAT32: FastEngine(),
        **({BFLOAT16: FastEngine(torch.bfloat16)} if has_bfloat16(device) else {}),
        "ours": choose_engine(precision, device),
    }
    peers = {TORCHEBM: torchebm_sampler(net, STEP_SIZE), LOOP: autograd_loop(net, STEP_SIZE)}
    found = {name: sampler for name, sampler in peers.items() if sampler is not None}
    for name, engine in engines.items():
        found[name] = partial(_run_engine, engine, net, torch.Generator(device).manual_seed(3))
    return found


def _run_engine(
    engine: Engine, net: GenerativeConvNet, generator: torch.Generator, images: Tensor, steps: int
) -> Tensor:
    return engine.run(net, images, steps, PLANE, generator)
