"""Looking for the next job after one (worker/queue_poller.py)."""

import threading

import worker.queue_poller
from worker.queue_poller import QueuePoller


def test_it_looks_after_a_job_until_it_has_lingered_and_again_after_the_next(monkeypatch):
    monkeypatch.setattr(worker.queue_poller, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(worker.queue_poller, "LINGER_SECONDS", 0.1)
    looks, looked = [], threading.Event()

    def look():
        looks.append(None)
        looked.set()

    lookout = QueuePoller(look)
    assert not looked.wait(0.2), "nothing was done yet, so there is nothing to linger after"
    for _ in range(2):
        lookout.linger()
        assert looked.wait(10)
        quiet = threading.Event()
        for _ in range(1000):
            before = len(looks)
            quiet.wait(0.3)
            if len(looks) == before:
                break
        else:
            raise AssertionError("it never rested")
        looked.clear()
