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
        self._began_at = time.monotonic()

    def report(self, done: int, current: int, step: float) -> None:
        """Report that `done` parts are complete, and `step` steps of the parts up to number `current` (from 1).

        Raises what `LeaseRenewer.check_stop` raises.
        """
        self._context.renewer.check_stop()
        fraction = (done + (current - done) * min(step / self._all_steps, 1.0)) / self._parts
        self._context.report_progress(
            Progress(
                stage=current,
                stages=self._parts,
                iteration=min(int(step), self._steps),
                iterations=self._steps,
                fraction=fraction,
                eta_seconds=round((time.monotonic() - self._began_at) * (1 / fraction - 1), 1) if fraction else None,
            )
        )
