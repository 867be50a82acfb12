"""What a finished job has made: written to a folder, and said."""

import errno
import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from support import rows
from support.http import Api

from api.client import Job
from api.commands import results
from api.commands.results import follow_to_end, model_names, models_of, write_results
from api.commands.session import Session
from core.jobs import outcomes
from core.jobs.requests import NewJob
from core.jobs.results import NewArtifact
from core.storage import models


def _ended(
    session: Session, api: Api, new: NewJob, content: bytes = b"abc", metrics: dict[str, Any] | None = None
) -> Job:
    """Return a job that has succeeded with one file, of this content."""
    lease = rows.claimed(api.database, new)
    name = "classification.json" if new.kind == "classify" else "synthesized-000.png"
    made = NewArtifact(name, "image/png", api.blobs.put(lease.path(name), content), 8, 8)
    model = rows.new_model() if new.kind == "train" else None
    outcomes.succeed(api.database, lease, [made], rows.DONE, metrics=metrics, model=model)
    return session.client.jobs.show(lease.job_id)


def test_files_are_written_and_their_paths_printed(
    session: Session, api: Api, tmp_path: Path, said: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    job = _ended(session, api, rows.train(), metrics={"remarks": ["one picture is small"]})
    assert job.model_id is not None
    models.rename(api.database, job.model_id, "bricks")
    write_results(session, job, tmp_path)
    (path,) = capsys.readouterr().out.splitlines()
    assert Path(path).read_bytes() == b"abc"
    warning, learned = said.getvalue().splitlines()
    assert warning == "warning: one picture is small"
    assert learned == f"learned bricks ({job.model_id}); `genconvnet sample {job.model_id}` draws more"


def test_a_job_that_has_not_succeeded_says_that_results_are_missing(
    session: Session, api: Api, tmp_path: Path, said: io.StringIO
) -> None:
    job = session.client.jobs.show(rows.accept(api.database)).cancel()
    write_results(session, job, tmp_path)
    assert said.getvalue() == f"job {job.id} is canceled: it has not made all of its results\n"


def test_if_nothing_can_be_written_the_command_that_writes_it_later_is_named(
    session: Session, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _ended(session, api, rows.train())

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "a.png")

    monkeypatch.setattr(Job, "download", full)
    with pytest.raises(OSError, match=f"a.png: No space left on device; `genconvnet jobs download {job.id}"):
        write_results(session, job, tmp_path)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({"log_partitions": [{"effective_samples": 500.0}] * 2}, "a.png: bricks (75%)"),
        ({"log_partitions": [{"effective_samples": 500.0}, {"effective_samples": 1.5}]}, "a.png: undecided"),
        ({"log_partitions": [{"effective_samples": 1.5}], "compared_by": "own_pictures"}, "a.png: bricks"),
    ],
)
def test_a_verdict_is_given_as_far_as_the_models_can_be_compared(
    session: Session, api: Api, tmp_path: Path, said: io.StringIO, found: dict[str, Any], verdict: str
) -> None:
    bricks, grass = rows.add_model(api.database), rows.add_model(api.database)
    models.rename(api.database, bricks, "bricks")
    one = {"filename": "a.png", "most_likely": bricks, "probabilities": {bricks: 0.75, grass: 0.25}}
    content = json.dumps({**found, "pictures": [one]}).encode()
    write_results(session, _ended(session, api, rows.classify(bricks, grass), content), tmp_path)
    assert said.getvalue() == f"{verdict}\n"


def test_a_detached_job_prints_its_id(session: Session, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    job = session.client.jobs.show(rows.accept(api.database))
    with pytest.raises(typer.Exit) as ended:
        follow_to_end(session, job, detach=True)
    assert (ended.value.exit_code, capsys.readouterr().out) == (0, f"{job.id}\n")


def test_the_names_of_models_are_read_from_the_newest_or_one_by_one(
    session: Session, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "NEWEST", 1)
    older, newest = (rows.add_model(api.database) for _ in range(2))
    for model_id, name in ((older, "grass"), (newest, "bricks")):
        models.rename(api.database, model_id, name)
    assert model_names(session, [older, newest, "model_deleted", None]) == {older: "grass", newest: "bricks"}
    assert model_names(session, [None]) == {}


def test_the_models_of_a_job_are_those_that_it_compares_or_its_own(session: Session, api: Api) -> None:
    ids = [rows.add_model(api.database) for _ in range(2)]
    compared = rows.accept(api.database, rows.classify(*ids))
    assert models_of(session.client.jobs.show(compared)) == ids
    assert models_of(session.client.jobs.show(rows.accept(api.database, rows.sample(ids[0])))) == ids[:1]
    assert models_of(session.client.jobs.show(rows.accept(api.database))) == []
