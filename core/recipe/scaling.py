"""Scale initial weights and learning rates, so that one `learning_rate` suits all nets and pictures.

Otherwise a net of another depth, filter size or contrast needs another learning rate, and most nets die or diverge; see
docs/decisions/0004-learning-without-luck.md.

What a stage begins with is computed by one thread, so that what is learned does not depend on how many a job has.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from core.engine.parallel import threads
from core.pictures.images import rms
from core.pictures.training_set import cut_patches
from core.schemas.geometry import Boundary
from core.schemas.learning import LearningParams
from core.theory.decoding import basis
from core.theory.model import GenerativeConvNet, convolve

INITIAL_RECONSTRUCTION = 0.3  # of σ: the initial root mean square of σ²B, below the Langevin noise but not lost in it
WEIGHT_RATE = 300.0  # learning_rate x this = share of its size by which a weight moves, in a layer of one input
BIAS_RATE = 30.0  # learning_rate x this = share of a layer's responses by which a bias moves
SPARSENESS = 0.5  # initial threshold, in standard deviations of a response: a third of the units fire
WHITENING = 0.25  # 0 leaves the pictures' principal components as they are, 1 would make them equally strong
OBJECT_COLOURING = 0.5  # of the first filters of an object: 1 would draw them with the pictures' own covariance
WHITENED_PATCHES = 8192
# A larger filter than 9 x 9 on 16 channels is not whitened, because its eigenvectors take too long.
WHITENED_INPUTS = 1296


@dataclass(frozen=True)
class Whitening:
    """Coordinates v of the first layer's filters w = v A, in which the pictures' components are more equally strong.

    A photograph's brightness is tens of times stronger than its finest detail, and so is the effect of an Adam step in
    pixel coordinates: the chains flip between bright and dark long before details are learned. `matrix` A is
    C^(-WHITENING / 2), symmetric (inputs, inputs), with C the covariance of the pictures' patches under noise of σ. It
    is None for v = w.
    """

    matrix: Tensor | None = None
    inverse: Tensor | None = None

    @classmethod
    def of(cls, examples: Tensor, kernel_size: int, reference_std: float, strength: float = WHITENING) -> "Whitening":
        """Compute the whitening from pictures (N, C, H, W) in grey levels about their mean.

        strength: in place of WHITENING; below 0 the strong components become stronger still.
        """
        inputs = examples.shape[1] * kernel_size**2
        if inputs > WHITENED_INPUTS:
            return cls()
        generator = torch.Generator().manual_seed(0)  # the same patches when learning is resumed
        patches = cut_patches(examples, kernel_size, WHITENED_PATCHES, generator).flatten(1).double()
        patches = patches - patches.mean(dim=0)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        values = values.clamp(min=0) + reference_std**2
        scales = (values / values.mean()) ** (strength / 2)
        matrix, inverse = ((vectors * scale) @ vectors.T for scale in (1 / scales, scales))
        return cls(matrix.float(), inverse.float())

    def to(self, like: Tensor) -> "Whitening":
        """Return this whitening with the dtype and on the device of `like`."""
        if self.matrix is None or self.inverse is None:
            return self
        return Whitening(self.matrix.to(like), self.inverse.to(like))

    def filters(self, coordinates: Tensor) -> Tensor:
        """Return w from v, both (filters, C, kernel, kernel). A is symmetric, so it also maps w's gradient to v's."""
        return coordinates if self.matrix is None else (coordinates.flatten(1) @ self.matrix).view_as(coordinates)

    def coordinates(self, filters: Tensor) -> Tensor:
        """Return v from w."""
        return filters if self.inverse is None else (filters.flatten(1) @ self.inverse).view_as(filters)


@threads(1)
def whitening_of(examples: Tensor, params: LearningParams) -> Whitening:
    """Return the first layer's whitening: none for contrastive divergence and objects, which it only slows down."""
    if params.contrastive or params.top == "object":
        return Whitening()
    return Whitening.of(examples, params.layers[0].kernel_size, params.reference_std)


@threads(1)
def initial_coordinates_of(examples: Tensor, params: LearningParams, whitening: Whitening) -> Whitening:
    """Return the coordinates in which the first layer's filters begin as white noise: `whitening`, or an object's own.

    Of white noise in pixels a fine grain stays in an object's filters, in colours that its pictures do not have. Its
    filters begin softer, in the pictures' colours. Objects learned layer by layer, as in the paper, begin white.
    """
    if params.top != "object" or params.layerwise or params.contrastive:
        return whitening
    return Whitening.of(examples, params.layers[0].kernel_size, params.reference_std, -OBJECT_COLOURING)


@torch.no_grad()
@threads(1)
def scale_weights(
    net: GenerativeConvNet, examples: Tensor, boundary: Boundary, whitening: Whitening, generator: torch.Generator
) -> None:
    """Redraw the weights so that each layer's responses to `examples` have variance one (Mishkin and Matas 2016).

    examples (N, C, H, W), to which noise of σ is added. whitening: coordinates in which the first layer's weights are
    white noise. Biases are set so that every unit fires on about a third of the positions; an object's one unit fires
    on all examples, because it has to learn from each. The top layer is then scaled so that the root mean square of σ²B
    is INITIAL_RECONSTRUCTION times σ.
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
    if strength > 0:  # otherwise no unit fires on the examples
        for parameter in (net.weights[-1], net.biases[-1]):
            parameter.mul_(INITIAL_RECONSTRUCTION * sigma / strength)


@torch.no_grad()
@threads(1)
def learning_rate_scales(
    net: GenerativeConvNet, examples: Tensor, boundary: Boundary, whitening: Whitening
) -> list[float]:
    """Return the factor on the learning rate for each of `net.parameters()`.

    An Adam step moves every weight by the same amount, and so a response by up to step x inputs x their size, which
    relative to the response is step x √inputs / size of a weight. Therefore weights move by their own size / √inputs
    (the first layer's in whitened coordinates), and biases by a share of the responses to `examples` (N, C, H, W).
    """
    scales: dict[int, float] = {}
    below = net.extend(examples, boundary)
    for index, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        moved = whitening.coordinates(weight) if index == 0 else weight
        scales[id(weight)] = WEIGHT_RATE * rms(moved) / math.sqrt(weight[0].numel())
        responses = convolve(below, weight, bias, net.strides[index])
        scales[id(bias)] = BIAS_RATE * rms(responses)
        below = functional.relu(responses)
    if net.category_weights is not None:
        scales[id(net.category_weights)] = WEIGHT_RATE / math.sqrt(len(net.category_weights))
    return [scales[id(parameter)] for parameter in net.parameters()]
