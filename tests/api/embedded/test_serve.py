"""What `genconvnet serve` starts."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis
from support.valkey import Valkey

from api.embedded import broker, serve
from api.embedded.supervisor import Part
from api.settings import ApiSettings
from core.schemas.jobs import Queue


@pytest.mark.parametrize(("cores", "count", "expected"), [(16, 1, "16"), (16, 3, "5"), (2, 4, "1")])
def test_sampling_workers_share_the_cores_out(monkeypatch: pytest.MonkeyPatch, cores, count, expected) -> None:
    monkeypatch.setattr(serve, "core_count", lambda: cores)
    monkeypatch.delenv("GENCONVNET_THREADS", raising=False)
    train, *sampling = serve.workers(count, {"GENCONVNET_PORT": "1"})
    assert (train.command[-1], "GENCONVNET_THREADS" in train.environment) == (Queue.TRAIN, False)
    assert [part.command[-1] for part in sampling] == [Queue.SAMPLE] * count
    assert len({part.name for part in sampling}) == count
    assert [part.environment for part in sampling] == [{"GENCONVNET_PORT": "1", "GENCONVNET_THREADS": expected}] * count


@pytest.mark.parametrize("command", [["doctor"], ["sweep"], ["keys", "list"], ["api"], ["worker", "--queue", "train"]])
@pytest.mark.parametrize(
    ("variable", "value"),
    [("GENCONVNET_LEASE_SECONDS", "0"), ("GENCONVNET_BROKER_URL", "localhost:6379"), ("GENCONVNET_LOG_LEVEL", "loud")],
)
def test_a_setting_that_cannot_be_is_named(tmp_path: Path, command: list[str], variable: str, value: str) -> None:
    run = [str(Path(sys.executable).with_name("genconvnet")), *command]
    done = subprocess.run(
        run, env={**os.environ, variable: value}, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"genconvnet: {variable}: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_variable_without_a_value_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "KEEP_BYTES", "LOG_LEVEL"):
        monkeypatch.setenv(f"GENCONVNET_{name}", "")
    assert ApiSettings() == ApiSettings(database_url=None, keep_bytes=None, log_level="INFO")


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


def test_a_signal_at_any_moment_ends_the_supervisor() -> None:
    """One that comes while it looks after its parts, most of all."""
    looks = "from api.embedded import supervisor as s; s.LOOK_SECONDS = 0; one = s.Supervisor(); print(); one.run()"
    running = [
        subprocess.Popen([sys.executable, "-c", f"{looks}; one.close()"], stdout=subprocess.PIPE) for _ in range(8)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.05)
            process.terminate()
        assert [process.wait(timeout=20) for process in running] == [0] * len(running)
    finally:
        for process in running:
            process.kill()
            process.communicate()


def test_the_users_threads_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCONVNET_THREADS", "7")
    assert [part.environment.get("GENCONVNET_THREADS") for part in serve.workers(2, {})] == [None, "7", "7"]
