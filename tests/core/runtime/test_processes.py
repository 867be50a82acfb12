"""Child processes end with their parent."""

import os
import signal
import subprocess
import sys

from core.runtime.processes import with_starter

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
