"""Langevin dynamics under conditions: what is known, or wanted, of a picture besides the model's density.

A condition adds a term to the log density, whose gradient joins the drift of eq. 19, or constrains the chains after
each step, or both. All that is drawn under a condition, or has to stay in its place, is drawn by
`run_under_conditions`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

import torch
from torch import Tensor

from core.engine import Engine
from core.engine.dynamics import Dynamics
from core.engine.interface import Watch, looking_at
from core.engine.noise import Noise
from core.engine.parallel import parallel_map, threads
from core.engine.tiling import needs_tiles, project_, step_in_tiles
from core.pictures.colour_box import ColourBox
from core.theory.boundary import continue_periodically, crop
from core.theory.langevin import drift_factor
from core.theory.model import Architecture, GenerativeConvNet

BLUR = 0.5  # of the net's window: the standard deviation of the blur that a guide and chains are compared under
MAX_DENSE_SIDE = 640  # of a canvas multiplied by matrices of waves; of larger ones Fourier transforms are faster

Step = Callable[[Tensor, torch.Generator, Callable[[float], None] | None], Tensor]
"""A step of eq. 19: (chains, generator, after_part) -> new chains, with every pixel where it was.

`after_part(fraction of the step)` is called after each tile.
"""


class Condition:
    """What a Langevin step respects. By default nothing: conditions override one of the methods or both."""

    def drift(self, chains: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return the gradient of the added log density at chains (N, C, H, W), in 1 / grey levels; None for no term."""
        return None

    def constrain(self, chains: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return chains (N, C, H, W) after a step as the condition allows them. May overwrite the given ones."""
        return chains


@dataclass(frozen=True)
class KnownPixels(Condition):
    """Known pixels stay: the step becomes one of the Langevin dynamics of p(I_unknown | I_known).

    On the unknown pixels p(I_unknown | I_known) ∝ p(I) has the same gradient as p(I).
    images (N, C, H, W); known (N, 1, H, W), bool.
    noise_std: white noise that the net's training pictures were under, in grey levels. The known pixels get such noise,
    drawn anew for each step.
    """

    images: Tensor
    known: Tensor
    noise_std: float = 0.0

    def constrain(self, chains: Tensor, generator: torch.Generator) -> Tensor:
        """Put the known pixels into chains (N, C, H, W), in place; see `Condition.constrain`."""
        images = self.images
        if self.noise_std:
            noise = torch.randn(chains.shape, generator=generator, device=chains.device)
            images = images + self.noise_std * noise
        return torch.where(self.known, images, chains, out=chains)


@dataclass(frozen=True)
class Periodic(Condition):
    """The chains continue periodically: `margin` pixels on every side repeat those at the opposite side.

    On the plane, with a margin as wide as the net's filters reach, the pixels inside then move as on the torus, also if
    their sides are no multiples of the net's stride.
    """

    margin: int

    def constrain(self, chains: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return chains (N, C, H, W) whose margins repeat the opposite sides; see `Condition.constrain`."""
        return continue_periodically(crop(chains, self.margin), self.margin)


@dataclass(frozen=True)
class Guide(Condition):
    """Adds -s/2σ² ‖K (I - G)‖² to the log density: where it is light or dark, and in which colours, is as in G.

    K is a periodic Gaussian blur, so that structure finer than that is left to the model. The gradient is
    -s/σ² KᵀK (I - G), with KᵀK a multiplication by exp(-ω² b²) of the Fourier transform, which leaves few waves.
    picture: G (1, C, H, W), or one for each chain, in grey levels about the mean. strength: s; 1 pulls as strongly as
    the reference distribution. reference_std: σ, in grey levels. blur: b, the standard deviation of K in pixels.
    """

    picture: Tensor
    strength: float
    reference_std: float
    blur: float

    @classmethod
    def of(cls, architecture: Architecture, picture: Tensor, strength: float) -> "Guide":
        """Return the guide for a net: what is finer than about its window is left to the model."""
        return cls(picture, strength, architecture.reference_std, BLUR * architecture.receptive_field)

    def drift(self, chains: Tensor) -> Tensor:
        """Return -s/σ² KᵀK (I - G) at chains (N, C, H, W), in 1 / grey levels; see `Condition.drift`."""
        drift = torch.empty_like(chains, memory_format=torch.contiguous_format)
        of_chains, of_picture, into = (
            one.flatten(0, 1).unbind() for one in (chains, self.picture.expand_as(chains), drift)
        )
        if max(chains.shape[-2:]) <= MAX_DENSE_SIDE:
            # One thread for each: how a product of matrices rounds may depend on the number of its threads.
            wanted = self._wanted.expand(len(chains), -1, -1, -1).flatten(0, 1).unbind()
            parallel_map(self._project, of_chains, wanted, into, threads_each=1)
        else:  # one by one: the transforms of a large canvas take much memory
            for channel, picture, place in zip(of_chains, of_picture, into, strict=True):
                self._transform(channel, picture, place)
        return drift

    def _project(self, channel: Tensor, wanted: Tensor, into: Tensor) -> None:
        """Fill `into` with the drift of a channel (H, W). wanted: what `_wanted` is of it."""
        down, across = self._waves
        torch.mm(down @ (wanted - down.T @ (channel @ across)), across.T, out=into)

    def _transform(self, channel: Tensor, picture: Tensor, into: Tensor) -> None:
        """Fill `into` with the drift of a channel (H, W).

        The channel is continued periodically to sides whose transforms are fast, by more than K reaches twice.
        """
        difference, (height, width) = channel - picture, self._sides
        difference = _continued(_continued(difference, height, 0), width, 1)
        rows = torch.fft.rfft(difference)[:, : self._gain.shape[1]]
        blurred = torch.fft.ifft(torch.fft.fft(rows, dim=0).mul_(self._gain), dim=0)
        down, right = ((side - own) // 2 for side, own in zip(self._sides, channel.shape, strict=True))
        drift = torch.fft.irfft(blurred, n=width)
        into.copy_(drift[down : down + channel.shape[0], right : right + channel.shape[1]])

    @cached_property
    def _wanted(self) -> Tensor:
        """The picture's coefficients of the waves, (N, C, waves down, waves across)."""
        down, across = self._waves
        with threads(1):  # as in `drift`
            return down.T @ (self.picture @ across)

    @cached_property
    def _waves(self) -> tuple[Tensor, Tensor]:
        """The waves that K leaves along each side, (H, waves) and (W, waves), as strong as it leaves them, times √s/σ.

        Their products are the eigenvectors of K, so KᵀK s/σ² is the product of both with their transposes.
        """
        factor = math.sqrt(self.strength**0.5 / self.reference_std)
        down, across = (factor * _blurred_waves(side, self.blur, self.picture) for side in self.picture.shape[-2:])
        return down, across

    @cached_property
    def _sides(self) -> tuple[int, int]:
        """The sides (H, W) that `_transform` continues a channel to; the channel's own if their transforms are fast."""
        reach = math.ceil(2 * self.blur * math.sqrt(-math.log(torch.finfo(self.picture.dtype).eps)))
        height, width = (_fast_side(side, reach) for side in self.picture.shape[-2:])
        return height, width

    @cached_property
    def _gain(self) -> Tensor:
        """-s/σ² exp(-ω² b²) at the frequencies of `rfft2`, the same in every step.

        Without columns below what the numbers can resolve.
        """
        height, width = self._sides
        like = {"dtype": self.picture.dtype, "device": self.picture.device}
        down, right = torch.fft.fftfreq(height, **like), torch.fft.rfftfreq(width, **like)
        down, right = (torch.exp(-((2 * torch.pi * self.blur * one) ** 2)) for one in (down, right))
        right = right[right > torch.finfo(right.dtype).eps]
        return down[:, None] * right * (-self.strength / self.reference_std**2)


def _fast_side(side: int, reach: int) -> int:
    """Return `side` if its Fourier transforms are fast, else the next such side with `reach` pixels more at both ends.

    They are fast for products of small primes.
    """

    def is_fast(number: int) -> bool:
        for prime in (2, 3, 5, 7):
            while number % prime == 0:
                number //= prime
        return number == 1

    return side if is_fast(side) else next(longer for longer in count(side + 2 * reach) if is_fast(longer))


def _continued(values: Tensor, side: int, dim: int) -> Tensor:
    """Continue values periodically to both ends of a dimension, to `side` of them."""
    own = values.shape[dim]
    if side == own:
        return values
    before = (side - own) // 2
    return values.index_select(dim, torch.arange(-before, side - before, device=values.device) % own)


def _blurred_waves(side: int, blur: float, like: Tensor) -> Tensor:
    """Return orthogonal periodic waves (side, waves), each as strong as a Gaussian blur leaves it, of at most norm 1.

    Cosines and sines, without those that two blurs leave fainter than the dtype of `like` can resolve.
    """
    numbers = torch.arange(side // 2 + 1, dtype=torch.float64, device=like.device)
    gains = torch.exp(-((2 * torch.pi * blur / side * numbers) ** 2) / 2)
    left = gains.square() > torch.finfo(like.dtype).eps
    numbers, gains = numbers[left], gains[left]
    angles = 2 * torch.pi / side * (torch.arange(side, device=like.device)[:, None] * numbers % side)
    waves = torch.cat([gains * angles.cos(), gains * angles.sin()], dim=1)
    squares = torch.where(2 * numbers % side == 0, side, side / 2.0).repeat(2)  # of a constant and of ±1 have no sine
    return (waves / squares.double().sqrt()).to(like.dtype)


@dataclass(frozen=True)
class InBox(Condition):
    """The chains are confined to a colour box."""

    box: ColourBox

    def constrain(self, chains: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Project chains (N, C, H, W) into the box, in place; see `Condition.constrain`."""
        project_(chains, self.box)
        return chains


@torch.no_grad()
def run_under_conditions(
    engine: Engine,
    net: GenerativeConvNet,
    chains: Tensor,
    steps: int,
    dynamics: Dynamics,
    generator: torch.Generator,
    conditions: Sequence[Condition] = (),
    after_step: Callable[[float], None] | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Return chains (N, C, H, W) after `steps` Langevin steps, each of which respects the conditions; see `run_steps`.

    With `random_lattice` the chains are rolled back after each step, so that every pixel stays in its place, whereas
    `Engine.run` lets periodic chains move. Canvases too large for one step are computed in tiles.
    """
    prepared, free = engine.prepare(net), replace(dynamics, box=None)
    in_tiles = dynamics.boundary == "torus" and needs_tiles(net.architecture, chains)

    def step(chains: Tensor, generator: torch.Generator, after_part: Callable[[float], None] | None) -> Tensor:
        if in_tiles:
            moved = torch.empty_like(chains, memory_format=torch.contiguous_format)
            step_in_tiles(prepared, chains, moved, free, Noise(generator), generator, after_part)
            return moved
        return prepared.step(chains, free, generator)

    conditions = conditions if dynamics.box is None else (InBox(dynamics.box), *conditions)
    return run_steps(step, chains, steps, dynamics.step_size, generator, conditions, after_step, watch)


def run_steps(
    step: Step,
    chains: Tensor,
    steps: int,
    step_size: float,
    generator: torch.Generator,
    conditions: Sequence[Condition] = (),
    after_step: Callable[[float], None] | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Return chains (N, C, H, W) after `steps` times `step`, each of which respects the conditions.

    I <- I - ε²/2 (I/σ² - B - Σ drift) + ε Z, then the constraints, in their order.
    `after_step(steps done)` is called after each step, and with fractions of a step for tiles; an exception that it
    raises ends the run. watch: see `Watch`.
    """
    for done in range(steps):
        after_part = None if after_step is None else lambda fraction, done=done: after_step(done + fraction)
        moved = step(chains, generator, after_part)
        for condition in conditions:
            drift = condition.drift(chains)
            if drift is not None:
                moved.add_(drift, alpha=drift_factor(step_size))
            del drift  # as large as the chains
        for condition in conditions:
            moved = condition.constrain(moved, generator)
        chains = moved
        if after_step is not None:
            after_step(done + 1)
        if watch is not None:
            watch(done + 1, looking_at(chains))
    return chains
