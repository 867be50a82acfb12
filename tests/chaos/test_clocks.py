"""The clocks of processes jump."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from chaos.rig import ROOT, TRAIN, Rig

ITERATIONS = 250
HOUR = 3600
JUMPING_CLOCK = f"""
import time
_real, _started = time.time, time.monotonic()
def _jumping():
    return _real() + (0.0, {HOUR}, -{HOUR})[int((time.monotonic() - _started) / 2) % 3]
time.time = _jumping
"""


def test_jumping_wall_clocks_of_processes_do_not_matter(start_rig: Callable[..., Rig], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(JUMPING_CLOCK)
    rig = start_rig(only=(TRAIN,), PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    job_id = rig.client.train(iterations=ITERATIONS)
    rig.client.running(job_id)
    with rig.slow_training():
        time.sleep(6)  # the clocks jump forward, back, and to the right time
    assert rig.client.succeeded(job_id)["attempt"] == 1
