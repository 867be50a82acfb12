"""A part is away for a long time, or a clock jumps: it costs time, never a job."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from chaos.rig import LEASE_SECONDS, ROOT, TRAIN, Rig
from support import postgres
from support.models import model_file

ITERATIONS = 130
OUTAGE_SECONDS = LEASE_SECONDS + 2
HOUR = 3600
JUMPING_CLOCK = f"""
import time
_real, _started = time.time, time.monotonic()
def _jumping():
    return _real() + (0.0, {HOUR}, -{HOUR})[int((time.monotonic() - _started) / 2) % 3]
time.time = _jumping
"""


def test_a_training_job_survives_a_long_outage_of_the_database(start_rig: Callable[..., Rig]) -> None:
    with postgres.own() as server:
        rig = start_rig(database_url=server.url.render_as_string(hide_password=False), only=(TRAIN,))
        client = rig.client
        job_id = client.train(iterations=ITERATIONS)
        client.running(job_id)
        with rig.slow_training():
            server.stop()
            body = {"kind": "sample", "model_id": "none"}
            assert client.http.post("/v1/jobs", json=body).status_code == 503
            time.sleep(OUTAGE_SECONDS)
        server.start()
        client.succeeded(job_id)
        assert [point["step"] for point in client.series(job_id)] == list(range(1, ITERATIONS + 1))
        rig.close()


def test_accepted_jobs_survive_a_long_outage_of_the_broker(rig: Rig) -> None:
    """Jobs wait for a busy worker; an idle one finds them without the broker."""
    client = rig.client
    sample = {"kind": "sample", "model_id": client.import_model(model_file()), "params": {"count": 1, "steps": 2}}
    training = client.train(iterations=ITERATIONS)
    client.running(training)
    with rig.slow_training(), rig.down("broker"):
        meanwhile = client.train()
        assert client.http.get("/readyz").status_code == 503
        client.succeeded(client.post_job(sample))
        time.sleep(OUTAGE_SECONDS)
    assert client.succeeded(training)["attempt"] == 1
    assert client.succeeded(meanwhile)["attempt"] == 1


def test_jumping_wall_clocks_of_processes_do_not_matter(start_rig: Callable[..., Rig], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(JUMPING_CLOCK)
    rig = start_rig(only=(TRAIN,), PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    job_id = rig.client.train(iterations=ITERATIONS)
    rig.client.running(job_id)
    with rig.slow_training():
        time.sleep(6)  # the clocks jump forward, back, and to the right time
    assert rig.client.succeeded(job_id)["attempt"] == 1
