"""A client of the service's HTTP interface: upload, post a job, wait for it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from support import pictures
from support.waiting import PATIENCE_SECONDS

FINAL = ("succeeded", "failed", "canceled")
SOON_SECONDS, LATER_SECONDS = 0.05, 0.15  # between two looks at a job, where it must be caught at work or only end

# Parameters of a training job that takes less than a second.
TINY: dict[str, Any] = {
    "image_size": 32,
    "layers": [{"filters": 8, "kernel_size": 5, "stride": 2}],
    "num_chains": 2,
    "langevin_steps": 1,
    "iterations": 20,
    "checkpoint_seconds": 1,
    "seed": 7,
}


class ServiceClient:
    """`log` is what a failed wait shows. With `retry`, waiting goes on while the service does not answer."""

    def __init__(self, url: str, log: Path, *, retry: bool = False) -> None:
        self.http = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS, verify=False)
        self._log, self._retry = log, retry

    def close(self) -> None:
        self.http.close()

    def upload(self, *contents: bytes) -> str:
        """Upload pictures, or one small grey texture, as a dataset; return its id."""
        parts = [("images", (f"{i}.png", content, "image/png")) for i, content in enumerate(contents or [STRIPES])]
        answer = self.http.post("/v1/datasets", files=parts)
        assert answer.status_code == 201, answer.text
        dataset_id: str = answer.json()["id"]
        return dataset_id

    def post_job(self, body: dict[str, Any]) -> str:
        """Post a job that must be accepted; return its id."""
        answer = self.http.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def train(self, dataset_id: str | None = None, **params: Any) -> str:
        """Post a training job with the parameters TINY, unless `params` replaces them; return its id."""
        dataset_id = dataset_id or self.upload()
        return self.post_job({"kind": "train", "dataset_id": dataset_id, "params": {**TINY, **params}})

    def import_model(self, content: bytes) -> str:
        """Upload a model file; return the model's id."""
        answer = self.http.post("/v1/models", files={"model": ("m.safetensors", content)}, data={"name": "imported"})
        assert answer.status_code == 201, answer.text
        model_id: str = answer.json()["id"]
        return model_id

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}").raise_for_status().json()
        return found

    def wait(
        self, job_id: str, condition: Callable[[dict[str, Any]], bool], pause_seconds: float = SOON_SECONDS
    ) -> dict[str, Any]:
        """Poll the job until `condition` holds for it; return it as it is then."""
        deadline, job = time.monotonic() + 2 * PATIENCE_SECONDS, {}
        while time.monotonic() < deadline:
            try:
                job = self.job(job_id)
            except httpx.HTTPError:
                if not self._retry:
                    raise
            else:
                if condition(job):
                    return job
            time.sleep(pause_seconds)
        logged = [line for line in self._log.read_text().splitlines() if '"event": "request"' not in line]
        raise AssertionError((job, "\n".join(logged)[-20000:]))

    def running(self, job_id: str, iteration: int = 5) -> dict[str, Any]:
        """Wait until the job has passed an iteration, and is not over."""
        job = self.wait(job_id, lambda job: job["progress"]["iteration"] > iteration or job["status"] in FINAL)
        assert job["status"] == "running", job
        return job

    def finished(self, job_id: str) -> dict[str, Any]:
        return self.wait(job_id, lambda job: job["status"] in FINAL, LATER_SECONDS)

    def succeeded(self, job_id: str) -> dict[str, Any]:
        """Wait for the job's end, which must be a success."""
        job = self.finished(job_id)
        assert job["status"] == "succeeded", job
        return job

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel the job and wait for its end."""
        answer = self.http.post(f"/v1/jobs/{job_id}/cancel")
        assert answer.status_code == 202, answer.text
        job = self.finished(job_id)
        assert job["status"] == "canceled", job
        return job

    def unfinished(self) -> list[dict[str, Any]]:
        """Return the jobs that have not ended, and not the many that have."""
        found = [
            self.http.get("/v1/jobs", params={"status": status, "limit": 100}).raise_for_status().json()["data"]
            for status in ("queued", "running")
        ]
        return list({job["id"]: job for jobs in found for job in jobs}.values())

    def end_all(self) -> None:
        """Cancel the jobs that have not ended, and wait for their ends: they would keep the workers from what follows.

        One that ends by itself meanwhile is left as it is.
        """
        for job in self.unfinished():
            self.http.post(f"/v1/jobs/{job['id']}/cancel")
            self.finished(job["id"])

    def series(self, job_id: str) -> list[dict[str, Any]]:
        """Return what was measured in each iteration of a training job."""
        points: list[dict[str, Any]] = self.http.get(f"/v1/jobs/{job_id}/metrics").raise_for_status().json()["data"]
        return points

    def checksums(self, job: dict[str, Any]) -> dict[str, str]:
        """Return the SHA-256 of each artifact by its name, except of the preview, which depends on when it was made."""
        return {one["name"]: one["sha256"] for one in job["artifacts"] if one["name"] != "preview.png"}

    def artifact(self, job: dict[str, Any], name: str) -> bytes:
        return self.http.get(f"/v1/jobs/{job['id']}/artifacts/{name}").raise_for_status().content


STRIPES = pictures.stripes()
