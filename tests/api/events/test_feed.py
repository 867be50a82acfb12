"""GET /v1/events: the events of all jobs of a caller in one stream, and what was missed after a reconnection."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from redis import Redis
from support import rows
from support.feed import FeedEvent, open_feed
from support.http import Api
from support.keys import holder
from support.valkey import Valkey
from support.waiting import until

from core.broker import events
from core.jobs import outcomes, requests


def summaries(found: Sequence[FeedEvent]) -> list[tuple[str, str, Any]]:
    """Return (job, event, status or iteration) of each event."""
    return [(one.data["job_id"], one.name, one.data.get("status", one.data.get("iteration"))) for one in found]


def test_a_running_stream_has_the_events_of_jobs_old_and_new(each_api: Api, valkey: Valkey) -> None:
    lease = rows.claimed(each_api.database)
    with open_feed(each_api) as feed, valkey.client() as redis:
        found = feed.take(1)
        second = rows.accept(each_api.database)
        each_api.client.post(f"/v1/jobs/{second}/cancel").raise_for_status()
        found += feed.take(1)
        each_api.client.post(f"/v1/jobs/{second}/resume").raise_for_status()
        found += feed.take(1)
        events.publish(redis, lease.job_id, "progress", {"iteration": 5})
        outcomes.succeed(each_api.database, lease, [], rows.DONE)
        events.publish(redis, lease.job_id, "done", {"status": "succeeded"})
        events.publish(redis, lease.job_id, "progress", {"iteration": 6})  # of a shard that does not know yet
        events.publish(redis, second, "progress", {"iteration": 1})
        found += feed.take(3)
    assert summaries(found) == [
        (lease.job_id, "status", "running"),
        (second, "done", "canceled"),
        (second, "status", "queued"),
        (lease.job_id, "progress", 5),
        (lease.job_id, "done", "succeeded"),
        (second, "progress", 1),
    ]
    assert found[0].data["attempt"] == 1
    assert len({one.id for one in found}) == 6


def test_events_after_last_event_id_are_replayed_once(api: Api, valkey: Valkey) -> None:
    leases = [rows.claimed(api.database), rows.claimed(api.database)]
    with valkey.client() as redis:
        with open_feed(api) as feed:
            feed.take(2)
            for iteration in range(3):
                events.publish(redis, leases[iteration % 2].job_id, "progress", {"iteration": iteration})
            before = feed.take(3)
        _fail(api, redis, leases[1])
        with open_feed(api, before[0].id) as feed:
            again = feed.take(3)
            events.publish(redis, leases[0].job_id, "progress", {"iteration": 9})
            again += feed.take(1)
    assert again[:2] == before[1:]
    assert summaries(again[2:]) == [(leases[1].job_id, "done", "failed"), (leases[0].job_id, "progress", 9)]
    assert again[2].data["error"] == {"type": "diverged", "detail": "it did"}


def test_what_the_broker_lost_is_sent_from_the_rows(api: Api, valkey: Valkey) -> None:
    ended, running = rows.claimed(api.database), rows.claimed(api.database)
    with valkey.client() as redis:
        with open_feed(api) as feed:
            feed.take(2)
            events.publish(redis, running.job_id, "progress", {"iteration": 1})
            (last,) = feed.take(1)
        _fail(api, redis, ended)
        valkey.flush()
        with open_feed(api, last.id) as feed:
            found = feed.take(2)
        assert summaries(found) == [(ended.job_id, "done", "failed"), (running.job_id, "status", "running")]
        assert found[0].data["error"]["type"] == "diverged"
        with open_feed(api, found[0].id) as feed:  # cut off in between: both are sent again
            assert summaries(feed.take(2)) == summaries(found)
        with open_feed(api, found[1].id) as feed:
            events.publish(redis, running.job_id, "progress", {"iteration": 2})
            until(lambda: summaries(feed.take(1)) == [(running.job_id, "progress", 2)])  # after others, again


def test_a_lost_end_is_sent_while_the_stream_is_open(api: Api) -> None:
    lease = rows.claimed(api.database)
    with open_feed(api) as feed:
        feed.take(1)
        outcomes.succeed(api.database, lease, [], rows.DONE)  # no event says so
        (done,) = feed.take(1)
    assert summaries([done]) == [(lease.job_id, "done", "succeeded")]


def test_a_job_that_ended_just_before_the_stream_began_is_sent(api: Api) -> None:
    lease = rows.claimed(api.database)
    outcomes.succeed(api.database, lease, [], rows.DONE)
    old = rows.accept(api.database)
    requests.cancel(api.database, old)
    rows.alter(api.database, old, finished_at=1.7e9)
    queued = rows.accept(api.database)
    with open_feed(api) as feed:
        assert summaries(feed.take(2)) == [(lease.job_id, "done", "succeeded"), (queued, "status", "queued")]


def test_a_key_sees_the_events_of_its_own_jobs_and_an_admin_all(api: Api, valkey: Valkey) -> None:
    ada, bob, root = (holder(api.database, name, admin=name == "root") for name in ("ada", "bob", "root"))
    jobs = {who.id: rows.accept(who.database, rows.sample(None)) for who in (ada, bob)}
    with ExitStack() as streams:
        feeds = [streams.enter_context(open_feed(api, who=who)) for who in (ada, bob, root)]
        assert [summaries(feed.take(1))[0][0] for feed in feeds[:2]] == [jobs[ada.id], jobs[bob.id]]
        feeds[2].take(2)
        for who in (bob, ada):
            answer = api.client.post(f"/v1/jobs/{jobs[who.id]}/cancel", headers=who.headers)
            assert answer.status_code == 202
        both = [(jobs[bob.id], "done", "canceled"), (jobs[ada.id], "done", "canceled")]
        assert summaries(feeds[0].take(1)) == both[1:]
        assert summaries(feeds[1].take(1)) == both[:1]
        assert sorted(summaries(feeds[2].take(2))) == sorted(both)
    with valkey.client() as redis:
        assert redis.xlen("genconvnet:events:feed:everyone") == 2


def test_many_streams_share_one_reader_of_the_broker(api: Api, valkey: Valkey) -> None:
    lease = rows.claimed(api.database)
    with ExitStack() as streams, valkey.client() as redis:
        feeds = [streams.enter_context(open_feed(api)) for _ in range(30)]
        for feed in feeds:
            feed.take(1)
        events.publish(redis, lease.job_id, "preview", {"step": 3, "url": "/v1/jobs/x"})
        found = [feed.take(1)[0] for feed in feeds]
        assert found == [found[0]] * 30
        until(lambda: sum("b" in one["flags"] for one in redis.client_list()) == 1)


def _fail(api: Api, redis: Redis, lease: rows.JobLease) -> None:
    error = {"type": "diverged", "detail": "it did"}
    outcomes.fail(api.database, lease, error)
    events.publish(redis, lease.job_id, "done", {"status": "failed", "error": error})
