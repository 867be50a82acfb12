"""Those who follow a job are told that its worker is silent (api/operations/silent_jobs.py)."""

from support import rows
from support.feed import open_feed
from support.http import Api
from support.valkey import Valkey

from api.operations.silent_jobs import SilentJobsReporter
from core.jobs import leases, running


def test_one_event_tells_of_each_silence(api: Api, valkey: Valkey) -> None:
    lease, other = rows.claimed(api.database), rows.claimed(api.database)
    for one in (lease, other):
        running.record(api.database, one, rows.DONE.model_copy(update={"iteration": 3, "eta_seconds": 40.0}))
    with valkey.client() as redis, open_feed(api) as feed:
        feed.take(2)
        reporter = SilentJobsReporter(api.database, redis, heartbeat_seconds=60.0)
        reporter.report()
        rows.silence(api.database, lease.job_id)
        for _ in range(3):
            reporter.report()
        leases.renew(api.database, lease, rows.LONG)
        reporter.report()
        rows.silence(api.database, lease.job_id)
        rows.silence(api.database, other.job_id)
        reporter.report()
        found = feed.take(3)
    shown = api.client.get(f"/v1/jobs/{lease.job_id}").json()["progress"]
    assert (shown["iteration"], shown["eta_seconds"], shown["silent"]) == (3, None, True)
    assert [one.data["job_id"] for one in found[:1]] == [lease.job_id]
    assert {one.data["job_id"] for one in found[1:]} == {lease.job_id, other.job_id}
    told = [(one.name, *(one.data[name] for name in ("iteration", "eta_seconds", "silent"))) for one in found]
    assert told == [("progress", 3, None, True)] * 3
