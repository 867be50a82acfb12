"""What `genconvnet serve` starts, and how its supervisor and its broker behave."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis
from support.valkey import Valkey
from support.waiting import until
from typer.testing import CliRunner

from api.cli import app
from api.embedded import broker, serve, supervisor
from api.embedded.supervisor import SupervisedProcess
from api.settings import ApiSettings
from core.runtime.settings import BadSettings
from core.runtime.startup import REFUSED
from core.schemas.jobs import Queue

EXITS = [sys.executable, "-c", "raise SystemExit(3)"]


@pytest.mark.parametrize("count", [1, 3])
def test_there_is_one_worker_for_training_and_the_configured_number_for_sampling(count: int) -> None:
    train, *sampling = serve.workers(count, {"GENCONVNET_PORT": "1"})
    assert train.command[-1] == Queue.TRAIN
    assert [worker.command[-1] for worker in sampling] == [Queue.SAMPLE] * count
    assert len({worker.name for worker in sampling}) == count
    environments = [worker.environment for worker in (train, *sampling)]
    assert environments == [{"GENCONVNET_PORT": "1"}] * (count + 1), "all have the operator's settings"


def test_an_invalid_setting_is_named_on_one_line(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("genconvnet")), "doctor"]
    environment = {**os.environ, "GENCONVNET_LEASE_SECONDS": "0"}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("genconvnet: GENCONVNET_LEASE_SECONDS: ")


@pytest.mark.parametrize("command", [["doctor"], ["sweep"], ["keys", "list"], ["api"], ["worker", "--queue", "train"]])
@pytest.mark.parametrize(
    ("variable", "value"),
    [("GENCONVNET_LEASE_SECONDS", "0"), ("GENCONVNET_BROKER_URL", "localhost:6379"), ("GENCONVNET_LOG_LEVEL", "loud")],
)
def test_every_command_refuses_an_invalid_setting(command: list[str], variable: str, value: str) -> None:
    done = CliRunner().invoke(app, command, env={variable: value})
    assert isinstance(done.exception, BadSettings)
    assert str(done.exception).startswith(f"{variable}: ")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "KEEP_BYTES", "LOG_LEVEL"):
        monkeypatch.setenv(f"GENCONVNET_{name}", "")
    assert ApiSettings() == ApiSettings(database_url=None, keep_bytes=None, log_level="INFO")


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


def test_a_process_that_keeps_dying_is_restarted_after_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MAX_PAUSE_SECONDS", 3.0)
    process = SupervisedProcess("dies", EXITS)
    pauses = []
    process.start()
    for _ in range(4):
        assert process.process is not None
        process.process.wait(20)
        process.restart_if_dead()
        assert process.process is None, "the pause comes first"
        pauses.append(process.pause)
        process.restart_at = 0.0
        process.restart_if_dead()
    assert pauses == [1.0, 2.0, 3.0, 3.0]
    process.stop()


def test_a_process_that_ran_for_long_is_restarted_at_once() -> None:
    process = SupervisedProcess("dies", EXITS)
    process.start()
    assert process.process is not None
    first = process.process
    first.wait(20)
    process.started_at -= supervisor.STABLE_SECONDS
    process.restart_if_dead()
    assert process.process not in (None, first)
    process.stop()


def test_a_process_that_starts_later_is_started_once_it_is_time() -> None:
    supervised, process = supervisor.Supervisor(), SupervisedProcess("later", EXITS)
    supervised.start_later(process, 3600)
    process.restart_if_dead()
    assert (process.process, process.starts) == (None, 0)
    process.restart_at = 0.0
    process.restart_if_dead()
    assert process.starts == 1
    supervised.close()


def test_a_process_that_refuses_its_first_start_ends_the_supervisor() -> None:
    refusing = SupervisedProcess("refuses", [sys.executable, "-c", f"raise SystemExit({REFUSED})"])
    steady = SupervisedProcess("steady", [sys.executable, "-c", "import time; time.sleep(60)"])
    supervised = supervisor.Supervisor()
    for process in (steady, refusing):
        supervised.start(process)
    try:
        with pytest.raises(SystemExit) as ended:
            supervised.run()
    finally:
        supervised.close()
    assert ended.value.code == REFUSED
    assert steady.has_exited()


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    )
    process = SupervisedProcess("stubborn", [sys.executable, "-c", script], stop_seconds=0.2)
    process.start()
    until(ready.exists)
    process.stop()
    assert process.process is not None
    assert process.process.returncode == -signal.SIGKILL


def test_a_signal_at_any_moment_ends_the_supervisor() -> None:
    """In particular one that arrives while the supervisor checks its processes. Eight are forked from one process."""
    script = """if True:
        import os, signal, time
        from api.embedded import supervisor
        supervisor.CHECK_SECONDS = 0
        reading, writing = os.pipe()
        for _ in range(8):
            if (child := os.fork()) == 0:
                signal.alarm(20)
                one = supervisor.Supervisor()
                os.write(writing, b".")
                one.run()
                one.close()
                os._exit(0)
            os.read(reading, 1)
            time.sleep(0.05)
            os.kill(child, signal.SIGTERM)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["0"] * 8
