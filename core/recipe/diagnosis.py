"""Diagnose how learning fails, from the chains and the share of active units.

A layer without active units is dead: it passes nothing up and no gradient down. Chains that are spread far wider than
the pictures have exploded. Both show within a few iterations. Chains that overshoot (`overshoot`) need some hundred
iterations. `core.recipe.recovery` then returns to an earlier state with a smaller learning rate.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine import ScoreGradient
from core.pictures.images import rms
from core.theory.model import GenerativeConvNet

EXPLODED_STD_RATIO = 3.0  # times the pictures' spread; chains beyond it never come back
WIDE_STD_RATIO = 1.6  # pictures with few large shapes reach it for a while
MAX_WIDE_ITERATIONS = 40  # in a row
MAX_OVERSHOOT = 0.1  # mean over iterations: 0.02 where learning goes well, 0.2 and more where it ended with stripes
NORMAL_OVERSHOOT = 0.03  # above it a state is not worth returning to: its chains overshoot already
NORMAL_STD_RATIO = 1.3  # below it a state is worth returning to; from a wider one chains only explode again
FAR_TOO_STRONG = 2.0  # times the pictures' contrast: more iterations alone do not mend that
TOLERATED_CONTRAST = 0.2  # relative difference between the spread of chains and pictures at the end
TOLERATED_ACTIVE = (0.05, 0.95)  # share of a layer's units
TOLERATED_RECONSTRUCTION = 0.5  # error of reconstructions, relative to the pictures' spread; well learned it is 0.1
LITTLE_OPAQUE = 0.67  # share of the windows
DEAD_ACTIVE_SHARE = 1e-4  # a layer with fewer active units, on pictures and on chains, is dead


@dataclass(frozen=True)
class Health:
    """Measurements of one iteration.

    chain_std, data_std: root mean square of the chains and the pictures about the pictures' mean, grey levels.
    active_share: share of active units per layer, on the chains; data_active_share: on the pictures.
    score_difference: mean of f(pictures) - f(chains), per position of the top map. Not a number if a weight or bias is
    not finite: its filter may never fire, and change no score. relative_score_difference: the same over |f(pictures)| +
    |f(chains)|, -1 to 1.
    shown_std: like chain_std, of the denoised pictures that are shown; None if not measured. Chains can look well while
    σ²B, the mean of their piece, oscillates about them.
    reconstruction_std: root mean square of I - σ²B(I) over some pictures, grey levels (eq. 23); None if not measured.
    """

    chain_std: float
    data_std: float
    active_share: tuple[float, ...]
    data_active_share: tuple[float, ...]
    score_difference: float
    shown_std: float | None = None
    reconstruction_std: float | None = None
    relative_score_difference: float = 0.0


def measure_health(
    net: GenerativeConvNet, chains: Tensor, data_std: float, synthesized: ScoreGradient, real: ScoreGradient
) -> Health:
    """Measure the weights, the chains (N, C, H, W), and the net's response to them and to the pictures."""
    difference, size = real.score - synthesized.score, abs(real.score) + abs(synthesized.score)
    if not torch.stack([parameter.detach().sum() for parameter in net.parameters()]).isfinite().all():
        difference = math.nan
    return Health(
        chain_std=rms(chains),
        data_std=data_std,
        active_share=synthesized.active_share,
        data_active_share=real.active_share,
        score_difference=difference,
        relative_score_difference=difference / size if size else 0.0,
    )


def is_wide(health: Health, reference_std: float) -> bool:
    """Return True if the chains are spread far wider than the pictures, or are not finite."""
    return not health.chain_std < WIDE_STD_RATIO * max(health.data_std, reference_std)


def overshoot(health: Health, reference_std: float) -> float:
    """Return the relative score difference of chains that overshoot, 0 to 1; 0 if they do not.

    Chains that are wider than the pictures under noise have the larger f: it is what drives them. If f is smaller on
    them all the same, their steps are too long for its curvature. They jump from one side of a narrow maximum to the
    other, mostly as fine stripes in smooth parts, and learning takes that for maxima that are not narrow enough.
    """
    is_wider = health.chain_std > math.hypot(health.data_std, reference_std)
    return max(health.relative_score_difference, 0.0) if is_wider else 0.0


def diagnose(health: Health, reference_std: float, wide_for: int = 0, bounded: bool = False) -> str | None:
    """Return why learning failed, in words for the user; None if it has not.

    wide_for: iterations in a row with wide chains.
    bounded: chains in a colour box often jump to its bounds and return. Only staying there is a failure.
    """
    limit = math.inf if bounded else EXPLODED_STD_RATIO * max(health.data_std, reference_std)
    if wide_for > MAX_WIDE_ITERATIONS or not health.chain_std < limit:
        return (
            f"the chains exploded: their standard deviation is {health.chain_std:.3g} grey levels, "
            f"the pictures' {health.data_std:.3g}"
        )
    if not abs(health.score_difference) < float("inf"):
        return "the weights or their scores are no longer finite numbers"
    for index, (chains, data) in enumerate(zip(health.active_share, health.data_active_share, strict=True), start=1):
        if max(chains, data) < DEAD_ACTIVE_SHARE:
            return f"layer {index} died: none of its units is active any more, so nothing can be learned"
    return None


def has_normal_spread(chains: Tensor, data_std: float, reference_std: float) -> bool:
    """Return True if the chains (M̃, C, S, S) are spread little wider than the pictures."""
    return rms(chains) < NORMAL_STD_RATIO * max(data_std, reference_std)


def find_warnings(
    health: Health,
    has_top_filter: bool = False,
    ended_early: bool = False,
    reconstructs: bool = False,
    few: bool = False,
    iterations: str = "iterations",
) -> list[str]:
    """Return the warnings about the end of a run, in words for the user; none if it is healthy.

    has_top_filter: the top layer is an object's one unit, which must be active on all pictures and is not judged.
    ended_early: the pictures had stopped coming nearer, so that more iterations are not advised.
    reconstructs: the net is to reconstruct whole pictures. Patches of a dictionary are made of few of its filters.
    few: there were few iterations, so that nothing else needs to be at fault.
    iterations: the parameters that ask for more of them.
    """
    found = []
    more = f": more {iterations} may help"
    stds = [std for std in (health.chain_std, health.shown_std) if std is not None]
    ratios = [std / health.data_std if health.data_std else math.inf for std in stds]
    wrong = [ratio for ratio in ratios if not abs(ratio - 1) <= TOLERATED_CONTRAST]  # also true for NaN
    if wrong:
        too_faint = "" if ended_early else more
        too_strong = more if few and wrong[-1] < FAR_TOO_STRONG else ": a smaller learning_rate may help"
        advice = too_faint if wrong[-1] < 1 else too_strong
        found.append(f"the synthesized pictures' contrast is {wrong[-1]:.2f} times the training pictures'{advice}")
    error = health.reconstruction_std
    if reconstructs and error is not None and not error <= TOLERATED_RECONSTRUCTION * health.data_std:
        advice = ": a picture_noise as large as reference_std, or a smaller learning_rate, may help"
        found.append(
            f"reconstructions are off by {error:.3g} grey levels, where the training pictures' contrast is "
            f"{health.data_std:.3g}{more if few else advice}"
        )
    judged = health.active_share[:-1] if has_top_filter else health.active_share
    for index, share in enumerate(judged, start=1):
        if not TOLERATED_ACTIVE[0] <= share <= TOLERATED_ACTIVE[1]:
            found.append(f"{share:.0%} of the units of layer {index} are active: it does little for the model")
    return found


def find_lack_of_windows(opaque_share: float, window: int) -> list[str]:
    """Return a warning if transparent parts leave few windows of `window` pixels to learn from; else nothing."""
    if opaque_share >= LITTLE_OPAQUE:
        return []
    little = f"transparent pixels leave {opaque_share:.0%} of the windows of {window} pixels to learn from"
    return [f"{little}: a larger image_size or smaller transparent parts may help"]
