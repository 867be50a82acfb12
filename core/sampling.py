"""New pictures from a finished model."""

from collections.abc import Callable

import torch
from torch import Tensor

from core.langevin import run_chains
from core.model import GenerativeConvNet


def synthesize(
    net: GenerativeConvNet,
    count: int,
    height: int,
    width: int,
    *,
    steps: int,
    step_size: float,
    generator: torch.Generator,
    start: Tensor | None = None,
    after_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """`count` pictures on the torus, sides rounded up to multiples of the net's stride."""
    del start
    stride = net.architecture.total_stride
    shape = (count, net.architecture.channels, -(-height // stride) * stride, -(-width // stride) * stride)
    chains = torch.zeros(shape, device=generator.device)
    return run_chains(net, chains, steps, step_size, generator, "torus", after_step)
