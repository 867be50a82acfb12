"""How far a job of several equal parts has come, told step by step."""

import time

from core.schemas.jobs import Progress
from worker.job_context import JobContext


class ProgressReporter:
    """`parts` in turn, of `steps` steps each at the most, and `after` more that are not shown as such."""

    def __init__(self, desk: JobContext, parts: int, steps: int, after: int = 0) -> None:
        self._desk, self._parts, self._steps, self._all = desk, parts, steps, steps + after
        self._began_at = time.monotonic()

    def tell(self, done: int, current: int, step: float) -> None:
        """`done` parts are over, `step` of the next ones is too; `current`, from 1, is the last that is worked on.

        Raises what `LeaseRenewer.check` raises where there is reason to stop.
        """
        self._desk.lease.check()
        fraction = (done + (current - done) * min(step / self._all, 1.0)) / self._parts
        self._desk.progress(
            Progress(
                stage=current,
                stages=self._parts,
                iteration=min(int(step), self._steps),
                iterations=self._steps,
                fraction=fraction,
                eta_seconds=round((time.monotonic() - self._began_at) * (1 / fraction - 1), 1) if fraction else None,
            )
        )
