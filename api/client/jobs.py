"""Jobs: posting, following and ending them, and their results."""

import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from pydantic import ConfigDict, PrivateAttr

from api.client.answers import parse, parse_page
from api.client.data import Artifact, Event, JobData, Preview
from api.client.errors import JobCanceled, JobFailed, WaitTimedOut
from api.client.events import follow
from api.client.files import write_numbered
from api.client.resources import delete
from api.client.sans_io import (
    Asynchronous,
    Emits,
    Request,
    Steps,
    Synchronous,
    change,
    iteration,
    operation,
    send,
    sleep,
)
from core.schemas.jobs import JobStatus

if TYPE_CHECKING:
    from PIL.Image import Image

FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.2, 2.0
PREVIEW = "preview.png"  # replaced while the job runs; not a result


class JobMethods(JobData):
    """A job, as the service showed it last; `refresh` asks again."""

    model_config = ConfigDict(ignored_types=(operation, change, iteration))

    _runner: Any = PrivateAttr()

    @property
    def ended(self) -> bool:
        return self.status.final

    @change
    def refresh(self) -> Steps[None]:
        """Bring this job up to date."""
        yield from self._request("GET")

    @change
    def cancel(self) -> Steps[None]:
        """Cancel the job. A running one ends within 2 s. Raises Conflict if it has ended."""
        yield from self._request("POST", "/cancel")

    @change
    def resume(
        self,
        iterations: int | None = None,
        time_limit_seconds: float | None = None,
        canvas_iterations: int | None = None,
    ) -> Steps[None]:
        """Continue from the last checkpoint, up to `iterations` if given. Raises Conflict if the job cannot go on.

        canvas_iterations: of the last stage, for a job whose parameters have one.
        """
        counts = {"iterations": iterations, "canvas_iterations": canvas_iterations}
        params = {name: count for name, count in counts.items() if count is not None}
        yield from self._request("POST", "/resume", {"params": params, "time_limit_seconds": time_limit_seconds})

    @operation
    def delete(self) -> Steps[None]:
        """Delete the job and its files; the model that it learned stays. Raises Conflict if it has not ended."""
        yield from delete(f"v1/jobs/{self.id}")

    @change
    def wait(self, timeout: float | None = None) -> Steps[None]:
        """Wait until the job has succeeded. Raises JobFailed, JobCanceled, or WaitTimedOut after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_POLL_SECONDS
        yield from self._request("GET")
        while not self.ended:
            left = pause if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise WaitTimedOut(self, f"job {self.id} has not ended within {timeout:g} s")
            yield from sleep(min(pause, left))
            pause = min(1.5 * pause, MAX_POLL_SECONDS)
            yield from self._request("GET")
        self.raise_unless_succeeded()

    def raise_unless_succeeded(self) -> None:
        """Raise JobFailed or JobCanceled if the job ended so."""
        if self.status is JobStatus.FAILED:
            raise JobFailed(
                self, f"job {self.id} has failed: {self.error.detail if self.error else 'no reason is known'}"
            )
        if self.status is JobStatus.CANCELED:
            raise JobCanceled(self, f"job {self.id} was canceled")

    @iteration
    def events(self, after: str | None = None) -> Emits[Event]:
        """Iterate over the job's events, stored and new ones, until the job has ended; `after`: from this id on.

        A job that was resumed has a `done` among its events for each time that it ended. If the connection breaks, this
        goes on after the last event (Last-Event-ID).
        """
        yield from follow(f"v1/jobs/{self.id}/events", after, until_done=True)

    @operation
    def metrics_series(self) -> Steps[list[dict[str, Any]]]:
        """Return what was measured while learning, one entry for each iteration."""
        response = yield from send(Request("GET", f"v1/jobs/{self.id}/metrics"))
        return parse_page(json.loads, response)[0]

    @operation
    def previews(self) -> Steps[list[Preview]]:
        """Return the job's previews that are kept, the oldest first; `read` returns the picture of one."""
        response = yield from send(Request("GET", f"v1/jobs/{self.id}/previews"))
        return parse_page(Preview.model_validate_json, response)[0]

    @operation
    def read(self, artifact: str | Artifact | Preview, /) -> Steps[bytes]:
        """Return the content of one of the job's files."""
        return (yield from send(self._file(artifact))).content

    @property
    def pictures(self) -> list[Artifact]:
        """The pictures that the job was to make, without sheets, plots and previews."""
        made = tuple(f"{verb}-" for verb in ("synthesized", "reconstructed", "inpainted"))
        return [one for one in self.artifacts if one.name.startswith(made)]

    @property
    def frames(self) -> list[Artifact]:
        """The pictures of the walks to the attractors, walk after walk, each from its first to its last."""
        return sorted((one for one in self.artifacts if one.name.startswith("walk-")), key=lambda one: one.name)

    @operation
    def _images(self) -> Steps["list[Image]"]:
        from PIL import Image

        yield from self._refresh_until_ended()
        found: list[Image.Image] = []
        for artifact in self.pictures:
            content = (yield from send(self._file(artifact))).content
            found.append(Image.open(io.BytesIO(content)))
        return found

    @operation
    def download(
        self, folder: str | Path, /, names: Sequence[str] | None = None, titled: bool = False
    ) -> Steps[list[Path]]:
        """Write the job's files, or those named, to the folder; return their paths.

        titled: give them names as the studio does, which say what they are of: "Brick wall-synthesized-000-4d5e6f.png".
        No file is overwritten: a name that exists gets the next number that is free. None is there half-written.
        Raises ValueError if the job has no file of a given name.
        """
        yield from self._refresh_until_ended()
        if missing := set(names or ()) - {one.name for one in self.artifacts}:
            raise ValueError(f"job {self.id} has no file {sorted(missing)[0]!r}")
        Path(folder).mkdir(parents=True, exist_ok=True)
        wanted = [one for one in self.artifacts if (one.name != PREVIEW if names is None else one.name in names)]
        written: list[Path] = []
        for artifact in wanted:
            name = Path(artifact.name).name  # whatever answers, no file is written elsewhere
            path = yield from write_numbered(Path(folder) / name, self._file(artifact, download=titled), titled)
            written.append(path)
        return written

    def _refresh_until_ended(self) -> Steps[None]:
        """Ask for what a job has made since, unless it had ended when it was shown last."""
        if not self.ended:
            yield from self._request("GET")

    def _file(self, artifact: str | Artifact | Preview, download: bool = False) -> Request:
        url = f"v1/jobs/{self.id}/artifacts/{quote(artifact, safe='')}" if isinstance(artifact, str) else artifact.url
        return Request("GET", url, params={"download": "true"} if download else {})

    def _request(self, method: str, path: str = "", body: Any = None) -> Steps[None]:
        request = Request(method, f"v1/jobs/{self.id}{path}", json=body, idempotent=method == "GET")
        self._update(parse(JobData, (yield from send(request))))

    def _update(self, data: JobData) -> None:
        for name, value in data:
            setattr(self, name, value)


class Job(JobMethods, Synchronous):
    @property
    def images(self) -> "list[Image]":
        """The pictures that the job has made, of Pillow."""
        return self._images()


class AsyncJob(JobMethods, Asynchronous):
    async def images(self) -> "list[Image]":
        """Return the pictures that the job has made, of Pillow."""
        return await self._images()


AnyJob = TypeVar("AnyJob", bound=JobMethods)


def attached(job: AnyJob, runner: Any) -> AnyJob:
    """Return the job, whose operations `runner` will run."""
    job._runner = runner
    return job
