"""The normalizing constant Z(w) = E_q exp f(I; w) (eq. 4, 5) by annealed importance sampling, and the density."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from core.schemas.geometry import Boundary
from core.theory.decoding import find_mode, top_down
from core.theory.model import GenerativeConvNet, squared_norm

TARGET_ACCEPTANCE = 0.6  # which the pilot chains tune the step sizes to
TUNING_RATE = 0.5  # change of log step size per difference in acceptance
MAX_ARC = math.pi / 2  # of a transition, in radians; on one piece a quarter of a circle decorrelates most
CHAINS_PER_PILOT = 4
DESCENTS, DESCENT_STEPS = 2, 10  # pictures, and steps towards their modes, to estimate the model's spread


@dataclass(frozen=True)
class LogPartition:
    """An estimate of log Z. Unless `effective_samples` is well above 1, neither value nor error can be trusted.

    value: log of the mean of the chains' weights. standard_error: by the jackknife, of `value`.
    effective_samples: (Σ weights)² / Σ weights², from 1 to the number of chains.
    """

    value: float
    standard_error: float
    effective_samples: float


@dataclass(frozen=True)
class Chains:
    """images (N, C, H, W) with their score f (N,) and basis B (N, C, H, W)."""

    images: Tensor
    score: Tensor
    basis: Tensor

    def where(self, chosen: Tensor, others: "Chains") -> "Chains":
        """Return the chains whose `chosen` (N,) is true from these, and the rest from `others`."""
        wide = chosen[:, None, None, None]
        return Chains(
            torch.where(wide, self.images, others.images),
            torch.where(chosen, self.score, others.score),
            torch.where(wide, self.basis, others.basis),
        )


def log_partition(
    net: GenerativeConvNet,
    size: tuple[int, int],
    *,
    boundary: Boundary = "valid",
    generator: torch.Generator,
    chains: int = 16,
    temperatures: int = 100,
    steps: int = 8,
    interrupt: Callable[[], None] | None = None,
) -> LogPartition:
    """Estimate log Z = log E_q exp f(I) over pictures of `size` (H, W), as `annealed_log_weights` says."""
    weights = annealed_log_weights(
        net,
        size,
        boundary=boundary,
        generator=generator,
        chains=chains,
        temperatures=temperatures,
        steps=steps,
        interrupt=interrupt,
    )
    return estimate(weights)


@torch.no_grad()
def annealed_log_weights(
    net: GenerativeConvNet,
    size: tuple[int, int],
    *,
    boundary: Boundary = "valid",
    generator: torch.Generator,
    chains: int = 16,
    temperatures: int = 100,
    steps: int = 8,
    interrupt: Callable[[], None] | None = None,
) -> Tensor:
    """Return the log weights of `chains` chains of annealed importance sampling (Neal, 2001), (chains,), float64.

    Each chain starts as white noise N(0, s²) and passes through the densities N(0, s²)^(1-β) (q exp f)^β for
    `temperatures` T values of β up to 1. At each of them one Hamiltonian transition of `steps` leapfrog steps leaves
    the density invariant (Sohl-Dickstein and Culpepper, 2012). The mean of the chains' weights is exactly Z for any T,
    s and `steps`, so the estimate is on average below log Z, and less so with more temperatures, steps and chains. s is
    estimated first; pilot chains, which are not used further, tune the step sizes. Runs in the net's precision.
    `interrupt` is called at each step, 2 T `steps` times in all; an exception that it raises ends the work. Raises
    ValueError for fewer than two chains, or a size that does not fit the net.
    """
    if chains < 2 or temperatures < 1 or steps < 1:
        raise ValueError(
            f"needs chains >= 2, temperatures >= 1 and steps >= 1, not {chains}, {temperatures} and {steps}"
        )
    shape = (net.architecture.channels, *size)
    start_std = spread(net, (DESCENTS, *shape), boundary, generator)
    annealing = Annealing(net, boundary, generator, start_std, temperatures, steps, interrupt or _never_interrupt)
    step_sizes = annealing.tuned_step_sizes((-(-chains // CHAINS_PER_PILOT), *shape))
    return annealing.log_weights((chains, *shape), step_sizes)


def log_density(
    net: GenerativeConvNet, images: Tensor, partition: LogPartition | float, boundary: Boundary = "valid"
) -> Tensor:
    """Return log p(I; w) = f(I; w) - ‖I‖² / 2σ² - |D|/2 log 2πσ² - log Z (eq. 4, 5, 8). (N, C, H, W) -> (N,).

    |D| counts the pixels of every channel. `partition` is log Z for pictures of this size on this boundary.
    """
    log_z = partition.value if isinstance(partition, LogPartition) else partition
    constant = images[0].numel() / 2 * math.log(2 * math.pi * net.architecture.reference_std**2)
    return -net.energy(images, boundary) - constant - log_z


@dataclass(frozen=True)
class Annealing:
    """The path from N(0, s²), s = `start_std` in grey levels, to q exp f = exp(f - ‖I‖² / 2σ²), up to constants.

    With s = σ the densities are q exp(β f). With a larger s the path is that of a temperature that falls from s² / σ²
    to one: noise as strong as the pictures takes their shape and then cools. It needs far fewer temperatures.
    """

    net: GenerativeConvNet
    boundary: Boundary
    generator: torch.Generator
    start_std: float
    temperatures: int
    steps: int
    interrupt: Callable[[], None]

    @property
    def betas(self) -> list[float]:
        """β_0 = 0 to β_T = 1, spaced so that a piece's variance 1 / λ_β falls by the same factor at each step."""
        steps = [index / self.temperatures for index in range(self.temperatures + 1)]
        excess = (self.start_std / self.net.architecture.reference_std) ** 2 - 1
        return [math.expm1(step * math.log1p(excess)) / excess for step in steps] if excess > 1e-6 else steps

    def precision(self, beta: float) -> float:
        """Return λ_β = (1 - β) / s² + β / σ²: on one piece the density is N(β B / λ_β, 1 / λ_β)."""
        return (1 - beta) / self.start_std**2 + beta / self.net.architecture.reference_std**2

    def tuned_step_sizes(self, shape: tuple[int, ...]) -> list[float]:
        """Tune one step size for each β, in standard deviations of a piece, on pilot chains.

        Adapting to the chains that are used would bias Z.
        """
        largest = MAX_ARC / (self.steps + 1)  # so that one leapfrog step is stable too
        step_size, step_sizes = largest, []
        chains = self.initial_chains(shape)
        for beta in self.betas[1:]:
            step_sizes.append(step_size)
            chains, acceptance = self.transition(chains, beta, step_size)
            step_size = min(largest, step_size * math.exp(TUNING_RATE * (acceptance - TARGET_ACCEPTANCE)))
        return step_sizes

    def log_weights(self, shape: tuple[int, ...], step_sizes: list[float]) -> Tensor:
        """Return the logarithms of N weights whose mean is Z, in float64. shape (N, C, H, W) -> (N,).

        |D| log(s / σ) + Σ_t (β_t - β_t-1) [f(I_t) - (1/σ² - 1/s²) ‖I_t‖² / 2], |D| counting the channels too.
        """
        chains = self.initial_chains(shape)
        widening = self.start_std / self.net.architecture.reference_std
        weights = chains.score.new_full((shape[0],), math.prod(shape[1:]) * math.log(widening), dtype=torch.float64)
        change = self.precision(1) - self.precision(0)
        for (before, beta), step_size in zip(pairwise(self.betas), step_sizes, strict=True):
            weights += (beta - before) * (chains.score - change * squared_norm(chains.images) / 2).double()
            chains, _ = self.transition(chains, beta, step_size)
        return weights

    def initial_chains(self, shape: tuple[int, ...]) -> Chains:
        """Draw chains of `shape` (N, C, H, W) from N(0, s²)."""
        return self.evaluate(self.start_std * _noise(shape, self.net, self.generator))

    def evaluate(self, images: Tensor) -> Chains:
        """Return pictures (N, C, H, W) with their score and basis."""
        maps = self.net.feature_maps(images, self.boundary)
        pattern = tuple(feature_map > 0 for feature_map in maps)
        decoding = top_down(self.net, pattern, self.net.extend(images, self.boundary), self.boundary)
        return Chains(images, self.net.scores_of(maps[-1]), decoding.basis)

    def transition(self, chains: Chains, beta: float, step_size: float) -> tuple[Chains, float]:
        """Return the chains after a Hamiltonian transition, and the mean acceptance probability.

        The transition leaves the density at β invariant.

        Momenta P ~ N(0, 1) move the pictures along d²I/dt² = β B - λ_β I by `steps` leapfrog steps, which nearly
        conserve ‖P‖² / 2 + λ_β ‖I‖² / 2 - β f(I); the Metropolis test corrects the error.
        """
        precision = self.precision(beta)
        time = step_size / math.sqrt(precision)
        momentum = _noise(tuple(chains.images.shape), self.net, self.generator)
        moved, final_momentum = chains, momentum
        for _ in range(self.steps):
            self.interrupt()
            half_way = final_momentum + time / 2 * (beta * moved.basis - precision * moved.images)
            moved = self.evaluate(moved.images + time * half_way)
            final_momentum = half_way + time / 2 * (beta * moved.basis - precision * moved.images)
        log_ratio = (
            beta * (moved.score - chains.score)
            - precision / 2 * _inner(moved.images - chains.images, moved.images + chains.images)
            - _inner(final_momentum - momentum, final_momentum + momentum) / 2
        )
        probability = log_ratio.clamp(max=0).exp().nan_to_num(0.0)  # a picture that diverged is rejected
        drawn = torch.rand(probability.shape, generator=self.generator, device=probability.device)
        return moved.where(drawn < probability, chains), probability.mean().item()


def estimate(log_weights: Tensor) -> LogPartition:
    """Return the estimate of log Z from the chains' log weights (N,), float64, with a jackknife error.

    Unlike the usual standard error, which is at most 1 then, the jackknife shows one chain that outweighs all others.
    """
    count, total = len(log_weights), log_weights.logsumexp(dim=0)
    value = total - math.log(count)
    others = total + torch.log1p(-(log_weights - total).exp()) - math.log(count - 1)  # without each of the chains
    top = int(log_weights.argmax())  # without it, the difference would lose all digits if it outweighs the others
    others[top] = torch.cat([log_weights[:top], log_weights[top + 1 :]]).logsumexp(dim=0) - math.log(count - 1)
    error = ((count - 1) * (others - others.mean()).square().mean()).sqrt()
    effective = (2 * total - (2 * log_weights).logsumexp(dim=0)).exp()
    return LogPartition(value.item(), error.item(), effective.item())


def spread(net: GenerativeConvNet, shape: tuple[int, ...], boundary: Boundary, generator: torch.Generator) -> float:
    """Estimate the standard deviation of p, in grey levels: the root of σ² plus the local modes' mean square (Prop. 2).

    shape (N, C, H, W): pictures of noise that descend towards their modes.
    """
    reference_std = net.architecture.reference_std
    noise = reference_std * _noise(shape, net, generator)
    modes = find_mode(net, noise, max_steps=DESCENT_STEPS, boundary=boundary)
    return math.sqrt(reference_std**2 + modes.images.square().mean().item())


def _noise(shape: tuple[int, ...], net: GenerativeConvNet, generator: torch.Generator) -> Tensor:
    """Draw Z ~ N(0, 1) in the dtype of the net's weights."""
    like = net.weights[0]
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)


def _inner(one: Tensor, other: Tensor) -> Tensor:
    """Return the inner product of each pair of pictures. (N, C, H, W) twice -> (N,)."""
    return (one * other).sum(dim=(1, 2, 3))


def _never_interrupt() -> None:
    """Do nothing: the default of `interrupt`."""
