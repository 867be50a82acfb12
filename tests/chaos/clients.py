"""Clients that repeat each request until it is answered, and a history of all requests, answers and faults."""

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import httpx
from chaos.workload import JobRequest, noise
from support.client import FINAL

TIMEOUT_SECONDS = 10.0  # of one request
PAUSE_SECONDS = 0.3  # before a request is repeated


class History:
    """A file with a line of JSON for each event, in their order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self._started_at, self._lock = time.monotonic(), threading.Lock()

    def add(self, what: str, **about: object) -> None:
        entry = {"at": round(time.monotonic() - self._started_at, 3), "what": what, **about}
        with self._lock, self.path.open("a") as file:
            self.entries.append(entry)
            file.write(json.dumps(entry) + "\n")

    def of(self, what: str) -> list[dict[str, Any]]:
        with self._lock:
            return [entry for entry in self.entries if entry["what"] == what]


class Client(threading.Thread):
    """Posts its share of the jobs over `seconds`, each under a key; cancels and resumes some, and uploads pictures."""

    def __init__(
        self,
        number: int,
        url: str,
        history: History,
        jobs: Sequence[JobRequest],
        bodies: dict[str, dict[str, Any]],
        *,
        seed: int,
        seconds: float,
    ) -> None:
        super().__init__(name=f"client-{number}")
        self._url, self._history, self._jobs, self._bodies = url, history, jobs, bodies
        self._random, self._pause = Random(f"{seed}/{number}"), seconds / max(len(jobs), 1)
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, verify=False)
        self.stopping = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for request in self._jobs:
                self._do(request)
                self.stopping.wait(self._random.uniform(0, 2 * self._pause))
        except BaseException as error:
            self.error = error
        finally:
            self._client.close()

    def _do(self, request: JobRequest) -> None:
        job_id = self._post(request)
        if job_id is None:
            return
        if request.again:
            self._post(request)
        if request.cancel:
            self.stopping.wait(self._random.uniform(0, 2))
            self._cancel(job_id, resume=request.resume)
        if self._random.random() < 1 / 8:
            self._upload()

    def _post(self, request: JobRequest) -> str | None:
        body, headers = self._bodies[request.control], {"Idempotency-Key": request.key}
        answer = self._until(202, "POST", "/v1/jobs", json=body, headers=headers)
        if answer is None:
            return None
        job_id: str = answer.json()["id"]
        self._history.add("accepted", key=request.key, control=request.control, job=job_id)
        return job_id

    def _cancel(self, job_id: str, *, resume: bool) -> None:
        self._history.add("cancel", job=job_id)
        self._until(202, "POST", f"/v1/jobs/{job_id}/cancel", or_else=409)
        if not resume or not self._has_ended(job_id):
            return
        self._history.add("resume", job=job_id)
        self._until(202, "POST", f"/v1/jobs/{job_id}/resume", or_else=409)

    def _has_ended(self, job_id: str) -> bool:
        while (answer := self._until(200, "GET", f"/v1/jobs/{job_id}")) is not None:
            if answer.json()["status"] in FINAL:
                return True
            self.stopping.wait(PAUSE_SECONDS)
        return False

    def _upload(self) -> None:
        files = [("images", (f"{number}.png", noise(self._random), "image/png")) for number in range(3)]
        answer = self._until(201, "POST", "/v1/datasets", files=files)
        if answer is not None:
            self._history.add("uploaded", dataset=answer.json()["id"])

    def _until(self, status: int, method: str, path: str, or_else: int = 0, **content: Any) -> httpx.Response | None:
        """Repeat a request until the answer has one of both statuses; None if the client is to stop."""
        while not self.stopping.is_set():
            try:
                answer = self._client.request(method, path, **content)
            except httpx.HTTPError as error:
                self._history.add("unanswered", path=path, error=repr(error))
            else:
                if answer.status_code in (status, or_else):
                    return answer
                self._history.add("refused", path=path, status=answer.status_code, body=answer.text[:500])
            self.stopping.wait(PAUSE_SECONDS)
        return None
