"""Child processes end with their parent; modules are imported without a search for garbage."""

import gc
import os
import signal
import subprocess
import sys

import pytest

from core.runtime.processes import importing, with_starter

WAITS = "import time; from core.runtime.processes import die_with_starter; die_with_starter(); time.sleep(600)"


def test_a_process_ends_if_its_starter_ended_while_it_was_importing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    environment = {**os.environ, **dict.fromkeys(with_starter(), str(gone.pid))}
    orphan = subprocess.Popen([sys.executable, "-P", "-c", WAITS], env=environment)
    try:
        assert orphan.wait(60) == -signal.SIGTERM
    finally:
        orphan.kill()
        orphan.wait()


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_searched_for_after_imports_as_before(enabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "freeze", lambda: None)  # what the tests made so far
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ModuleNotFoundError):
            _import_nothing()
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


def _import_nothing() -> None:
    with importing():
        assert not gc.isenabled()
        raise ModuleNotFoundError
