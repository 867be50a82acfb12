"""What the targeted tests ask of a rig."""

import time
from collections.abc import Callable
from typing import Any

import httpx
from chaos import plan
from chaos.clients import FINAL
from chaos.rig import Rig
from sqlalchemy import select
from support import pictures

from core.storage.tables import Job


class Asking:
    """A client of a rig's service, which asks again while the service is away."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.client = httpx.Client(base_url=rig.url, timeout=60)
        rig.at_end.callback(self.client.close)

    def upload(self) -> str:
        files = {"images": ("stripes.png", pictures.stripes(), "image/png")}
        answer = self.client.post("/v1/datasets", files=files)
        assert answer.status_code == 201, answer.text
        found: str = answer.json()["id"]
        return found

    def train(self, **params: Any) -> str:
        body = {"kind": "train", "dataset_id": self.upload(), "params": {**plan.LEARN, "seed": 7, **params}}
        return self.accepted(body)

    def accepted(self, body: dict[str, Any]) -> str:
        answer = self.client.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        found: str = answer.json()["id"]
        return found

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v1/jobs/{job_id}").raise_for_status().json()
        return found

    def wait(self, job_id: str, reached: Callable[[dict[str, Any]], bool], seconds: float = 120) -> dict[str, Any]:
        deadline, job = time.monotonic() + seconds, {}
        while time.monotonic() < deadline:
            try:
                job = self.job(job_id)
            except httpx.HTTPError:  # away for now
                time.sleep(0.2)
                continue
            if reached(job):
                return job
            time.sleep(0.05)
        raise AssertionError((job, self.rig.log.read_text()[-5000:]))

    def ended(self, job_id: str) -> dict[str, Any]:
        return self.wait(job_id, lambda job: job["status"] in FINAL)

    def succeeded(self, job_id: str) -> dict[str, Any]:
        job = self.ended(job_id)
        assert job["status"] == "succeeded", job
        return job

    def learning(self, job_id: str, iteration: int = 5) -> dict[str, Any]:
        return self.wait(job_id, lambda job: job["status"] == "running" and job["progress"]["iteration"] > iteration)

    def row(self, job_id: str) -> Job:
        with self.rig.database.read() as session:
            return session.scalars(select(Job).where(Job.id == job_id)).one()

    def results(self, job: dict[str, Any]) -> dict[str, str]:
        """By its name the SHA-256 of each that does not depend on when it is made."""
        return {one["name"]: one["sha256"] for one in job["artifacts"] if one["name"] != "preview.png"}
