"""Report the progress of a job that consists of several equal parts."""

import time

from core.schemas.jobs import Progress
from worker.job_context import JobContext


class ProgressReporter:
    """Progress of `parts` parts of `steps` steps each.

    `extra_steps` count as work of each part, but are not shown as steps.
    """

    def __init__(self, context: JobContext, parts: int, steps: int, extra_steps: int = 0) -> None:
        self._context, self._parts, self._steps = context, parts, steps
        self._all_steps = max(steps + extra_steps, 1)  # variations of strength 0 take no step
        self._skipped = 0
        self._began_at = time.monotonic()

    def skip(self) -> None:
        """Count one part as complete without work: it says nothing about the time left."""
        self._skipped += 1

    def report(self, done: int, current: int, step: float) -> None:
        """Report that `done` parts are complete, and `step` steps of the parts up to number `current` (from 1).

        Raises what `LeaseRenewer.check_stop` raises.
        """
        self._context.renewer.check_stop()
        complete = done + (current - done) * min(step / self._all_steps, 1.0)
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
        worked = complete - self._skipped
        if worked <= 0:
            return None
        return round((time.monotonic() - self._began_at) * (self._parts - complete) / worked, 1)
