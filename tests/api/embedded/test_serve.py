"""What `genconvnet serve` starts, and how its supervisor and its broker behave."""

from pathlib import Path

import pytest
from redis import Redis
from support.valkey import Valkey

from api.embedded import broker, serve
from api.embedded.supervisor import SupervisedProcess
from core.schemas.jobs import Queue


@pytest.mark.parametrize("count", [1, 3])
def test_there_is_one_worker_for_training_and_the_configured_number_for_sampling(count: int) -> None:
    train, *sampling = serve.workers(count, {"GENCONVNET_PORT": "1"})
    assert train.command[-1] == Queue.TRAIN
    assert [worker.command[-1] for worker in sampling] == [Queue.SAMPLE] * count
    assert len({worker.name for worker in sampling}) == count
    environments = [worker.environment for worker in (train, *sampling)]
    assert environments == [{"GENCONVNET_PORT": "1"}] * (count + 1), "all have the operator's settings"


def test_a_broker_whose_file_is_damaged_starts_empty(tmp_path: Path) -> None:
    damaged = Valkey()
    damaged.folder = tmp_path / "broker"
    damaged.socket = broker.socket_path(tmp_path)
    damaged.start()
    with Redis(unix_socket_path=str(damaged.socket)) as redis:
        redis.set("kept", "x")
    damaged.stop()
    for path in (damaged.folder / "appendonlydir").glob("*.aof"):
        path.write_bytes(b"no such format\r\n" * 100)
    started: list[SupervisedProcess] = []

    class Starter:
        def start(self, process: SupervisedProcess) -> None:
            started.append(process)
            process.start()

    try:
        serve._start_broker(Starter(), tmp_path)  # type: ignore[arg-type]
        with Redis(unix_socket_path=str(damaged.socket)) as redis:
            assert redis.dbsize() == 0
    finally:
        for process in started:
            process.stop()
    assert (damaged.folder / "appendonlydir.broken").is_dir()
