"""The thread that renews a lease (worker/lease_renewer.py); test_runner.py and test_work_process.py use it in full."""

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs
from support import rows
from support.waiting import until

from core.storage.database import Database
from worker.lease_renewer import LeaseRenewer


def test_its_log_lines_carry_the_request_id_of_the_job(sqlite_database: Database) -> None:
    lease = rows.claimed(sqlite_database)
    with capture_logs(processors=[merge_contextvars]) as logged, bound_contextvars(request_id="the-request"):
        renewer = LeaseRenewer(sqlite_database, lease, lease_seconds=60, heartbeat_seconds=0.02, stopping=lambda: False)
        with renewer:
            rows.alter(sqlite_database, lease.job_id, token=lease.token + 1)
            until(lambda: logged)
    (line,) = logged
    assert (line["event"], line["job_id"], line["request_id"]) == ("lease_lost", lease.job_id, "the-request")
    assert structlog.contextvars.get_contextvars() == {}
