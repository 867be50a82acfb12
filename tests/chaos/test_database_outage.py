"""The database is away for longer than a lease: it costs time, never a job."""

import time
from collections.abc import Callable

from chaos.rig import LEASE_SECONDS, TRAIN, Rig
from support import postgres

ITERATIONS = 250
OUTAGE_SECONDS = LEASE_SECONDS + 2


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
