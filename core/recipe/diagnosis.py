"""Is learning alive? Its two ways to fail, dead and exploding, seen from the chains and the active units.

A layer none of whose units is active passes nothing up and no gradient down: it is dead for good. Chains that leave
the range of the pictures by far have exploded. Both are seen within an iteration or a few, and cured by going back
to a good state with a smaller learning rate (`core.recipe.recovery`).
"""

import math
from dataclasses import dataclass

from torch import Tensor

from core.engine import ScoreGradient

EXPLODED_STD_RATIO = 3.0  # chains this many times as far spread as the pictures never come back
WIDE_STD_RATIO = 1.6  # this far they may, where a picture has few large shapes, and often do
PATIENCE = 40  # iterations in a row that they are given for it
STEADY_STD_RATIO = 1.3  # below it, a state is worth going back to: from an explosion's foot one only explodes again
TOLERATED_CONTRAST = 0.2  # by which chains may end more or less spread than the pictures
TOLERATED_ACTIVE = (0.05, 0.95)  # share of a layer's units
DEAD_ACTIVE_SHARE = 1e-4  # a layer with fewer active units than this, on pictures and chains alike


@dataclass(frozen=True)
class Health:
    """Signs of one iteration.

    chain_std, data_std: root mean square of the chains and the pictures about the pictures' mean, grey levels.
    active_share: per layer, the share of units active on the chains; data_active_share: on the pictures.
    score_difference: mean of f(pictures) - f(chains), per position of the top map.
    shown_std: as chain_std, of what is shown of the chains, clean of noise; None where it was not asked for. Chains may
    look well while σ²B, the mean of their piece, leaps to and fro about them.
    """

    chain_std: float
    data_std: float
    active_share: tuple[float, ...]
    data_active_share: tuple[float, ...]
    score_difference: float
    shown_std: float | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, in words that a user understands."""

    reason: str


def measure_health(chains: Tensor, data_std: float, synthesized: ScoreGradient, real: ScoreGradient) -> Health:
    """Read the signs. chains (N, C, H, W), and what became of them and of the pictures in the net."""
    return Health(
        chain_std=rms(chains),
        data_std=data_std,
        active_share=synthesized.active_share,
        data_active_share=real.active_share,
        score_difference=real.score - synthesized.score,
    )


def is_wide(health: Health, reference_std: float) -> bool:
    """Whether the chains are spread far wider than the pictures. `not (a < b)` also catches what is not a number."""
    return not health.chain_std < WIDE_STD_RATIO * max(health.data_std, reference_std)


def diagnose(health: Health, reference_std: float, wide_for: int = 0, bounded: bool = False) -> Diagnosis | None:
    """None where learning is alive. `wide_for`: the iterations in a row for which the chains have been wide.

    Chains kept within bounds often leap to them and come back: only their staying there is a failure.
    """
    limit = math.inf if bounded else EXPLODED_STD_RATIO * max(health.data_std, reference_std)
    if wide_for > PATIENCE or not health.chain_std < limit:
        return Diagnosis(
            f"the chains exploded: their standard deviation is {health.chain_std:.3g} grey levels, "
            f"the pictures' {health.data_std:.3g}"
        )
    if not abs(health.score_difference) < float("inf"):
        return Diagnosis("the scores are no longer finite numbers")
    for index, (chains, data) in enumerate(zip(health.active_share, health.data_active_share, strict=True), start=1):
        if max(chains, data) < DEAD_ACTIVE_SHARE:
            return Diagnosis(f"layer {index} died: none of its units is active any more, so nothing can be learned")
    return None


def is_steady(chains: Tensor, data_std: float, reference_std: float) -> bool:
    """Whether the chains (M̃, C, S, S) are hardly wider spread than the pictures."""
    return rms(chains) < STEADY_STD_RATIO * max(data_std, reference_std)


def find_warnings(health: Health, has_top_filter: bool = False) -> list[str]:
    """What is to be said against the end of a run, in words that a user understands; nothing where it is healthy.

    has_top_filter: the highest layer is an object's one unit, which has to fire on all of them.
    """
    found = []
    stds = [std for std in (health.chain_std, health.shown_std) if std is not None]
    ratios = [std / health.data_std if health.data_std else math.inf for std in stds]
    amiss = [ratio for ratio in ratios if not abs(ratio - 1) <= TOLERATED_CONTRAST]  # nor what is not a number
    if amiss:
        found.append(
            f"the synthesized pictures' contrast is {amiss[-1]:.2f} times the training pictures': "
            + ("more iterations may help" if amiss[-1] < 1 else "a smaller learning_rate may help")
        )
    judged = health.active_share[:-1] if has_top_filter else health.active_share
    for index, share in enumerate(judged, start=1):
        if not TOLERATED_ACTIVE[0] <= share <= TOLERATED_ACTIVE[1]:
            found.append(f"{share:.0%} of the units of layer {index} are active: it does little for the model")
    return found


def rms(images: Tensor) -> float:
    """Root mean square, in grey levels."""
    return images.detach().square().mean().sqrt().item()
