"""The normalizing constant Z(w) = E_q exp f(I; w) (eq. 4, 5), by annealed importance sampling, and so the density."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from core.contracts.learning import Boundary
from core.decoding import top_down
from core.model import GenerativeConvNet

ACCEPTANCE = 0.7  # that the pilot chains tune the steps to
TUNING_RATE = 0.5  # change of a step's logarithm per difference of acceptance
PILOT_SHARE = 4  # one pilot chain for so many that count


@dataclass(frozen=True)
class LogPartition:
    """An estimate of log Z. Where `effective_samples` is not well above 1, trust neither it nor its error.

    value: log of the mean of the chains' weights. standard_error: by the jackknife, of `value`.
    effective_samples: (Σ weights)² / Σ weights², from 1 to the number of chains.
    """

    value: float
    standard_error: float
    effective_samples: float


@dataclass(frozen=True)
class _Chains:
    """images (N, C, H, W) with their score f (N,) and basis B (N, C, H, W)."""

    images: Tensor
    score: Tensor
    basis: Tensor


@torch.no_grad()
def log_partition(
    net: GenerativeConvNet,
    size: tuple[int, int],
    *,
    boundary: Boundary = "valid",
    generator: torch.Generator,
    chains: int = 16,
    temperatures: int = 200,
    steps: int = 1,
    interrupt: Callable[[], None] | None = None,
) -> LogPartition:
    """log Z = log E_q exp f(I) over pictures of `size` (H, W), by annealed importance sampling (Neal, 2001).

    Each chain begins as a sample of q and passes through the densities q exp(β f), β = t / T, t = 1..T, with `steps`
    transitions at each that leave it invariant. Its weight is exp Σ_t f(I_t) / T; the weights' mean is Z exactly, for
    any T, and more temperatures T, steps and chains make it less uncertain. Pilot chains, which count no further, first
    find the transitions' step sizes. In the net's own precision. `interrupt` is called at each transition; what it
    raises ends the work. ValueError for fewer than two chains, or a size that does not suit the net.
    """
    if chains < 2 or temperatures < 1 or steps < 1:
        raise ValueError(
            f"needs chains >= 2, temperatures >= 1 and steps >= 1, not {chains}, {temperatures} and {steps}"
        )
    shape = (net.architecture.channels, *size)
    annealing = _Annealing(net, boundary, generator, temperatures, steps, interrupt or _go_on)
    step_sizes = annealing.tuned_step_sizes((-(-chains // PILOT_SHARE), *shape))
    return _estimate(annealing.log_weights((chains, *shape), step_sizes))


def log_density(
    net: GenerativeConvNet, images: Tensor, partition: LogPartition | float, boundary: Boundary = "valid"
) -> Tensor:
    """log p(I; w) = f(I; w) - ‖I‖² / 2σ² - |D|/2 log 2πσ² - log Z (eq. 4, 5, 8). (N, C, H, W) -> (N,).

    |D| counts every channel's pixels. `partition` is log Z, for pictures of this size on this boundary.
    """
    log_z = partition.value if isinstance(partition, LogPartition) else partition
    constant = images[0].numel() / 2 * math.log(2 * math.pi * net.architecture.reference_std**2)
    return -net.energy(images, boundary) - constant - log_z


@dataclass(frozen=True)
class _Annealing:
    """The way from q to q exp f."""

    net: GenerativeConvNet
    boundary: Boundary
    generator: torch.Generator
    temperatures: int
    steps: int
    interrupt: Callable[[], None]

    @property
    def betas(self) -> list[float]:
        return [index / self.temperatures for index in range(self.temperatures + 1)]

    def tuned_step_sizes(self, shape: tuple[int, ...]) -> list[float]:
        """ε at each temperature, in grey levels. Found beforehand: steps that follow the chains' fate would bias Z."""
        largest = math.sqrt(2) * self.net.architecture.reference_std  # draws the next picture afresh from the piece
        step_size, step_sizes = largest, []
        chains = self._first(shape)
        for beta in self.betas[1:]:
            step_sizes.append(step_size)
            for _ in range(self.steps):
                chains, acceptance = self._transition(chains, beta, step_size)
                step_size = min(largest, step_size * math.exp(TUNING_RATE * (acceptance - ACCEPTANCE)))
        return step_sizes

    def log_weights(self, shape: tuple[int, ...], step_sizes: list[float]) -> Tensor:
        """Σ_t (β_t - β_t-1) f(I_t) of each chain, in float64. shape (N, C, H, W) -> (N,)."""
        chains = self._first(shape)
        weights = torch.zeros(shape[0], dtype=torch.float64, device=chains.images.device)
        for (before, beta), step_size in zip(pairwise(self.betas), step_sizes, strict=True):
            weights += (beta - before) * chains.score.double()
            for _ in range(self.steps):
                chains, _ = self._transition(chains, beta, step_size)
        return weights

    def _first(self, shape: tuple[int, ...]) -> _Chains:
        return self._look(self.net.architecture.reference_std * self._noise(shape))

    def _look(self, images: Tensor) -> _Chains:
        maps = self.net.feature_maps(images, self.boundary)
        pattern = tuple(feature_map > 0 for feature_map in maps)
        decoding = top_down(self.net, pattern, self.net.extend(images, self.boundary), self.boundary)
        return _Chains(images, self.net.scores_of(maps[-1]), decoding.basis)

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        like = self.net.weights[0]
        return torch.randn(shape, generator=self.generator, dtype=like.dtype, device=like.device)

    def _transition(self, chains: _Chains, beta: float, step_size: float) -> tuple[_Chains, float]:
        """One Metropolis step that leaves q exp(β f) invariant, and the mean probability that it was taken.

        Proposed is eq. 19's step, I' = M + ρ (I - M) + ε √(1 - ε²/4σ²) Z with M = σ² β B the mean of the piece and
        ρ = 1 - ε²/2σ². The root makes the noise that of the piece's own variance (1 - ρ²) σ²: on one piece, a Gaussian
        by Theorem 1, the step is exact for any ε and always taken. Only the borders between pieces turn it down.
        """
        self.interrupt()
        variance = self.net.architecture.reference_std**2
        decay = 1 - step_size**2 / (2 * variance)
        spread = (1 - decay**2) * variance
        mean = variance * beta * chains.basis
        proposed = mean + decay * (chains.images - mean) + math.sqrt(spread) * self._noise(tuple(chains.images.shape))
        there = self._look(proposed)
        back_mean = variance * beta * there.basis
        log_ratio = (
            beta * (there.score - chains.score)
            - _inner(proposed - chains.images, proposed + chains.images) / (2 * variance)
            + _square(proposed - mean - decay * (chains.images - mean)) / (2 * spread)
            - _square(chains.images - back_mean - decay * (proposed - back_mean)) / (2 * spread)
        )
        probability = log_ratio.clamp(max=0).exp()
        drawn = torch.rand(probability.shape, generator=self.generator, device=probability.device)
        taken = drawn < probability
        return _Chains(
            torch.where(taken[:, None, None, None], there.images, chains.images),
            torch.where(taken, there.score, chains.score),
            torch.where(taken[:, None, None, None], there.basis, chains.basis),
        ), probability.mean().item()


def _estimate(log_weights: Tensor) -> LogPartition:
    """From the chains' log weights (N,), float64. The jackknife leaves each chain out in turn.

    It tells of one chain that outweighs all others, where the usual error, at most 1 then, would not.
    """
    count = len(log_weights)
    value = log_weights.logsumexp(dim=0) - math.log(count)
    others = log_weights.repeat(count, 1).fill_diagonal_(-math.inf).logsumexp(dim=1) - math.log(count - 1)
    error = ((count - 1) * (others - others.mean()).square().mean()).sqrt()
    effective = (2 * log_weights.logsumexp(dim=0) - (2 * log_weights).logsumexp(dim=0)).exp()
    return LogPartition(value.item(), error.item(), effective.item())


def _inner(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(dim=(1, 2, 3))


def _square(images: Tensor) -> Tensor:
    return images.square().sum(dim=(1, 2, 3))


def _go_on() -> None:
    """Nobody asks the work to end."""
