"""What a finished job has made: written to a folder, and said."""

import json
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.exit_codes import sentence_of
from api.commands.following import follow
from api.commands.session import Session
from core.schemas.classification import MIN_EFFECTIVE_SAMPLES

if TYPE_CHECKING:
    from api.client import Job

Out = Annotated[
    Path,
    typer.Option(
        file_okay=False,
        help="Folder for the results. No file is overwritten: a name that exists gets the next number that is free. "
        "Without --out their names begin with their model's.",
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Post the job, print its id and end; needs a running service.")]
DEFAULT_OUT = Path("genconvnet-output")
NEWEST = 100  # models, as many as one page of their listing has


def follow_to_end(session: Session, job: "Job", detach: bool, after: str | None = None) -> "Job":
    """Follow a job that was posted, and return it when it has succeeded. Ctrl-C cancels it.

    If `detach`, print its id and exit. after: the id of the last event before that, of a job that is resumed.
    """
    if detach:
        if session.as_json:
            session.print_data(job)
        else:
            session.print_line(job.id)
        raise typer.Exit
    follow(session, job, cancel_on_interrupt=True, after=after)
    return job


def write_results(session: Session, job: "Job", out: Path) -> None:
    """Write the files of a job to the folder, print their paths, and say what else is worth knowing."""
    try:
        files = [str(path) for path in job.download(out, titled=out == DEFAULT_OUT)]
    except OSError as error:  # such as a full disk: what the job has made is still with the service
        again = f"`genconvnet jobs download {job.id} --out DIR` writes the job's files"
        raise OSError(f"{sentence_of(error)}; {again}") from error
    if session.as_json:
        session.print_data(job, files=files)
        return
    for path in files:
        session.print_line(path)
    for warning in job.metrics.get("remarks") or ():
        session.say(f"warning: {warning}")
    if job.status != "succeeded":
        session.say(f"job {job.id} is {job.status}: it has not made all of its results")
        return
    if job.kind == "train":
        name = model_names(session, [job.model_id]).get(job.model_id or "")
        learned = f"{name} ({job.model_id})" if name else job.model_id
        session.say(f"learned {learned}; `genconvnet sample {job.model_id}` draws more")
    if job.kind == "reconstruct":
        session.say(f"mean error: {job.metrics['mean_rmse']:.1f} grey levels")
    if job.kind == "classify":
        known = model_names(session, models_of(job))
        found = json.loads(job.read("classification.json"))
        by_own_pictures = found.get("compared_by") == "own_pictures"  # absent in older results
        known_well = all(one["effective_samples"] >= MIN_EFFECTIVE_SAMPLES for one in found["log_partitions"])
        for one in found["pictures"]:
            likely = one["most_likely"]
            probability = "" if by_own_pictures else f" ({one['probabilities'][likely]:.0%})"
            verdict = f"{known.get(likely) or likely}{probability}" if by_own_pictures or known_well else "undecided"
            session.say(f"{one['filename']}: {verdict}")


def models_of(job: "Job") -> list[str]:
    """Return the ids of the models that a job uses or has learned."""
    return [one for one in job.params.get("model_ids") or [job.model_id] if one]


def model_names(session: Session, ids: Iterable[str | None]) -> dict[str, str | None]:
    """Return what each of these models is called, by its id; without those that were deleted.

    Most are among the newest, which one request reads; the others are asked for one by one.
    """
    from api.client import NotFound

    wanted = {one for one in ids if one}
    if not wanted:
        return {}
    names = {one.id: one.name for one in islice(session.client.models.list(), NEWEST) if one.id in wanted}
    for model_id in wanted - names.keys():
        with suppress(NotFound):
            names[model_id] = session.client.models.show(model_id).name
    return names
