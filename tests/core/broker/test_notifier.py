"""Notifications are messages in a queue, and no one waits for a broker that is away."""

from collections.abc import Iterator

import pytest
from redis import Redis
from support.valkey import Valkey, messages

from core.broker.notifier import JobNotifier
from core.schemas.jobs import Queue


@pytest.fixture
def notifier(valkey: Valkey) -> Iterator[JobNotifier]:
    opened = JobNotifier(valkey.url)
    yield opened
    opened.close()


def test_a_notification_is_a_message_with_the_jobs_id_in_its_queue(notifier: JobNotifier, redis: Redis) -> None:
    assert notifier.notify(Queue.TRAIN, "job_a")
    assert notifier.notify(Queue.SAMPLE, "job_b")
    assert (messages(redis), messages(redis, Queue.SAMPLE)) == (["job_a"], ["job_b"])
    assert (notifier.pending(Queue.TRAIN), notifier.pending(Queue.SAMPLE)) == (1, 1)


@pytest.mark.parametrize("url", ["unix:///nowhere/none.sock", "redis://127.0.0.1:1/0"])
def test_a_notification_does_not_wait_for_a_broker_that_is_away(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client waits for its answer meanwhile."""
    for pause in ("redis.retry.sleep", "kombu.utils.functional.sleep"):
        monkeypatch.setattr(pause, lambda seconds: pytest.fail(f"the notifier sleeps {seconds} s"))
    notifier = JobNotifier(url)
    for _ in range(3):
        assert not notifier.notify(Queue.TRAIN, "job_a")
    notifier.close()
