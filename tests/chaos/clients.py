"""Clients who ask until they are answered, and a history of all that was asked and answered."""

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import httpx
from chaos.plan import Wanted, noise

PATIENCE_SECONDS = 10.0  # for one answer
PAUSE_SECONDS = 0.3  # before a request is repeated
FINAL = ("succeeded", "failed", "canceled")


class History:
    """Lines of JSON, in the order in which things came about."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self._began_at, self._lock = time.monotonic(), threading.Lock()

    def add(self, what: str, **about: object) -> None:
        entry = {"at": round(time.monotonic() - self._began_at, 3), "what": what, **about}
        with self._lock, self.path.open("a") as file:
            self.entries.append(entry)
            file.write(json.dumps(entry) + "\n")

    def of(self, what: str) -> list[dict[str, Any]]:
        with self._lock:
            return [entry for entry in self.entries if entry["what"] == what]


class Client(threading.Thread):
    """Posts its share of the jobs, each under a key, at its leisure; cancels, resumes and uploads among them."""

    def __init__(
        self,
        number: int,
        url: str,
        history: History,
        jobs: Sequence[Wanted],
        bodies: dict[str, dict[str, Any]],
        *,
        seed: int,
        seconds: float,
    ) -> None:
        super().__init__(name=f"client-{number}")
        self._url, self._history, self._jobs, self._bodies = url, history, jobs, bodies
        self._random, self._pause = Random(f"{seed}/{number}"), seconds / max(len(jobs), 1)
        self._client = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS)
        self.gives_up = threading.Event()
        self.broke: BaseException | None = None

    def run(self) -> None:
        try:
            for wanted in self._jobs:
                self._one(wanted)
                self.gives_up.wait(self._random.uniform(0, 2 * self._pause))
        except BaseException as error:
            self.broke = error
        finally:
            self._client.close()

    def _one(self, wanted: Wanted) -> None:
        job_id = self._post(wanted)
        if job_id is None:
            return
        if wanted.again:
            self._post(wanted)
        if wanted.cancel:
            self.gives_up.wait(self._random.uniform(0, 2))
            self._canceled(job_id, resume=wanted.resume)
        if self._random.random() < 1 / 8:
            self._upload()

    def _post(self, wanted: Wanted) -> str | None:
        body, headers = self._bodies[wanted.like], {"Idempotency-Key": wanted.key}
        answer = self._until(202, "POST", "/v1/jobs", json=body, headers=headers)
        if answer is None:
            return None
        job_id: str = answer.json()["id"]
        self._history.add("accepted", key=wanted.key, like=wanted.like, job=job_id)
        return job_id

    def _canceled(self, job_id: str, *, resume: bool) -> None:
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
            self.gives_up.wait(PAUSE_SECONDS)
        return False

    def _upload(self) -> None:
        files = [("images", (f"{number}.png", noise(self._random), "image/png")) for number in range(3)]
        answer = self._until(201, "POST", "/v1/datasets", files=files)
        if answer is not None:
            self._history.add("uploaded", dataset=answer.json()["id"])

    def _until(self, status: int, method: str, path: str, or_else: int = 0, **request: Any) -> httpx.Response | None:
        """Ask until the answer is one of both; None where the client gave up. Any answer but a 503 is of record."""
        while not self.gives_up.is_set():
            try:
                answer = self._client.request(method, path, **request)
            except httpx.HTTPError as error:
                self._history.add("unanswered", path=path, error=repr(error))
            else:
                if answer.status_code in (status, or_else):
                    return answer
                self._history.add("refused", path=path, status=answer.status_code, body=answer.text[:500])
            self.gives_up.wait(PAUSE_SECONDS)
        return None
