"""`genconvnet jobs` beside a service whose jobs do nothing."""

import json

import pytest
from support import rows
from support.http import Api

from api.commands.jobs import listing
from api.commands.session import Session
from core.storage import models


def test_jobs_are_listed_with_the_names_of_their_models(
    session: Session, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    named, unnamed = (rows.add_model(api.database) for _ in range(2))
    models.rename(api.database, named, "bricks")
    dataset = rows.add_dataset(api.database, "walls")
    compared = rows.accept(api.database, rows.classify(named, unnamed, dataset_id=dataset.id))
    listing(session, limit=1)
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["id", "kind", "status", "done", "created", "pictures", "model"]
    assert row.startswith(f"{compared}  classify  queued  0%")
    assert row.endswith(f"walls     bricks, {unnamed}")


def test_as_json_each_job_is_a_line(session: Session, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [rows.accept(api.database) for _ in range(3)]
    listing(Session(session.client, True, session.console, embedded=False), limit=2)
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ids[:0:-1]
