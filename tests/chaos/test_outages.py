"""A part is away for long, or the clock is not what it was: it costs time, never a job."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from chaos.requests import Asking
from chaos.rig import LEASE_SECONDS, Rig
from support import postgres

OUTAGE_SECONDS = 2 * LEASE_SECONDS
JUMPY = """
import os, time
_real, _began = time.time, time.monotonic()
def _jumping():
    return _real() + (0.0, {hour}, -{hour})[int((time.monotonic() - _began) / 2) % 3]
time.time = _jumping
"""


def test_a_database_that_is_away_for_long_costs_a_learning_job_time_alone(start_rig: Callable[..., Rig]) -> None:
    with postgres.own() as server:
        rig = start_rig(server.url.render_as_string(hide_password=False))
        ask = Asking(rig)
        job_id = ask.train(iterations=1500)
        ask.learning(job_id)
        server.stop()
        assert ask.client.post("/v1/jobs", json={"kind": "sample", "model_id": "none"}).status_code == 503
        time.sleep(OUTAGE_SECONDS)
        server.start()
        ask.succeeded(job_id)
        series = ask.client.get(f"/v1/jobs/{job_id}/metrics").json()["data"]
        assert [point["step"] for point in series] == list(range(1, 1501))
        rig.close()


def test_a_broker_that_is_away_for_long_costs_accepted_jobs_time_alone(rig: Rig) -> None:
    ask = Asking(rig)
    learning = ask.train(iterations=1500)
    ask.learning(learning)
    with rig.down("broker"):
        meanwhile = ask.train()
        assert ask.client.get("/readyz").status_code == 503
        time.sleep(OUTAGE_SECONDS)
    assert ask.succeeded(learning)["attempt"] == 1
    assert ask.succeeded(meanwhile)["attempt"] == 1


@pytest.mark.parametrize("hour", [3600])
def test_wall_clocks_of_processes_that_jump_do_not_matter(
    start_rig: Callable[..., Rig], tmp_path: Path, hour: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(JUMPY.format(hour=hour))
    ask = Asking(start_rig(PYTHONPATH=str(tmp_path)))
    job = ask.succeeded(ask.train(iterations=1500))
    assert job["attempt"] == 1
