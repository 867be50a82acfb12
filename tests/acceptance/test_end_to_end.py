"""A picture is uploaded, a model is learned from it, and new pictures are made, over HTTP."""

import json
import subprocess
from pathlib import Path

import numpy as np
import psutil
from support import pictures
from support.client import TINY
from support.service import GENCONVNET, Service


def test_upload_train_sample_download(service: Service) -> None:
    trained = service.succeeded(service.train())
    names = {artifact["name"] for artifact in trained["artifacts"]}
    assert names >= {
        "synthesized-000.png",
        "synthesized-001.png",
        "contact-sheet-1.png",
        "filters.png",
        "metrics.json",
        "metrics.png",
    }
    assert pictures.pixels(service.artifact(trained, "synthesized-000.png")).shape == (32, 32)
    series = service.series(trained["id"])
    assert [point["step"] for point in series] == list(range(1, TINY["iterations"] + 1))
    assert series == json.loads(service.artifact(trained, "metrics.json"))
    assert trained["progress"]["fraction"] == 1.0

    params = {"count": 2, "width": 50, "height": 33, "steps": 10, "tileable": True, "seed": 3}
    body = {"kind": "sample", "model_id": trained["model_id"], "params": params}
    first, second = (service.succeeded(service.post_job(body)) for _ in range(2))
    names = [f"synthesized-00{index}.png" for index in range(2)]
    sampled = [pictures.pixels(service.artifact(job, name)) for job in (first, second) for name in names]
    assert all(picture.shape == (33, 50) for picture in sampled)
    assert np.array_equal(sampled[0], sampled[2]), "the same seed draws the same picture"
    assert not np.array_equal(sampled[0], sampled[1])
    model = service.http.get(f"/v1/models/{trained['model_id']}/download")
    assert model.headers["content-disposition"].startswith("attachment")


def test_a_canceled_job_resumes_from_its_checkpoint(service: Service) -> None:
    job_id = service.train(iterations=100_000)
    service.running(job_id)
    saved = service.past_a_checkpoint(job_id)
    service.cancel(job_id)
    answer = service.http.post(f"/v1/jobs/{job_id}/resume")
    assert answer.status_code == 202, answer.text
    again = service.wait(job_id, lambda job: job["status"] == "running" and job["attempt"] == 2)
    assert again["progress"]["iteration"] >= saved["progress"]["iteration"]
    service.cancel(job_id)


def test_a_succeeded_training_job_is_resumed_with_more_iterations(service: Service) -> None:
    job_id = service.train(iterations=10)
    first = service.succeeded(job_id)
    assert service.http.post(f"/v1/jobs/{job_id}/resume").status_code == 409
    assert service.http.post(f"/v1/jobs/{job_id}/resume", json={"params": {"iterations": 15}}).status_code == 202
    second = service.succeeded(job_id)
    assert second["model_id"] != first["model_id"]
    assert [point["step"] for point in service.series(job_id)] == list(range(1, 16))


def test_a_second_service_is_refused_the_data_folder_and_the_port(service: Service, tmp_path: Path) -> None:
    def refused(*options: str) -> str:
        done = subprocess.run([GENCONVNET, "serve", *options], capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        return done.stderr

    assert "in use by another" in refused("--port", "0", "--data-dir", str(service.data_dir))
    port = str(service.http.base_url.port)
    assert port in refused("--port", port, "--data-dir", str(tmp_path / "other"))


def test_sigkill_of_the_supervisor_leaves_no_process(service_to_kill: Service) -> None:
    service = service_to_kill
    service.running(service.train(iterations=100_000), 0)
    processes = service.processes()
    assert len(processes) > 5
    service.process.kill()
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not alive, alive
