"""A process is killed after it has stored its files and before it has written the job's row."""

import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

from chaos.rig import SAMPLE_1, Rig
from support import rows
from support.models import model_file
from support.waiting import until


def test_a_child_killed_between_its_files_and_its_row_leaves_one_result(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig(only=(SAMPLE_1,), GENCONVNET_PROGRESS_SECONDS="600")  # so that only the job's end is written
    client = rig.client
    params = {"count": 4, "width": 32, "height": 32, "steps": 300, "seed": 5}
    body = {"kind": "sample", "model_id": client.import_model(model_file()), "params": params}
    undisturbed = client.checksums(client.succeeded(client.post_job(body)))
    job_id = client.post_job(body)
    folder = rig.data_dir / "blobs" / "jobs" / job_id
    until(lambda: len(_pictures(folder)) > 0)
    lock = sqlite3.connect(rig.data_dir / "genconvnet.sqlite3", isolation_level=None, timeout=30)
    lock.execute("BEGIN IMMEDIATE")  # the row cannot be written until this ends
    until(lambda: len(_pictures(folder)) == 4)
    for pid in rig.children(SAMPLE_1):
        rig.kill(pid, signal.SIGKILL)
    assert rows.row(rig.database, job_id).status == "running"
    lock.close()
    job = client.succeeded(job_id)
    assert (job["attempt"], client.checksums(job)) == (2, undisturbed)


def _pictures(folder: Path) -> list[Path]:
    return list(folder.rglob("synthesized-*.png"))
