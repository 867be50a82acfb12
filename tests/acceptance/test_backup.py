"""A service is backed up while it learns, and goes on elsewhere; the same road on PostgreSQL and S3."""

import stat
import subprocess
import sys
import threading
import uuid
from pathlib import Path

GENCONVNET = str(Path(sys.executable).with_name("genconvnet"))
ITERATIONS = 1000


def _run(*arguments: str) -> str:
    done = subprocess.run([GENCONVNET, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _series(service, job_id):
    return service.client.get(f"/v1/jobs/{job_id}/metrics").json()["data"]


def test_a_backup_under_load_goes_on_elsewhere_to_the_same_result(serve, tmp_path):
    service = serve()
    dataset = service.upload()
    done = service.ended(service.train(dataset))
    assert "✗" not in _run("doctor", "--data-dir", str(service.data_dir))
    job_id = service.train(dataset, iterations=ITERATIONS)
    service.wait(job_id, lambda job: job["progress"]["iteration"] > 20)
    stop = threading.Event()

    def keep_uploading():
        while not stop.wait(0.02):
            service.upload()

    uploads = threading.Thread(target=keep_uploading)
    uploads.start()
    try:
        _run("backup", str(tmp_path / "backup"), "--data-dir", str(service.data_dir))
    finally:
        stop.set()
        uploads.join()
    undisturbed = service.ended(job_id, seconds=120)
    assert undisturbed["status"] == "succeeded"
    expected = _series(service, job_id)
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    elsewhere = str(tmp_path / "elsewhere")
    with (tmp_path / "backup").open("rb") as archive:
        subprocess.run([GENCONVNET, "restore", "-", "--data-dir", elsewhere], stdin=archive, timeout=120, check=True)
    refused = subprocess.run(
        [GENCONVNET, "restore", str(tmp_path / "backup"), "--data-dir", str(service.data_dir)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert "stop it first" in refused.stderr
    service.stop()

    again = serve("elsewhere")
    assert again.job(done["id"]) == done
    for artifact in done["artifacts"]:
        assert len(again.client.get(artifact["url"]).raise_for_status().content) == artifact["bytes"]
    for one in again.client.get("/v1/datasets", params={"limit": 100}).json()["data"]:
        for image in one.get("images", []):
            again.client.get(image["url"]).raise_for_status()
    job = again.ended(job_id, seconds=120)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert _series(again, job_id) == expected


def test_the_whole_road_on_postgresql_and_s3(serve, postgres_server, s3_server):
    with postgres_server.fresh() as url:
        place = s3_server.make_bucket(f"road-{uuid.uuid4().hex}")
        on_them = {"GENCONVNET_DATABASE_URL": url, "GENCONVNET_BLOB_URL": place, **s3_server.environment}
        service = serve(**on_them)
        trained = service.ended(service.train(service.upload()))
        assert trained["status"] == "succeeded", trained
        asked = {"kind": "sample", "model_id": trained["model_id"], "params": {"count": 1, "steps": 3}}
        sampled = service.ended(service.accepted(asked)["id"])
        assert sampled["status"] == "succeeded", sampled
        for artifact in (*trained["artifacts"], *sampled["artifacts"]):
            answer = service.client.get(artifact["url"]).raise_for_status()
            assert len(answer.content) == artifact["bytes"]
        assert not [path for path in (service.data_dir / "blobs").rglob("*") if path.is_file()]
        s3_server.stop()
        try:
            assert service.client.get(trained["artifacts"][0]["url"]).status_code == 503
        finally:
            s3_server.start()
        service.stop()
