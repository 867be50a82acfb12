"""Small nets and pictures in float64, with every top and on every boundary, for tests of the science.

`every_case` runs a test on the named cases and nine random ones, and in `make test-all` on many more. A test of a
central equation also draws cases with hypothesis: `@given(random_cases())`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from core.schemas.geometry import Boundary
from core.schemas.net import Top
from core.theory.decoding import encode
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet

BOUNDARIES: tuple[Boundary, ...] = ("valid", "torus", "padded")
TOPS: tuple[Top, ...] = ("convolutional", "object", "category")


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
    """Return a float64 net whose weights keep the responses' size from layer to layer; biases N(0, bias_std²).

    A category's weights are N(0, 1), about half of them negative. An object's bias is about one: it is mostly active.
    """
    generator = torch.Generator().manual_seed(seed)
    net = GenerativeConvNet(architecture, generator).double()
    with torch.no_grad():
        for weight, bias in zip(net.weights, net.biases, strict=True):
            weight.normal_(0, (2 / weight[0].numel()) ** 0.5, generator=generator)
            bias.normal_(0, bias_std, generator=generator)
        if net.has_top_filter:
            net.biases[-1].add_(1.0)
        if net.category_weights is not None:
            net.category_weights.normal_(0, 1, generator=generator)
    return net


def top_size(architecture: Architecture, size: tuple[int, int], boundary: Boundary) -> tuple[int, int] | None:
    """Return the size of the maps that an object's filter covers on pictures of `size` (H, W)."""
    if architecture.top != "object":
        return None
    height, width = (architecture.with_top_size(side, boundary).top_size for side in size)
    return height[0], width[0]


def seeded(seed: int = 0) -> torch.Generator:
    """Return a generator on the CPU."""
    return torch.Generator().manual_seed(seed)


def blank_net(reference_std: float, bias: float = 0.0) -> GenerativeConvNet:
    """Return one layer with zero weights: f is constant, so the density is q."""
    net = GenerativeConvNet(Architecture((ConvLayer(1, 1),), channels=1, reference_std=reference_std)).double()
    with torch.no_grad():
        net.weights[0].zero_()
        net.biases[0].fill_(bias)
    return net


def stationary_variance(reference_std: float, step_size: float) -> float:
    """Return the variance of a pixel under eq. 19 with a constant B.

    x' = a x + c + ε Z with a = 1 - ε² / 2σ², so v = a² v + ε² = σ² / (1 - ε² / 4σ²).
    """
    return reference_std**2 / (1 - step_size**2 / (4 * reference_std**2))


def case(
    name: str,
    layers: list[tuple[int, int, int]],
    size: tuple[int, int],
    boundary: Boundary,
    *,
    top: Top = "convolutional",
    channels: int = 1,
    reference_std: float = 1.0,
    seed: int = 0,
    count: int = 2,
) -> Case:
    """Return a case of `layers` (filters, kernel_size, stride) and pictures of `size` (H, W)."""
    architecture = Architecture(tuple(ConvLayer(*layer) for layer in layers), channels, reference_std, top)
    net = random_net(replace(architecture, top_size=top_size(architecture, size, boundary)), seed)
    generator = torch.Generator().manual_seed(seed + 1000)
    images = 2 * reference_std * torch.randn(count, channels, *size, generator=generator, dtype=torch.float64)
    return Case(name, net, images, boundary)


def random_case(seed: int, boundary: Boundary, top: Top = "convolutional") -> Case:
    draw = random.Random(seed)
    layers = [(draw.randint(1, 5), draw.randint(1, 4), draw.randint(1, 3)) for _ in range(draw.randint(1, 3))]
    channels = draw.randint(1, 3)
    shape = Architecture(tuple(ConvLayer(*layer) for layer in layers), channels)

    def side() -> int:
        if boundary == "torus":  # often smaller than the halo, so that the picture wraps several times
            return shape.total_stride * draw.choice((1, 1, 2, 3))
        if boundary == "padded":  # down to a single pixel
            return max(shape.receptive_field - 2 * shape.halo, 1) + draw.randint(0, 2 * shape.total_stride)
        return shape.receptive_field + draw.randint(0, 2 * shape.total_stride)  # often with rim pixels left uncovered

    return case(
        f"{boundary}-{seed}" if top == "convolutional" else f"{top}-{boundary}-{seed}",
        layers,
        (side(), side()),
        boundary,
        top=top,
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
    case("padded_one_layer", [(4, 3, 1)], (4, 5), "padded", channels=3),
    case("padded_stride", [(3, 4, 2), (2, 3, 2)], (9, 6), "padded", reference_std=2.0),
    case("object_one_layer", [(4, 3, 1)], (6, 5), "valid", top="object", channels=3),
    case("object_of_one_window", [(3, 3, 2), (2, 2, 1)], (5, 5), "valid", top="object", reference_std=0.7),
    case("object_of_a_dozen_pictures", [(20, 3, 1)], (11, 11), "valid", top="object", count=12),
    case("object_on_the_torus", [(3, 4, 2), (4, 3, 1)], (8, 6), "torus", top="object", reference_std=1.5),
    case("category_one_position", [(3, 3, 2), (5, 2, 1)], (5, 5), "valid", top="category"),
    case("category_padded", [(3, 3, 1), (6, 2, 1)], (5, 4), "padded", top="category", channels=2, reference_std=2.0),
]
# One for each top and boundary. The seeds are of nets with two or three layers; on the torus the halo exceeds the
# picture (tests/core/theory/test_model.py checks what the cases cover).
RANDOM_CASES = [
    random_case(5, "valid"),
    random_case(11, "torus"),
    random_case(9, "padded"),
    random_case(62, "valid", "object"),
    random_case(17, "torus", "object"),
    random_case(12, "padded", "object"),
    random_case(122, "valid", "category"),
    random_case(94, "torus", "category"),
    random_case(30, "padded", "category"),
]
CASES = NAMED_CASES + RANDOM_CASES
# Many more random nets, run by `make test-all`.
EXHAUSTIVE_CASES = [
    random_case(100 + 20 * place + seed, boundary, top)
    for place, (top, boundary) in enumerate(product(TOPS, BOUNDARIES))
    for seed in range(5)
]


def parametrized(cases: Sequence[Case], exhaustive: Sequence[Case]) -> pytest.MarkDecorator:
    """Return a decorator that runs a test on each of `cases`, and by `make test-all` on the `exhaustive` ones too."""
    marked = [pytest.param(one, marks=pytest.mark.exhaustive) for one in exhaustive]
    return pytest.mark.parametrize("case", [*cases, *marked], ids=lambda case: case.name)


def each_once(names: str, first: Sequence[object], second: Sequence[object]) -> pytest.MarkDecorator:
    """Return a decorator that runs a test on pairs that hold every value, and by `make test-all` on all pairs.

    names: of the two arguments, "one, other".
    """
    in_turn = {(index % len(first), index % len(second)) for index in range(max(len(first), len(second)))}
    pairs = [
        pytest.param(first[one], second[other], marks=() if (one, other) in in_turn else pytest.mark.exhaustive)
        for one, other in product(range(len(first)), range(len(second)))
    ]
    return pytest.mark.parametrize(names, pairs)


every_case = parametrized(CASES, EXHAUSTIVE_CASES)


@st.composite
def random_cases(draw: st.DrawFn) -> Case:
    """Return a hypothesis strategy for a random net and pictures of any shape, top and boundary."""
    top = draw(st.sampled_from(TOPS))
    return random_case(draw(st.integers(1000, 10**6)), draw(st.sampled_from(BOUNDARIES)), top)


def parabolas_of_energy(case: Case, image: Tensor) -> tuple[Tensor, Tensor]:
    """Return slope and curvature (C, H, W) of the energy along each pixel at a picture (1, C, H, W).

    They are differences of the energies of three pictures in one piece, where these are exact: no B, no autograd.
    """
    pixels = torch.eye(image.numel(), dtype=image.dtype).view(-1, *image.shape[1:])
    pattern = encode(case.net, image, case.boundary)
    step = torch.full((len(pixels), 1, 1, 1), case.variance**0.5, dtype=image.dtype)

    def leaves_the_piece(moved: Tensor) -> Tensor:
        changed = zip(encode(case.net, moved, case.boundary), pattern, strict=True)
        return torch.stack([(one != other).flatten(1).any(dim=1) for one, other in changed]).any(dim=0)

    while (leaving := leaves_the_piece(image + step * pixels) | leaves_the_piece(image - step * pixels)).any():
        step[leaving] /= 2
    behind, here, ahead = (case.net.energy(image + sign * step * pixels, case.boundary) for sign in (-1, 0, 1))
    slope, curvature = (ahead - behind) / (2 * step.flatten()), (ahead - 2 * here + behind) / step.flatten() ** 2
    return slope.view(image.shape[1:]), curvature.view(image.shape[1:])


def pixel_net(*hidden: tuple[float, float, float], bias: float = 0.0) -> GenerativeConvNet:
    """Return a net of one grey pixel x, σ = 1: f(x) = max(0, bias + Σ c max(0, a x + b)) over `hidden` (a, b, c)."""
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
