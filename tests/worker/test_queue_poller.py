"""Polling for the next job after one (worker/queue_poller.py)."""

import threading

import pytest

import worker.queue_poller
from worker.queue_poller import QueuePoller


def test_it_polls_for_a_while_after_each_job(monkeypatch):
    monkeypatch.setattr(worker.queue_poller, "POLL_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(worker.queue_poller, "POLL_DURATION_SECONDS", 0.1)
    polls, polled = [], threading.Event()

    def poll():
        polls.append(None)
        polled.set()

    poller = QueuePoller(poll, idle_seconds=600)
    poller.start()
    assert not polled.wait(0.1), "no job has been done yet"
    for _ in range(2):
        poller.start_polling()
        assert polled.wait(10)
        pause = threading.Event()
        for _ in range(1000):
            before = len(polls)
            pause.wait(0.2)
            if len(polls) == before:
                break
        else:
            raise AssertionError("polling never ended")
        polled.clear()


@pytest.mark.parametrize("error", [None, AssertionError("unforeseen")])
def test_it_polls_now_and_then_without_any_job_and_an_error_does_not_end_it(error):
    polls: list[None] = []
    thrice = threading.Event()

    def poll():
        polls.append(None)
        if len(polls) == 3:
            thrice.set()
        if error is not None:
            raise error

    poller = QueuePoller(poll, idle_seconds=0.05)
    poller.start()
    assert thrice.wait(10)
    poller.stop()


def test_its_stop_waits_for_a_job_that_it_has_begun():
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def poll():
        begun.set()
        may_end.wait(10)
        ended.set()

    poller = QueuePoller(poll, idle_seconds=600)
    poller.start()
    poller.start_polling()
    assert begun.wait(10)
    threading.Timer(0.2, may_end.set).start()
    poller.stop()
    assert ended.is_set()
