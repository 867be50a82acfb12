"""What `genconvnet serve` starts."""

import pytest

from api.embedded import serve
from core.contracts.jobs import Queue


@pytest.mark.parametrize(("cores", "count", "expected"), [(16, 1, "16"), (16, 3, "5"), (2, 4, "1")])
def test_sampling_workers_share_the_cores_out(monkeypatch: pytest.MonkeyPatch, cores, count, expected) -> None:
    monkeypatch.setattr(serve, "core_count", lambda: cores)
    monkeypatch.delenv("GENCONVNET_THREADS", raising=False)
    train, *sampling = serve.workers(count, {"GENCONVNET_PORT": "1"})
    assert (train.command[-1], "GENCONVNET_THREADS" in train.environment) == (Queue.TRAIN, False)
    assert [part.command[-1] for part in sampling] == [Queue.SAMPLE] * count
    assert len({part.name for part in sampling}) == count
    assert [part.environment for part in sampling] == [{"GENCONVNET_PORT": "1", "GENCONVNET_THREADS": expected}] * count


def test_the_users_threads_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCONVNET_THREADS", "7")
    assert [part.environment.get("GENCONVNET_THREADS") for part in serve.workers(2, {})] == [None, "7", "7"]
