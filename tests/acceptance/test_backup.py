"""A service is backed up while it learns, and its job goes on elsewhere."""

import json
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

from chaos.rig import TRAIN, Rig
from support.client import ServiceClient
from support.service import GENCONVNET, Service, slowed
from typer.testing import CliRunner

from api.cli import app

ITERATIONS = 100


def test_a_backup_under_load_resumes_elsewhere_to_the_same_result(service: Service, tmp_path: Path) -> None:
    dataset = service.upload()
    done = service.succeeded(service.train(dataset, iterations=5))
    lines = _run("doctor", "--data-dir", str(service.data_dir)).splitlines()
    assert [line[0] for line in lines] == ["✓"] * len(lines)
    job_id = service.train(dataset, iterations=ITERATIONS)
    service.running(job_id)
    stop = threading.Event()

    def keep_uploading() -> None:
        while not stop.wait(0.3):
            service.upload()

    uploads = threading.Thread(target=keep_uploading)
    with slowed(service.child("train")):
        service.past_a_checkpoint(job_id)
        uploads.start()
        try:
            printed = _run("backup", str(tmp_path / "backup"), "--json", "--data-dir", str(service.data_dir))
        finally:
            stop.set()
            uploads.join()
        assert service.job(job_id)["status"] == "running"
    service.succeeded(job_id)
    expected = service.series(job_id)
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    elsewhere = tmp_path / "elsewhere"
    with (tmp_path / "backup").open("rb") as archive:
        command = [GENCONVNET, "restore", "-", "--json", "--data-dir", elsewhere / "data"]
        restored = subprocess.run(command, stdin=archive, stdout=subprocess.PIPE, timeout=120, check=True).stdout
    counts = {name: json.loads(printed)[name] for name in ("rows", "files")}
    assert json.loads(restored) == {"file": "<stdin>", **counts}
    refused = CliRunner().invoke(app, ["restore", str(tmp_path / "backup"), "--data-dir", str(service.data_dir)])
    assert refused.exit_code == 1
    assert "stop it first" in refused.stderr
    again = Rig(elsewhere, only=(TRAIN,))
    try:
        again.start()
        _check_restored(again.client, done, dataset)
        assert again.client.succeeded(job_id)["attempt"] == 2
        assert again.client.series(job_id) == expected
    finally:
        again.close()


def _check_restored(service: ServiceClient, done: dict[str, Any], dataset: str) -> None:
    """Check that a job is as it was when it was `done`, and that all files are there."""
    assert service.job(done["id"]) == done
    assert done["artifacts"]
    for artifact in done["artifacts"]:
        assert len(service.http.get(artifact["url"]).raise_for_status().content) == artifact["bytes"]
    datasets = service.http.get("/v1/datasets", params={"limit": 100}).json()["data"]
    assert dataset in [one["id"] for one in datasets]
    for one in datasets:
        for image in one["images"]:
            service.http.get(image["url"]).raise_for_status()


def _run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout
