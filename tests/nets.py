"""Small random nets and pictures in float64, on both boundaries, for tests of the science."""

import random
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from core.contracts.learning import Boundary
from core.model import Architecture, ConvLayer, GenerativeConvNet

SEEDS = 12


@dataclass(frozen=True)
class Case:
    """A net with random weights and biases, and pictures (N, C, H, W) that suit it."""

    name: str
    net: GenerativeConvNet
    images: Tensor
    boundary: Boundary

    @property
    def variance(self) -> float:
        return self.net.architecture.reference_std**2


def random_net(architecture: Architecture, seed: int, bias_std: float = 0.5) -> GenerativeConvNet:
    """Weights that keep the responses' size from layer to layer, biases N(0, bias_std²); float64."""
    generator = torch.Generator().manual_seed(seed)
    net = GenerativeConvNet(architecture, generator).double()
    with torch.no_grad():
        for weight, bias in zip(net.weights, net.biases, strict=True):
            weight.normal_(0, (2 / weight[0].numel()) ** 0.5, generator=generator)
            bias.normal_(0, bias_std, generator=generator)
    return net


def case(
    name: str,
    layers: list[tuple[int, int, int]],
    size: tuple[int, int],
    boundary: Boundary,
    *,
    channels: int = 1,
    reference_std: float = 1.0,
    seed: int = 0,
    count: int = 2,
) -> Case:
    """`layers` as (filters, kernel_size, stride), `size` as (H, W)."""
    net = random_net(Architecture(tuple(ConvLayer(*layer) for layer in layers), channels, reference_std), seed)
    generator = torch.Generator().manual_seed(seed + 1000)
    images = 2 * reference_std * torch.randn(count, channels, *size, generator=generator, dtype=torch.float64)
    return Case(name, net, images, boundary)


def random_case(seed: int, boundary: Boundary) -> Case:
    draw = random.Random(seed)
    layers = [(draw.randint(1, 5), draw.randint(1, 4), draw.randint(1, 3)) for _ in range(draw.randint(1, 3))]
    channels = draw.randint(1, 3)
    shape = Architecture(tuple(ConvLayer(*layer) for layer in layers), channels)

    def side() -> int:
        if boundary == "torus":  # often smaller than the halo, so that the picture wraps several times
            return shape.total_stride * draw.choice((1, 1, 2, 3))
        return shape.receptive_field + draw.randint(0, 2 * shape.total_stride)  # often with rim pixels left uncovered

    return case(
        f"{boundary}-{seed}",
        layers,
        (side(), side()),
        boundary,
        channels=channels,
        reference_std=draw.uniform(0.5, 3),
        seed=seed,
        count=draw.randint(1, 3),
    )


NAMED_CASES = [
    case("one_layer", [(4, 3, 1)], (6, 7), "valid", channels=3),
    case("uncovered_rim", [(3, 3, 3), (2, 2, 2)], (17, 19), "valid", channels=2, reference_std=2.0),
    case("stride_beyond_kernel", [(3, 1, 3), (2, 2, 1)], (12, 8), "valid"),
    case("picture_of_one_window", [(3, 3, 2), (2, 2, 1)], (5, 5), "valid", reference_std=0.7),
    case("torus_one_layer", [(4, 3, 1)], (5, 6), "torus", channels=3),
    case("torus_halo_beyond_picture", [(3, 4, 1), (3, 4, 1), (2, 3, 1)], (3, 2), "torus", reference_std=1.5),
    case("torus_halo_beyond_one_side", [(3, 5, 2), (2, 2, 1)], (12, 4), "torus"),
    case("torus_stride_beyond_window", [(3, 3, 2), (2, 1, 3)], (12, 6), "torus", channels=2),
]
CASES = NAMED_CASES + [random_case(seed, boundary) for boundary in ("valid", "torus") for seed in range(SEEDS)]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def pixel_net(*hidden: tuple[float, float, float], bias: float = 0.0) -> GenerativeConvNet:
    """One grey pixel x, σ = 1: f(x) = max(0, bias + Σ c max(0, a x + b)) over `hidden` (a, b, c)."""
    net = GenerativeConvNet(Architecture((ConvLayer(len(hidden), 1), ConvLayer(1, 1)), channels=1)).double()
    slopes, offsets, shares = torch.tensor(hidden, dtype=torch.float64).T
    with torch.no_grad():
        net.weights[0].copy_(slopes.view(-1, 1, 1, 1))
        net.biases[0].copy_(offsets)
        net.weights[1].copy_(shares.view(1, -1, 1, 1))
        net.biases[1].fill_(bias)
    return net


def pixel(value: float) -> Tensor:
    return torch.full((1, 1, 1, 1), value, dtype=torch.float64)
