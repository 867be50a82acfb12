"""Weights and steps to scale, so that nets of any shape learn from pictures of any kind at the same pace.

Without it a net of another depth, filter size or contrast needs another learning rate, and most of them die or explode.
docs/decisions/0004-learning-without-luck.md says what was measured.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from core.pictures.training_set import cut_patches
from core.schemas.geometry import Boundary
from core.theory.decoding import basis
from core.theory.model import GenerativeConvNet, convolve

INITIAL_RECONSTRUCTION = 0.3  # of σ: the root mean square of σ²B at first, below the Langevin noise but not lost in it
WEIGHT_RATE = 300.0  # learning_rate x this: by what share of its size a weight moves, in a layer of one input
BIAS_RATE = 30.0  # learning_rate x this: by what share of a layer's responses a bias moves
SPARSENESS = 0.5  # standard deviations of a response below which a unit is silent at first: a third of them fires
WHITENING = 0.25  # 0 leaves the components of the pictures as they are, 1 would make them equally strong
WHITENED_PATCHES = 8192
WHITENED_INPUTS = 1200  # of a filter; the eigenvectors of more take too long, and they are left as they are


@dataclass(frozen=True)
class Whitening:
    """Coordinates v of the first layer's filters w, w = v A, in which no component of the pictures rules the others.

    A photograph's brightness is tens of times stronger than its finest detail, and so is what a step of Adam in the
    pixels' coordinates does to it: the chains flip between bright and dark long before details are learned. matrix A
    is C^(-WHITENING / 2), C the covariance of the pictures' patches under noise of σ, symmetric (inputs, inputs), and
    None for v = w.
    """

    matrix: Tensor | None = None
    inverse: Tensor | None = None

    @classmethod
    def of(cls, examples: Tensor, kernel_size: int, reference_std: float) -> "Whitening":
        """From pictures (N, C, H, W) in grey levels about their mean."""
        inputs = examples.shape[1] * kernel_size**2
        if inputs > WHITENED_INPUTS:
            return cls()
        generator = torch.Generator().manual_seed(0)  # the same patches whenever learning goes on
        patches = cut_patches(examples, kernel_size, WHITENED_PATCHES, generator).flatten(1).double()
        patches = patches - patches.mean(dim=0)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        values = values.clamp(min=0) + reference_std**2
        strength = (values / values.mean()) ** (WHITENING / 2)
        matrix, inverse = ((vectors * scale) @ vectors.T for scale in (1 / strength, strength))
        return cls(matrix.float(), inverse.float())

    def to(self, like: Tensor) -> "Whitening":
        if self.matrix is None or self.inverse is None:
            return self
        return Whitening(self.matrix.to(like), self.inverse.to(like))

    def filters(self, coordinates: Tensor) -> Tensor:
        """w from v, both (filters, C, kernel, kernel); also v's gradient from w's, the matrix being symmetric."""
        return coordinates if self.matrix is None else (coordinates.flatten(1) @ self.matrix).view_as(coordinates)

    def coordinates(self, filters: Tensor) -> Tensor:
        """v from w."""
        return filters if self.inverse is None else (filters.flatten(1) @ self.inverse).view_as(filters)


@torch.no_grad()
def scale_weights(
    net: GenerativeConvNet, examples: Tensor, boundary: Boundary, whitening: Whitening, generator: torch.Generator
) -> None:
    """Draw the weights anew, each layer so that its responses to `examples` (N, C, H, W), under noise of σ, have
    variance one (Mishkin and Matas 2016), and its biases so that every unit fires on about a third of them.

    Only an object's one unit, which has to learn from each of them, fires on all. The highest layer is
    then scaled so that the first reconstruction σ²B of the examples is as strong as INITIAL_RECONSTRUCTION says.
    """
    sigma = net.architecture.reference_std
    examples = examples + sigma * torch.randn(examples.shape, generator=generator)
    below = net.extend(examples, boundary)
    for index, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        weight.copy_(torch.randn(weight.shape, generator=generator))
        if index == 0:
            weight.copy_(whitening.filters(weight))
        responses = convolve(below, weight, None, net.strides[index])
        size = responses.std().clamp_min(torch.finfo(responses.dtype).tiny) if responses.numel() > 1 else 1.0
        weight.div_(size)
        responses = responses / size
        bias.copy_(-responses.mean(dim=(0, 2, 3)) - SPARSENESS)
        if net.has_top_filter and index == len(net.weights) - 1:
            bias.sub_((responses + bias[:, None, None]).min() - 1)
        below = functional.relu(responses + bias[:, None, None])
    strength = sigma**2 * basis(net, examples, boundary).square().mean().sqrt()
    if strength > 0:  # else nothing fires on them, and there is nothing to go by
        for parameter in (net.weights[-1], net.biases[-1]):
            parameter.mul_(INITIAL_RECONSTRUCTION * sigma / strength)


@torch.no_grad()
def learning_rate_scales(
    net: GenerativeConvNet, examples: Tensor, boundary: Boundary, whitening: Whitening
) -> list[float]:
    """Of each of `net.parameters()`, what the learning rate is multiplied by.

    A step of Adam moves every weight alike, and so a response by up to step x inputs x their size: in proportion to
    the response itself, step x √inputs / size of a weight. Hence weights, the first layer's in their `whitening`, move
    by their own size / √inputs, and biases by a share of the responses to `examples` (N, C, H, W) that they add to.
    """
    scales: dict[int, float] = {}
    below = net.extend(examples, boundary)
    for index, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        moved = whitening.coordinates(weight) if index == 0 else weight
        scales[id(weight)] = WEIGHT_RATE * _size(moved) / math.sqrt(weight[0].numel())
        responses = convolve(below, weight, bias, net.strides[index])
        scales[id(bias)] = BIAS_RATE * _size(responses)
        below = functional.relu(responses)
    if net.category_weights is not None:
        scales[id(net.category_weights)] = WEIGHT_RATE / math.sqrt(len(net.category_weights))
    return [scales[id(parameter)] for parameter in net.parameters()]


def _size(values: Tensor) -> float:
    return float(values.square().mean().sqrt())
