"""Nets and pictures of many shapes for comparing engines, and noise given by a test."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from nets import BOUNDARIES, CASES, EXHAUSTIVE_CASES, Case, case, parametrized, seeded
from torch import Tensor

from core.engine.dynamics import Dynamics, random_phase
from core.engine.layout import Layout
from core.pictures.colour_box import ColourBox
from core.schemas.geometry import Boundary
from core.schemas.net import Top
from core.theory.langevin import langevin_step
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet

Layers = list[tuple[int, int, int]]

SHAPES: dict[str, Layers] = {
    "7every2": [(5, 7, 2), (3, 3, 1)],
    "7every3,4every2": [(5, 7, 3), (4, 4, 2)],
    "2every3": [(4, 2, 3), (3, 2, 1)],
    "5,3,2": [(4, 5, 1), (3, 3, 1), (2, 2, 1)],
    "15every3,4": [(6, 15, 3), (4, 4, 1)],
    "6every3,3every2,2every2": [(4, 6, 3), (3, 3, 2), (3, 2, 2)],
    "3,2every3": [(4, 3, 1), (3, 2, 3)],
    "4every4": [(9, 4, 4)],
}
TOPS: tuple[Top, ...] = ("convolutional", "object", "category")


def _sides(layers: Layers, boundary: Boundary, place: int) -> tuple[int, int]:
    """Return (H, W): on the plane no multiples of the stride, on the torus also sides smaller than the halo."""
    shape = Architecture(tuple(ConvLayer(*layer) for layer in layers))
    stride = shape.total_stride
    if boundary == "torus":
        return ((stride, 2 * stride), (3 * stride, stride), (4 * stride, 5 * stride))[place % 3]
    least = shape.receptive_field - (2 * shape.halo if boundary == "padded" else 0)
    first = max(least, 1) + place % 3
    return first + stride, first + 3 * stride + 1 + place % 2


def _shape_case(place: int, boundary: Boundary, top: Top) -> Case:
    name, layers = list(SHAPES.items())[place]
    return case(
        f"{name}-{boundary}-{top}",
        layers,
        _sides(layers, boundary, place + TOPS.index(top)),
        boundary,
        top=top,
        channels=3 if (place + TOPS.index(top)) % 2 else 1,
        reference_std=1.5,
        seed=400 + place,
        count=1 + place % 3,
    )


_SHAPE_CASES = {
    (place, side, top): _shape_case(place, boundary, TOPS[top])
    for place in range(len(SHAPES))
    for side, boundary in enumerate(BOUNDARIES)
    for top in range(len(TOPS))
}
# Every shape once, every boundary and every top in turn; the other combinations are exhaustive.
ENGINE_CASES = CASES + [
    one for (place, side, top), one in _SHAPE_CASES.items() if side == place % 3 and top == (place // 3 + place) % 3
]
EXHAUSTIVE_ENGINE_CASES = EXHAUSTIVE_CASES + [one for one in _SHAPE_CASES.values() if one not in ENGINE_CASES]

every_engine_case = parametrized(ENGINE_CASES, EXHAUSTIVE_ENGINE_CASES)


def in_single_precision(case: Case) -> Case:
    return replace(case, net=copy.deepcopy(case.net).float(), images=case.images.float())


def in_double_precision(case: Case) -> Case:
    return replace(case, net=copy.deepcopy(case.net).double(), images=case.images.double())


def layout_of(case: Case) -> Layout:
    return Layout.of(case.net.architecture, (case.images.shape[2], case.images.shape[3]), case.boundary)


def relative(found: Tensor, expected: Tensor) -> float:
    """Return ‖found - expected‖ / ‖expected‖, or ‖found‖ if `expected` is zero."""
    norm = expected.double().norm().item()
    return (found.double() - expected.double()).norm().item() / (norm or 1.0)


def noises(images: Tensor, steps: int, seed: int = 3) -> list[Tensor]:
    generator = seeded(seed)
    return [torch.randn(images.shape, generator=generator, dtype=images.dtype) for _ in range(steps)]


def a_box(images: Tensor, oblique: bool = False) -> ColourBox:
    """Return a box that chains leave without projection, with other limits for each axis. oblique: random axes."""
    channels = images.shape[1]
    shift = torch.arange(channels, dtype=images.dtype)[:, None, None]
    mixed = torch.randn(channels, channels, generator=seeded(6), dtype=torch.float64)
    axes = torch.linalg.qr(mixed).Q.to(images.dtype) if oblique else None
    return ColourBox(-1.0 + shift, 0.5 + 2 * shift, axes)


class GivenNoise:
    """Replaces `Noise`: fills the flat memory with given pictures, and with large numbers beyond the picture."""

    def __init__(self, pictures: Sequence[Tensor], layout: Layout | None = None) -> None:
        self._pictures, self._layout = iter(pictures), layout

    def __call__(self, generator: torch.Generator) -> "GivenNoise":  # noqa: ARG002
        return self

    @classmethod
    def of_each(cls, steps: Sequence[Tensor], layout: Layout) -> "Callable[[torch.Generator, int], list[GivenNoise]]":
        """Replace `noise_per_picture`: each picture gets its own part of the given noise."""
        return lambda _, count: [cls([step[index : index + 1] for step in steps], layout) for index in range(count)]

    def fill(self, flat: Tensor, std: float) -> None:
        picture = next(self._pictures)
        if self._layout is None:
            flat.copy_(std * picture.flatten())
            return
        blocks, inside = self._layout.to_blocks(picture), self._layout.to_blocks(torch.ones_like(picture))
        flat.copy_(std * torch.where(inside > 0, blocks, 1e3).permute(0, 2, 3, 1).flatten())


def stepped(
    net: GenerativeConvNet,
    images: Tensor,
    dynamics: Dynamics,
    given: Sequence[Tensor],
    generator: torch.Generator | None = None,
    roll_back: bool = False,
) -> Tensor:
    """Repeat `langevin_step` with given noise. roll_back: undo the roll to a random phase after each step."""
    for noise in given:
        phase = (0, 0)
        if dynamics.random_lattice:
            phase = random_phase(net.architecture.total_stride, generator)
        moved = images.roll(phase, dims=(2, 3))
        if roll_back:
            noise = noise.roll(phase, dims=(2, 3))
        moved = langevin_step(net, moved, dynamics.step_size, noise=noise, boundary=dynamics.boundary)
        if dynamics.box is not None:
            moved = dynamics.box.project(moved)
        images = moved.roll((-phase[0], -phase[1]), dims=(2, 3)) if roll_back else moved
    return images
