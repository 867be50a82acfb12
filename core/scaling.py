"""Weights and steps to scale: layers that pass their input on at its own size, and learn at the same pace.

Without it a net of another depth, filter size or contrast needs another learning rate, and most of them die or explode.
docs/decisions/0004-learning-without-luck.md says what was measured.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from core.contracts.learning import Boundary
from core.decoding import basis
from core.model import GenerativeConvNet, convolve

INITIAL_PULL = 0.3  # of σ: the root mean square of σ²B at first, below the Langevin noise but not lost in it
WEIGHT_PACE = 300.0  # learning_rate x this: the share of its own output that a layer may change by in one update
BIAS_PACE = 30.0  # the same for a bias


@torch.no_grad()
def scale_weights(
    net: GenerativeConvNet, examples: Tensor, std: float, boundary: Boundary, generator: torch.Generator
) -> None:
    """Draw the weights anew: each layer's N(0, 2 / inputs) (He et al. 2015), the first's over `std` of the pictures.

    Biases are set so that each unit's mean response to `examples` (N, C, H, W), under noise of σ, is zero: it fires
    on about half of them, an object's one unit on all. The highest layer is then scaled so that the first
    reconstruction σ²B of the examples is as strong as INITIAL_PULL says.
    """
    sigma = net.architecture.reference_std
    examples = examples.float() + sigma * torch.randn(examples.shape, generator=generator)
    for index, weight in enumerate(net.weights):
        drawn = torch.randn(weight.shape, generator=generator) * math.sqrt(2 / weight[0].numel())
        weight.copy_(drawn / max(std, 1.0) if index == 0 else drawn)
    below = net.extend(examples, boundary)
    for weight, bias, stride in zip(net.weights, net.biases, net.strides, strict=True):
        responses = convolve(below, weight, None, stride)
        bias.copy_(-responses.mean(dim=(0, 2, 3)))
        below = functional.relu(responses + bias[:, None, None])
    if net.has_top_filter:  # its one unit fires on all of them, so that it can learn
        net.biases[-1].add_(responses.std() - (responses + net.biases[-1]).min())
    strength = sigma**2 * basis(net, examples, boundary).square().mean().sqrt()
    if strength > 0:  # else nothing fires on them, and there is nothing to go by
        for parameter in (net.weights[-1], net.biases[-1]):
            parameter.mul_(INITIAL_PULL * sigma / strength)


def paces(net: GenerativeConvNet, std: float) -> list[float]:
    """Of each of `net.parameters()`, what the learning rate is multiplied by, for pictures of `std` grey levels.

    A step of Adam moves every weight alike, so a layer's output by step x inputs x their size: in proportion to the
    output itself, that is step x √inputs / size of a weight. Hence weights move by their own size / √inputs, and biases
    by a share of the response that they are added to.
    """
    scales: dict[int, float] = {}
    for index, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        size = float(weight.detach().square().mean().sqrt())
        inputs = weight[0].numel()
        scales[id(weight)] = WEIGHT_PACE * size / math.sqrt(inputs)
        scales[id(bias)] = BIAS_PACE * size * math.sqrt(inputs) * (max(std, 1.0) if index == 0 else 1.0)
    if net.category_weights is not None:
        scales[id(net.category_weights)] = WEIGHT_PACE / math.sqrt(len(net.category_weights))
    return [scales[id(parameter)] for parameter in net.parameters()]
