"""What is logged beside a job's work bears the job's ids too."""

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs
from support import rows
from support.waiting import until

from core.storage.database import Database
from worker.lease import LeaseRenewer


def test_the_thread_that_renews_a_lease_logs_with_the_jobs_request(sqlite_database: Database) -> None:
    held = rows.claimed(sqlite_database)
    with capture_logs(processors=[merge_contextvars]) as logged, bound_contextvars(request_id="the-request"):
        lease = LeaseRenewer(sqlite_database, held, lease_seconds=60, heartbeat_seconds=0.02, stopping=lambda: False)
        with lease:
            rows.alter(sqlite_database, held.job_id, token=held.token + 1)
            until(lambda: logged)
    (line,) = logged
    assert (line["event"], line["job_id"], line["request_id"]) == ("lease_lost", held.job_id, "the-request")
    assert structlog.contextvars.get_contextvars() == {}
