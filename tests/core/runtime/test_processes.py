"""A process that is to end with the one that started it."""

import os
import signal
import subprocess
import sys

from core.runtime.processes import with_starter

WAITS = "import time; from core.runtime.processes import die_with_starter; die_with_starter(); time.sleep(600)"


def test_a_process_whose_starter_was_gone_before_it_had_imported_anything_ends() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    environment = {**os.environ, **dict.fromkeys(with_starter(), str(gone.pid))}
    orphan = subprocess.Popen([sys.executable, "-P", "-c", WAITS], env=environment)
    try:
        assert orphan.wait(60) == -signal.SIGTERM
    finally:
        orphan.kill()
        orphan.wait()
