"""A picture goes in over HTTP, a model and new pictures come out; and what an owner may do meanwhile."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
from acceptance.conftest import TINY, read_picture


def test_upload_train_sample_download(service):
    dataset = service.upload()
    trained = service.ended(service.train(dataset))
    assert trained["status"] == "succeeded", trained
    names = {artifact["name"] for artifact in trained["artifacts"]}
    assert names >= {
        "synthesized-000.png",
        "synthesized-001.png",
        "contact-sheet-1.png",
        "filters.png",
        "metrics.json",
        "metrics.png",
    }
    picture = read_picture(service.client.get(f"/v1/jobs/{trained['id']}/artifacts/synthesized-000.png").content)
    assert picture.shape == (32, 32)
    series = service.client.get(f"/v1/jobs/{trained['id']}/metrics").json()["data"]
    assert [point["step"] for point in series] == list(range(1, TINY["iterations"] + 1))
    assert series == json.loads(service.client.get(f"/v1/jobs/{trained['id']}/artifacts/metrics.json").content)
    assert trained["progress"]["fraction"] == 1.0

    params = {"count": 2, "width": 50, "height": 33, "steps": 10, "tileable": True, "seed": 3}
    asked = {"kind": "sample", "model_id": trained["model_id"], "params": params}
    first, second = (service.ended(service.accepted(asked)["id"]) for _ in range(2))
    assert first["status"] == "succeeded", first
    pictures = [
        read_picture(service.client.get(f"/v1/jobs/{job['id']}/artifacts/synthesized-{index:03d}.png").content)
        for job in (first, second)
        for index in range(2)
    ]
    assert all(picture.shape == (33, 50) for picture in pictures)
    assert np.array_equal(pictures[0], pictures[2]), "the same seed draws the same picture"
    assert not np.array_equal(pictures[0], pictures[1])
    model = service.client.get(f"/v1/models/{trained['model_id']}/download")
    assert model.headers["content-disposition"].startswith("attachment")


def test_events_tell_of_every_turn_until_done(service):
    job_id = service.train(service.upload(), iterations=30)
    with service.client.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        seen = [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]
    assert seen[0] == "status"
    assert seen[-1] == "done"
    assert "progress" in seen
    assert seen.count("done") == 1


def test_running_job_is_canceled(service):
    job_id = service.train(service.upload(), iterations=100_000)
    service.wait(job_id, lambda job: job["progress"]["iteration"] > 0)
    assert service.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert service.ended(job_id)["status"] == "canceled"
    assert service.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 409


def test_canceled_job_resumes_from_its_checkpoint(service):
    job_id = service.train(service.upload(), iterations=100_000)
    service.wait(job_id, lambda job: job["progress"]["iteration"] > 0)
    saved = service.past_a_checkpoint(job_id)
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    service.ended(job_id)
    answer = service.client.post(f"/v1/jobs/{job_id}/resume")
    assert answer.status_code == 202, answer.text
    again = service.wait(job_id, lambda job: job["status"] == "running" and job["attempt"] == 2)
    assert again["progress"]["iteration"] >= saved["progress"]["iteration"]
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    service.ended(job_id)


def test_succeeded_training_goes_further_when_asked(service):
    job_id = service.train(service.upload())
    first = service.ended(job_id)
    assert service.client.post(f"/v1/jobs/{job_id}/resume").status_code == 409
    further = {"params": {"iterations": TINY["iterations"] + 15}}
    assert service.client.post(f"/v1/jobs/{job_id}/resume", json=further).status_code == 202
    second = service.ended(job_id)
    assert second["status"] == "succeeded", second
    assert second["model_id"] != first["model_id"]
    series = service.client.get(f"/v1/jobs/{job_id}/metrics").json()["data"]
    assert [point["step"] for point in series] == list(range(1, TINY["iterations"] + 16))


def test_sigterm_stops_everything_and_starting_again_goes_on(serve):
    service = serve()
    job_id = service.train(service.upload(), iterations=800)
    before = service.wait(job_id, lambda job: job["progress"]["iteration"] > 5)
    family = service.processes()
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=40) == 0
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive, alive
    again = serve()
    job = again.ended(job_id, seconds=270)
    assert job["status"] == "succeeded", job
    assert job["attempt"] == 2
    series = again.client.get(f"/v1/jobs/{job_id}/metrics").json()["data"]
    assert [point["step"] for point in series] == list(range(1, 801))
    assert before["progress"]["iteration"] > 5


def test_killed_supervisor_leaves_no_process_behind(serve):
    service = serve()
    service.train(service.upload(), iterations=100_000)
    family = service.processes()
    assert len(family) > 5
    service.process.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive, [process.cmdline() for process in alive]


def test_second_service_on_the_same_folder_is_refused(service, tmp_path):
    command = [str(Path(sys.executable).with_name("genconvnet")), "serve", "--port", "0"]
    refused = subprocess.run(
        [*command, "--data-dir", str(service.data_dir)], capture_output=True, text=True, timeout=30, check=False
    )
    assert refused.returncode == 1
    assert "in use by another" in refused.stderr
    port = service.client.base_url.port
    taken = subprocess.run(
        [*command[:-1], str(port), "--data-dir", str(tmp_path / "other")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert taken.returncode == 1
    assert str(port) in taken.stderr
