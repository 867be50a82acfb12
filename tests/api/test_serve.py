"""What `genconvnet serve` starts."""

from pathlib import Path

import pytest
from redis import Redis
from support.valkey import Valkey

from api.embedded import broker, serve
from api.embedded.supervisor import Part
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


def test_a_broker_whose_file_is_damaged_begins_anew(tmp_path: Path) -> None:
    own = Valkey()
    own.folder = tmp_path / "broker"
    own.socket = broker.socket_path(tmp_path)
    own.start()
    with Redis(unix_socket_path=str(own.socket)) as redis:
        redis.set("kept", "x")
    own.stop()
    for path in (own.folder / "appendonlydir").glob("*.aof"):
        path.write_bytes(b"no such format\r\n" * 100)
    parts: list[Part] = []

    class Starting:
        def start(self, part: Part) -> None:
            parts.append(part)
            part.start()

    try:
        serve._start_broker(Starting(), tmp_path)  # type: ignore[arg-type]
        with Redis(unix_socket_path=str(own.socket)) as redis:
            assert redis.dbsize() == 0
    finally:
        for part in parts:
            part.stop()
    assert (own.folder / "appendonlydir.broken").is_dir()


def test_the_users_threads_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCONVNET_THREADS", "7")
    assert [part.environment.get("GENCONVNET_THREADS") for part in serve.workers(2, {})] == [None, "7", "7"]
