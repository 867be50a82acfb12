"""Report the progress of a job that consists of several equal parts, and estimate the time that is left."""

import time
from collections import deque

from core.schemas.jobs import Progress
from worker.job_context import JobContext

RECENT_SECONDS = 60.0  # by whose speed the time left is estimated: other work comes and goes
SAMPLE_SECONDS = 1.0  # at least, between two moments that are remembered


class RemainingTime:
    """Estimates how long the rest of a job takes, by the last RECENT_SECONDS of its work."""

    def __init__(self) -> None:
        self._moments = deque([(time.monotonic(), 0.0)])  # (time, the work done by then)

    def estimate(self, done: float, left: float) -> float | None:
        """Return the seconds that the work `left` takes, once `done` is done, in any unit; None before any work."""
        now = time.monotonic()
        if now - self._moments[-1][0] >= SAMPLE_SECONDS:
            self._moments.append((now, done))
        while len(self._moments) > 1 and self._moments[1][0] <= now - RECENT_SECONDS:
            self._moments.popleft()
        since, before = self._moments[0]
        return round((now - since) * left / (done - before), 1) if done > before else None


class ProgressReporter:
    """Progress of `parts` parts of `steps` steps each.

    `extra_steps` count as work of each part, but are not shown as steps.
    """

    def __init__(self, context: JobContext, parts: int, steps: int, extra_steps: int = 0) -> None:
        self._context, self._parts, self._steps = context, parts, steps
        self._all_steps = max(steps + extra_steps, 1)  # variations of strength 0 take no step
        self._skipped = 0
        self._remaining_time = RemainingTime()

    def skip(self) -> None:
        """Count one part as complete without work: it says nothing about the time left."""
        self._skipped += 1

    def report(self, done: int, current: int, step: float, share: float | None = None) -> None:
        """Report that `done` parts are complete, and `step` steps of the parts up to number `current` (from 1).

        share: of these parts' work, 0 to 1, if their steps do not all take the same time.
        Raises what `LeaseRenewer.check_stop` raises.
        """
        self._context.renewer.check_stop()
        complete = done + (current - done) * min(step / self._all_steps if share is None else share, 1.0)
        self._context.report_progress(
            Progress(
                stage=current,
                stages=self._parts,
                iteration=min(int(step), self._steps),
                iterations=self._steps,
                fraction=complete / self._parts,
                eta_seconds=self._time_left(complete),
            )
        )

    def _time_left(self, complete: float) -> float | None:
        """Return the seconds left after `complete` parts, at the pace of those not skipped; None before one."""
        return self._remaining_time.estimate(complete - self._skipped, self._parts - complete)
