"""The broker is away for longer than a lease: it costs time, never a job."""

import time

from chaos.rig import LEASE_SECONDS, Rig

ITERATIONS = 250
OUTAGE_SECONDS = LEASE_SECONDS + 2


def test_accepted_jobs_survive_a_long_outage_of_the_broker(rig: Rig) -> None:
    client = rig.client
    training = client.train(iterations=ITERATIONS)
    client.running(training)
    with rig.slow_training(), rig.down("broker"):
        meanwhile = client.train()
        assert client.http.get("/readyz").status_code == 503
        time.sleep(OUTAGE_SECONDS)
    assert client.succeeded(training)["attempt"] == 1
    assert client.succeeded(meanwhile)["attempt"] == 1
