"""When a job shows a preview: often while its pictures change fast, and never at a cost that the job notices."""

import time
from collections.abc import Callable

from torch import Tensor

from worker.job_context import JobContext

MIN_SECONDS = 0.3  # between two previews, unless `preview_seconds` is less
FIRST_SHARE = 0.06  # of `preview_seconds`, before the first preview of jobs that are often done by then
COST_FACTOR = 20.0  # the time between two previews, at least so many times what the last one took
GROWTH = 1.1  # a stage has gone on enough for another preview when its iterations have grown by this factor


class Previews:
    """The previews of one attempt at a job.

    The first shows what the work began with. The next ones follow when the stage is another, when its iterations have
    grown by GROWTH, or `preview_seconds` after the last: most of what is seen to change changes early.
    """

    def __init__(self, context: JobContext, first_after_seconds: float = 0.0) -> None:
        """first_after_seconds: jobs that are done by then have no previews."""
        self._context, self._interval = context, context.settings.preview_seconds
        self._may_come_at = time.monotonic() + first_after_seconds
        self._wanted_at = self._may_come_at
        self._last: tuple[int, int] | None = None  # stage and iteration

    def publish_when_due(self, step: int, stage: int, iteration: int, draw: Callable[[], Tensor]) -> None:
        """Publish what `draw` returns, pixels (C, H, W) in uint8, if a preview is due; see `publish_preview`."""
        if not self._is_due(stage, iteration):
            return
        began_at = time.monotonic()
        self._context.publish_preview(step, stage, iteration, draw())
        ended_at = time.monotonic()
        self._last = stage, iteration
        self._may_come_at = ended_at + max(min(MIN_SECONDS, self._interval), COST_FACTOR * (ended_at - began_at))
        self._wanted_at = ended_at + self._interval

    def _is_due(self, stage: int, iteration: int) -> bool:
        now = time.monotonic()
        if now < self._may_come_at:
            return False
        if self._last is None or now >= self._wanted_at:
            return True
        last_stage, last_iteration = self._last
        return stage != last_stage or iteration >= GROWTH * last_iteration
