"""Processes are restarted if they die, and stopped in order."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import until

from api.embedded import supervisor
from api.embedded.supervisor import SupervisedProcess
from core.runtime.startup import REFUSED

EXITS = [sys.executable, "-c", "raise SystemExit(3)"]


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
