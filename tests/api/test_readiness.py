"""/readyz and /metrics while parts of the service are away, silent, or of another release."""

import os
import signal
import time

import pytest
from sqlalchemy import text
from support.http import Api, problem
from support.valkey import Valkey

from core.broker.presence import leave_samples
from core.contracts.jobs import Queue

BROKERS = ["broker", "worker:train", "worker:sample"]


def _missing(api: Api) -> dict[str, str]:
    return {part["field"]: part["message"] for part in problem(api.client.get("/readyz"), 503)["errors"]}


def test_a_silent_broker_is_named_in_time_and_found_when_it_speaks(own_api: Api, own_valkey: Valkey) -> None:
    assert own_valkey._process is not None
    os.kill(own_valkey._process.pid, signal.SIGSTOP)
    try:
        for _ in range(2):
            began_at = time.monotonic()
            assert list(_missing(own_api)) == BROKERS
            told = own_api.client.get("/metrics").raise_for_status().text
            assert time.monotonic() - began_at < 10
            assert 'genconvnet_up{part="broker"} 0.0' in told
            assert 'genconvnet_up{part="database"} 1.0' in told
            assert 'genconvnet_jobs{kind="train",status="queued"} 0.0' in told
    finally:
        os.kill(own_valkey._process.pid, signal.SIGCONT)
    deadline = time.monotonic() + 20
    while "broker" in _missing(own_api):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_killed_broker_is_named(own_api: Api, own_valkey: Valkey) -> None:
    own_valkey.stop()
    assert list(_missing(own_api)) == BROKERS
    assert 'genconvnet_up{part="broker"} 0.0' in own_api.client.get("/metrics").raise_for_status().text


@pytest.mark.parametrize(
    "left",
    ["genconvnet_x{", "\x00\xff", "# TYPE genconvnet_x nonsense\ngenconvnet_x 1\n", 'genconvnet_x{a="b} 1', "{} 1"],
)
def test_what_no_worker_would_leave_is_passed_over(api: Api, valkey: Valkey, left: str) -> None:
    good = "# HELP genconvnet_y_total Y.\n# TYPE genconvnet_y_total counter\ngenconvnet_y_total 3.0\n"
    with valkey.client() as redis:
        leave_samples(redis, "bad", left)
        leave_samples(redis, "good", good)
        leave_samples(redis, "other", good.replace("genconvnet", "others"))
    time.sleep(1.1)  # longer than an answer is kept
    told = api.client.get("/metrics").raise_for_status().text
    assert 'genconvnet_y_total{worker="good"} 3.0' in told
    assert "others_y" not in told


def test_another_schema_is_told_from_a_database_that_is_away(own_api: Api) -> None:
    for other, advice in (("0003", "start the API anew"), ("9999", "newer release")):
        with own_api.database.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :other"), {"other": other})
        missing = _missing(own_api)
        assert advice in missing["schema"]
        assert "database" not in missing
    with own_api.database.write() as session:
        session.execute(text("DROP TABLE jobs"))
    told = own_api.client.get("/metrics").raise_for_status().text
    assert 'genconvnet_up{part="database"} 0.0' in told
    assert all(f'genconvnet_workers{{queue="{queue.value}"}} 0.0' in told for queue in Queue)


def test_a_full_disk_is_named(tmp_path, own_valkey: Valkey) -> None:
    url = f"sqlite:///{tmp_path / 'rows.sqlite3'}"
    api = Api(tmp_path, own_valkey.url, url, GENCONVNET_MIN_FREE_BYTES=str(1 << 60))
    assert "bytes are free" in _missing(api)["disk"]
    api.stop()
