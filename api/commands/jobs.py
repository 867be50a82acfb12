"""`genconvnet jobs` lists, shows, follows, cancels, resumes, downloads and deletes jobs."""

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.following import follow
from api.commands.results import DEFAULT_OUT, Detach, Out, follow_to_end, model_names, models_of, write_results
from api.commands.session import Session, service_command, table_time
from api.commands.validation_messages import naming_options
from core.schemas.jobs import JobKind, JobStatus, Queue

if TYPE_CHECKING:
    from api.client import Job

app = typer.Typer(
    name="jobs", help="List, show, watch, cancel, resume, download and delete jobs.", no_args_is_help=True
)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id.")]


@service_command(app, "list", example="genconvnet jobs list --status running")
def listing(
    session: Session,
    kind: Annotated[JobKind | None, typer.Option(help="Only jobs of this kind.")] = None,
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs of this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of jobs, counted from the newest.")] = 50,
) -> None:
    """List jobs, newest first."""
    found: Iterable[Job] = islice(session.client.jobs.list(kind=kind, status=status), limit)
    names: Mapping[str, str | None] = {}
    if not session.as_json:
        found = list(found)
        names = model_names(session, (model_id for job in found for model_id in models_of(job)))
    row = partial(_row, names=names)
    session.list(found, ("id", "kind", "status", "done", "created", "pictures", "model"), row)


def _row(job: "Job", names: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return a line of the table. names: what each model is called, by its id."""
    done = f"{job.progress.fraction:.0%}"
    created = table_time(job.created_at)
    models = ", ".join(names.get(model_id) or model_id for model_id in models_of(job))
    return (job.id, job.kind.value, job.status.value, done, created, job.dataset_name or "", models)


@service_command(app, "show", example="genconvnet jobs show job_…")
def show(session: Session, job: JobId) -> None:
    """Show a job: its progress, parameters, measurements and files."""
    session.show(session.client.jobs.show(job))


@service_command(app, "watch", example="genconvnet jobs watch job_…", queues=tuple(Queue))
def watch(session: Session, job: JobId) -> None:
    """Show a job's progress until it has ended; exit code 1 if it does not succeed. Ctrl-C only stops watching."""
    watched = session.client.jobs.show(job)
    if watched.ended:
        watched.raise_unless_succeeded()
    else:
        follow(session, watched, cancel_on_interrupt=False)
    session.done(f"job {watched.id} has succeeded", watched)


@service_command(app, "cancel", example="genconvnet jobs cancel job_…")
def cancel(session: Session, job: JobId) -> None:
    """Cancel a job. A running one ends within 2 s."""
    found = session.client.jobs.show(job)
    found.cancel()
    session.done(f"job {found.id} was canceled", found)


@service_command(app, "resume", example="genconvnet jobs resume job_… --iterations 1000", queues=tuple(Queue))
def resume(
    session: Session,
    job: JobId,
    iterations: Annotated[int | None, typer.Option(min=1, help="Iterations to reach in all.")] = None,
    canvas_iterations: Annotated[
        int | None, typer.Option(min=1, help="Iterations to reach on the canvas, of a job that has one.")
    ] = None,
    out: Out = DEFAULT_OUT,
    detach: Detach = False,
) -> None:
    """Continue a job from its last checkpoint, and write its results. Ctrl-C cancels it."""
    found = session.client.jobs.show(job)
    known = [event.id for event in found.events()] if found.ended else [None]
    with naming_options(resume):
        found.resume(iterations=iterations, canvas_iterations=canvas_iterations)
    write_results(session, follow_to_end(session, found, detach, known[-1]), out)


@service_command(app, "download", example="genconvnet jobs download job_… --out pictures")
def download(session: Session, job: JobId, out: Out = DEFAULT_OUT) -> None:
    """Write a job's files to a folder."""
    write_results(session, session.client.jobs.show(job), out)


@service_command(app, "delete", example="genconvnet jobs delete job_…")
def delete(session: Session, job: JobId) -> None:
    """Delete a job and its files. The model that it learned stays."""
    found = session.client.jobs.show(job)
    found.delete()
    session.done(f"job {found.id} was deleted", found)
