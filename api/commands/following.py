"""Follows a job until it has ended, with its progress on standard error."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import ROUND_HALF_UP, Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import typer

from api.commands import preview
from api.commands.exit_codes import code_of_interrupt
from api.commands.session import Session
from core.schemas.jobs import JobKind, JobStatus, Progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from api.client import Event, Job

UNIT_SECONDS = {"s": 1, "min": 60, "h": 3600, "days": 86400}
ACTIVITIES = {  # as in the studio (api/web/studio/parts/status.js)
    JobKind.TRAIN: "learning",
    JobKind.SAMPLE: "drawing",
    JobKind.RECONSTRUCT: "reconstructing",
    JobKind.INPAINT: "filling in",
    JobKind.CLASSIFY: "classifying",
}
FINISHING = "measuring and storing the results"
SILENT = "its worker has not been heard from"
SECONDS_BETWEEN_PLACES = 2.0


def follow(session: Session, job: "Job", *, cancel_on_interrupt: bool, after: str | None = None) -> None:
    """Show the job's progress until it has ended, and bring it up to date.

    Raises JobFailed or JobCanceled, and Unreachable if the service goes away and does not come back; the job is kept.
    cancel_on_interrupt: Ctrl-C and SIGTERM cancel the job. In any case they end the command, with code 130 or 143.
    after: the id of the last event that is known already.
    """
    from api.client import Unreachable

    try:
        with _display(session, job) as display:
            for event in job.events(after):
                display.show(event)
        job.refresh()
    except KeyboardInterrupt as interrupt:
        if cancel_on_interrupt:
            cancel(session, job)
        else:
            session.say(f"job {job.id} goes on" + (" when a service runs again" if session.embedded else ""))
        raise typer.Exit(code_of_interrupt(interrupt)) from None
    except Unreachable:
        session.say(f"job {job.id} is kept; `genconvnet jobs watch {job.id}` follows it when the service is back")
        raise
    job.raise_unless_succeeded()


def cancel(session: Session, job: "Job") -> None:
    """Cancel the job and say so; if it has ended meanwhile, say that."""
    from api.client import Conflict

    try:
        job.cancel()
    except Conflict:
        session.say(f"job {job.id} has already ended")
    else:
        session.say(f"job {job.id} was canceled")


class Display(Protocol):
    def show(self, event: "Event") -> None: ...


@contextmanager
def _display(session: Session, job: "Job") -> Iterator[Display]:
    if session.console.is_terminal:
        with LiveDisplay(session, job) as live:
            yield live
    else:
        yield PlainDisplay(session, job)


class PlainDisplay:
    """A line for each change of the status or of the part of the work; for logs."""

    def __init__(self, session: Session, job: "Job") -> None:
        self._session, self._job = session, job
        self._said = ""

    def show(self, event: "Event") -> None:
        if self._session.as_json:
            return
        line = event.status if event.progress is None else _activity(self._job, event.progress)
        if event.status == JobStatus.QUEUED:
            line = _queued_text(self._job)
        if line is not None and line != self._said:
            self._session.say(f"{self._job.kind} {self._job.id}: {line}")
            self._said = line


class LiveDisplay:
    """A bar with the part of the work and the time left and, if the terminal can, the latest preview above it.

    While the job is queued it asks where the job stands now: that other jobs start and end is no event of this one.
    """

    def __init__(self, session: Session, job: "Job") -> None:
        from rich.live import Live
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar

        self._session, self._job = session, job
        self._previews = preview.can_draw(session.console)
        self._picture: Any = None
        texts = (TextColumn("{task.description}"), TextColumn("{task.fields[about]}"))
        self._bar = Bar(texts[0], BarColumn(), TaskProgressColumn(), texts[1], console=session.console)
        self._task = self._bar.add_task(ACTIVITIES[job.kind], total=1.0, about=_status_text(job))
        self._live = Live(
            console=session.console, get_renderable=self._renderable, refresh_per_second=4, transient=True
        )
        self._is_queued = job.status == JobStatus.QUEUED
        self._changing = threading.Lock()  # what the bar says, and whether the job is queued
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        self._live.__enter__()
        threading.Thread(target=self._keep_place, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed.set()
        self._live.__exit__(kind, error, at)
        if self._picture is not None:
            self._picture.cleanup()

    def show(self, event: "Event") -> None:
        if (progress := event.progress) is not None:
            self._say(progress_text(self._job, progress), completed=progress.fraction)
        elif event.name == "preview" and self._previews:
            self._show_preview()
        elif event.status == JobStatus.QUEUED:
            self._say(_queued_text(self._job), is_queued=True)
        elif event.status is not None:
            self._say(event.status, completed=1.0 if event.status == JobStatus.SUCCEEDED else None)

    def _say(self, about: str, completed: float | None = None, is_queued: bool = False) -> None:
        with self._changing:
            self._is_queued = is_queued
            self._bar.update(self._task, completed=completed, about=about)

    def _keep_place(self) -> None:
        from api.client import ClientError

        while not self._closed.wait(SECONDS_BETWEEN_PLACES):
            if not self._is_queued:
                continue
            with suppress(ClientError, RuntimeError):  # the service is away, which the events say; the client is closed
                place = _queued_text(self._job)
                with self._changing:
                    if self._is_queued and self._job.status == JobStatus.QUEUED:
                        self._bar.update(self._task, about=place)

    def _show_preview(self) -> None:
        from api.client import NotFound

        try:
            content = self._job.read("preview.png")
        except NotFound:  # replaced or deleted meanwhile
            return
        replaced, self._picture = self._picture, preview.renderable(content, self._session.console)
        if replaced is not None:
            replaced.cleanup()

    def _renderable(self) -> "RenderableType":
        from rich.console import Group

        return self._bar if self._picture is None else Group(self._picture, self._bar)


def _queued_text(job: "Job") -> str:
    """Read a job that was queued, perhaps again, and return its status, with where it stands in the queue now."""
    job.refresh()
    return _status_text(job)


def _status_text(job: "Job") -> str:
    """Return a job's status when it was read and, if it had to wait, where it stood in the queue and for what."""
    running = [
        ACTIVITIES[one.kind] + (f" ({_duration(one.eta_seconds)} left)" if one.eta_seconds else "")
        for one in job.waits_for or ()
    ]
    place = f", place {job.queue_position} in the queue" if (job.queue_position or 0) > 1 else ""
    return f"{job.status}{place}" + (f", after {', '.join(running)}" if running else "")


def progress_text(job: "Job", progress: Progress) -> str:
    """Return where a job is in its work, in the words of the studio."""
    if _is_finishing(job, progress):
        return f"{FINISHING}, {SILENT}" if progress.silent else FINISHING
    part = f"{name}, " if (name := _part(job, progress)) else ""
    left = "" if progress.eta_seconds is None else f", {_duration(progress.eta_seconds)} left"
    return f"{part}step {progress.iteration} of {progress.iterations}" + (f", {SILENT}" if progress.silent else left)


def _activity(job: "Job", progress: Progress) -> str:
    if progress.silent:
        return SILENT
    return FINISHING if _is_finishing(job, progress) else _part(job, progress) or ACTIVITIES[job.kind]


def _part(job: "Job", progress: Progress) -> str:
    """Return the part of its work that a job is at, in the words of the studio; "" if it is not divided.

    Layers are learned one after the other, or together; with a canvas on windows of the picture, before which a coarse
    picture may be learned. Of objects, small pictures may be learned first.
    """
    if job.kind != JobKind.TRAIN:
        return f"part {progress.stage} of {progress.stages}" if progress.stages > 1 else ""
    coarse, canvas = (bool(job.params.get(name)) for name in ("coarse_iterations", "canvas_iterations"))
    layer, layers = progress.stage - coarse, progress.stages - coarse - canvas
    if layer < 1:
        return "coarse picture" if progress.stage else ""  # the worker has not said yet where it is
    if layer > layers:
        return "canvas"
    if layers > 1:
        return f"layer {layer} of {layers}"
    if canvas:
        return "windows"
    return "full size" if coarse else ""


def _is_finishing(job: "Job", progress: Progress) -> bool:
    """Return True if all is learned, and the results are being measured and stored.

    A job that goes on after its end has a fraction of 1.
    """
    learned = (progress.stage, progress.iteration) == (progress.stages, progress.iterations)
    return job.kind == JobKind.TRAIN and learned and progress.iteration > 0 and progress.fraction < 1


def rounded_duration(seconds: float) -> str:
    """Return a duration in one unit, as the studio says it."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 90:
        return f"{_rounded(seconds)} s"
    if seconds < 90 * UNIT_SECONDS["min"]:
        return f"{_rounded(seconds / UNIT_SECONDS['min'])} min"
    if seconds <= 48 * UNIT_SECONDS["h"]:
        return f"{_rounded(seconds / UNIT_SECONDS['h'], '0.1')} h"
    return f"{_rounded(seconds / UNIT_SECONDS['days'])} days"


def rounded_range(least: float, most: float) -> str:
    """Return a range of seconds, as the studio says it: one duration if both read alike.

    Both are in the unit of the longer, if the shorter is at least 1 of it.
    """
    shortest, longest = rounded_duration(least), rounded_duration(most)
    unit = longest.split()[-1]
    if shortest == longest:
        return longest
    if least < UNIT_SECONDS[unit]:
        return f"{shortest} to {longest}"
    number, unit_of_shortest = shortest.split()
    return f"{number if unit_of_shortest == unit else _rounded(least / UNIT_SECONDS[unit], '0.1')} to {longest}"


def _rounded(number: float, to: str = "1") -> str:
    """Return a number rounded as by JavaScript: halves up."""
    return f"{Decimal(number).quantize(Decimal(to), ROUND_HALF_UP):,}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
