"""How long learning takes: as long as its preset took where it was measured, or as its jobs have taken on this service.

Without torch, because the API says it. The studio's form estimates with the same formula
(api/web/studio/data/estimate.js).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from core.recipe.presets import PRESETS, TWO_CORE_SECONDS
from core.schemas.learning import LearningParams
from core.schemas.stages import MAX_WHOLE_SIZE

FIXED_SECONDS = 2.0  # of a job, whatever it learns: to begin, and to draw and store its results
GRADIENT_STEPS = 1.5  # Langevin steps that cost as much as the gradient of one picture
SMALL_OBJECT_COST = 0.6  # of an object's coarse level, relative to its full size
CANVAS_COST = 0.5  # of a pixel of a canvas, relative to one of a window: large ones waste less time
# Settings whose effect on the time is not known.
UNKNOWN = frozenset(
    ("layers", "layerwise", "top", "contrastive", "boundary", "batch_size", "optimizer", "precision", "processes")
)
MIN_SECONDS = 5.0  # expected of a job that tells how fast the service is: of shorter ones too much is fixed
LATEST = 5  # such jobs that count
SLOW_MACHINE_FACTOR = 7  # times as long as measured: of a processor without instructions for bfloat16
QUICK_TIMES = 2.0  # as long as measured, up to which a job cannot have been slowed down much
MIN_TIMES, MAX_TIMES = 1 / 50, 50.0  # bounds of how many times longer a job takes here


@dataclass(frozen=True)
class FinishedTraining:
    """A training job that did all its iterations in one attempt, and the seconds that it took.

    alone: no other job of the service ran at the same time.
    """

    preset: str
    params: LearningParams
    seconds: float
    alone: bool = True


def learning_seconds(preset: str, params: LearningParams) -> float | None:
    """Return the seconds of a job with these parameters where its preset was measured; None if that is not known."""
    usual, measured = PRESETS.get(preset), TWO_CORE_SECONDS.get(preset)
    if usual is None or measured is None or any(getattr(params, one) != getattr(usual, one) for one in UNKNOWN):
        return None
    return FIXED_SECONDS + (measured - FIXED_SECONDS) * _work(params) / _work(usual)


def expected_seconds(preset: str, finished: Sequence[FinishedTraining]) -> float | None:
    """Return the seconds of a job of a preset on the service whose training jobs, newest first, took what they took.

    By the latest jobs of the preset itself, because a machine is not slower at all of them alike: those that ran alone,
    or all if these do not tell. Other work only makes jobs longer. So of an even number the shorter of the two in the
    middle counts, and a single job tells only if it was quick. None if no job tells, or the preset was not measured.
    """
    measured = TWO_CORE_SECONDS.get(preset)
    own = [one for one in finished if one.preset == preset]
    telling = [one for one in own if (learning_seconds(one.preset, one.params) or 0) >= MIN_SECONDS]
    alone = [one for one in telling if one.alone]
    times = _median_times_longer(alone) or _median_times_longer(telling)
    return None if measured is None or times is None else FIXED_SECONDS + (measured - FIXED_SECONDS) * times


def _median_times_longer(jobs: Sequence[FinishedTraining]) -> float | None:
    """Return how many times longer than measured such jobs take; None if they do not tell."""
    times = [_times_longer(one) for one in jobs[:LATEST]]
    return median_low(times) if len(times) > 1 or (times and times[0] <= QUICK_TIMES) else None


def learning_range(preset: str, params: LearningParams, here: float | None) -> tuple[float, float] | None:
    """Return the least and the most seconds that a job with these parameters is expected to take; None if not known.

    here: what the preset is expected to take on the service; None if no job tells. As the studio's form says.
    """
    usual, measured = learning_seconds(preset, params), TWO_CORE_SECONDS.get(preset)
    if usual is None or measured is None:
        return None
    times = (1.0, SLOW_MACHINE_FACTOR) if here is None else ((here - FIXED_SECONDS) / (measured - FIXED_SECONDS),) * 2
    least, most = (FIXED_SECONDS + (usual - FIXED_SECONDS) * one for one in times)
    return least, most


def _times_longer(job: FinishedTraining) -> float:
    """Return how many times longer a job took than where its preset was measured."""
    expected = learning_seconds(job.preset, job.params)
    assert expected is not None
    return min(max((job.seconds - FIXED_SECONDS) / (expected - FIXED_SECONDS), MIN_TIMES), MAX_TIMES)


def _work(params: LearningParams) -> float:
    """Return the Langevin steps on a pixel that cost as much as all learning does.

    Pictures, chains and steps each cost in proportion; so do the pixels of a chain, which windows make few, and a
    canvas many.
    """
    pictures = params.batch_size or 1
    chains = pictures if params.contrastive else params.num_chains

    def steps(chains: int, pictures: int) -> float:
        return chains * (params.langevin_steps + GRADIENT_STEPS) + pictures * GRADIENT_STEPS

    if params.top == "object":
        coarse = SMALL_OBJECT_COST * params.image_size**2 * steps(chains, pictures)
    else:
        coarse = (params.image_size / params.coarse_factor) ** 2 * steps(1, 1)
    canvas = CANVAS_COST * min(params.image_size, MAX_WHOLE_SIZE) ** 2 * steps(1, 1)
    return (
        params.iterations * params.side**2 * steps(chains, pictures)
        + params.coarse_iterations * coarse
        + params.canvas_iterations * canvas
    )
