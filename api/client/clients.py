"""`Client` and `AsyncClient`: uploads, and a method for each kind of job."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from types import TracebackType
from typing import Any, Generic, Self

import httpx

from api.client.answers import parse
from api.client.data import Dataset, Event, Model
from api.client.errors import Conflict, Invalid, LimitReached, NotFound
from api.client.events import follow
from api.client.jobs import AnyJob, AsyncJob, Job, attached
from api.client.resources import (
    AsyncDatasets,
    AsyncModels,
    AsyncPresets,
    Datasets,
    Models,
    Presets,
    create_dataset,
    delete,
    id_of,
    in_path,
    pages_of,
)
from api.client.runners import AsyncRunner, SyncRunner
from api.client.sans_io import (
    Asynchronous,
    Emits,
    Request,
    Steps,
    Synchronous,
    idempotency_header,
    iteration,
    operation,
    send,
)
from api.client.uploads import Pictures, PicturesOrDataset, parts_of
from core.schemas.jobs import JobKind, JobStatus
from core.schemas.references import with_ids
from core.version import VERSION

TIMEOUT_SECONDS = 60.0
RETRY_SECONDS = 60.0
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class JobOptions:
    """What jobs of every kind may be given.

    priority: -10 to 10; jobs of higher priority start first. time_limit_seconds: of work, then the job fails.
    idempotency_key: the same key and the same request give the same job, also from another run of a program. Pictures
    are a new dataset in each request: upload them before, with a key of their own. By default each call has its own
    key, which its repetitions share.
    """

    priority: int = 0
    time_limit_seconds: float | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Blended:
    """Another model to draw on the same canvas. mask: one picture, white where it is drawn; None for everywhere.

    weight: factor on the mask, 0 to 1; without a mask, how much of what the masks leave is the model's.
    softness: of the mask's border, as a standard deviation in windows of the nets.
    """

    model: str | Model
    mask: PicturesOrDataset | None = None
    weight: float | None = None
    softness: float | None = None

    @property
    def params(self) -> dict[str, Any]:
        soft = {"softness": self.softness} if self.softness is not None else {}  # older services do not know it
        return {"model_id": id_of(self.model), "weight": self.weight, **soft}


class _Jobs(Generic[AnyJob]):
    job_type: type[AnyJob]

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    @operation
    def show(self, job_id: str, /) -> Steps[AnyJob]:
        """Return a job. Raises NotFound."""
        response = yield from send(Request("GET", f"v1/jobs/{in_path(job_id, 'job')}"))
        return attached(parse(self.job_type, response), self._runner)

    @iteration
    def list(self, kind: str | JobKind | None = None, status: str | JobStatus | None = None) -> Emits[AnyJob]:
        """Iterate over all jobs, or those of a kind or status, newest first."""
        wanted = {name: value for name, value in (("kind", kind), ("status", status)) if value is not None}
        yield from pages_of(self._parse, "v1/jobs", wanted)

    def _parse(self, content: bytes) -> AnyJob:
        return attached(self.job_type.model_validate_json(content), self._runner)


class Jobs(_Jobs[Job], Synchronous):
    job_type = Job


class AsyncJobs(_Jobs[AsyncJob], Asynchronous):
    job_type = AsyncJob


class _Client(Generic[AnyJob]):
    job_type: type[AnyJob]
    _runner: Any

    @operation
    def upload(
        self, pictures: Pictures, /, name: str | None = None, *, idempotency_key: str | None = None
    ) -> Steps[Dataset]:
        """Upload pictures as a dataset: a path, a folder, a zip, encoded bytes, a picture of Pillow, or several.

        A dictionary is a material: aligned maps by role, such as {"albedo": "wood.png", "height": "wood_h.png"}.
        idempotency_key: the same key and the same pictures give the same dataset, also from another run of a program.
        Raises Invalid, naming the file, if one cannot be read; then none is stored.
        """
        return (yield from create_dataset(pictures, name, idempotency_key))

    @operation
    def train(
        self,
        pictures: PicturesOrDataset,
        /,
        preset: str = "quick",
        options: JobOptions = JobOptions(),
        *,
        name: str | None = None,
        **params: Any,
    ) -> Steps[AnyJob]:
        """Learn a model. params: what replaces the preset's, such as `iterations`; see `presets.list()`.

        name: what the model will be called.
        """
        fields = {"preset": preset, **({} if name is None else {"model_name": name})}
        return (yield from self._post_on(pictures, "train", options, params, **fields))

    @operation
    def sample(
        self,
        model: str | Model,
        /,
        options: JobOptions = JobOptions(),
        start: PicturesOrDataset | None = None,
        guide: PicturesOrDataset | None = None,
        blend: Sequence[Blended] = (),
        end: PicturesOrDataset | None = None,
        **params: Any,
    ) -> Steps[AnyJob]:
        """Draw pictures from a model. params: count, width, height, steps, step_size, seed, tileable, layout_strength.

        start: one picture, to draw variations of it; `start_strength` says how far they leave it. guide: one picture,
        whose light, dark and colours are followed; `guide_strength` says how strongly. blend: other models, each drawn
        where its mask is white. end: one picture, to which the pictures pass from `start`.
        """
        given = {"start_dataset_id": start, "guide_dataset_id": guide, "end_dataset_id": end}
        given |= {f"blend[{index}].mask_dataset_id": one.mask for index, one in enumerate(blend)}
        named = {name: pictures for name, pictures in given.items() if pictures is not None}
        if blend:
            params["blend"] = [one.params for one in blend]
        post = partial(self._post, "sample", options, model_id=id_of(model))
        return (yield from self._post_with(named, lambda ids: post(params=with_ids(params, ids))))

    @operation
    def reconstruct(
        self,
        model: str | Model,
        pictures: PicturesOrDataset,
        /,
        options: JobOptions = JobOptions(),
        **params: Any,
    ) -> Steps[AnyJob]:
        """Encode and decode pictures with a model. params: mode (one_pass or attractor), steps, frames.

        frames: pictures of each walk to the attractor to keep; see `Job.frames`.
        """
        return (yield from self._post_on(pictures, "reconstruct", options, params, model_id=id_of(model)))

    @operation
    def inpaint(
        self,
        model: str | Model,
        pictures: PicturesOrDataset,
        /,
        options: JobOptions = JobOptions(),
        **params: Any,
    ) -> Steps[AnyJob]:
        """Paint the transparent parts of pictures. params: count, steps, step_size, seed.

        With `seam=True` it makes opaque pictures tileable: it paints a band along their edges, of `seam_width` pixels.
        """
        return (yield from self._post_on(pictures, "inpaint", options, params, model_id=id_of(model)))

    @operation
    def classify(
        self,
        models: Sequence[str | Model],
        pictures: PicturesOrDataset,
        /,
        options: JobOptions = JobOptions(),
        **params: Any,
    ) -> Steps[AnyJob]:
        """Decide which of the models each picture most likely comes from. params: chains, temperatures, steps, seed."""
        model_ids = [id_of(model) for model in models]
        return (yield from self._post_on(pictures, "classify", options, params, model_ids=model_ids))

    @iteration
    def events(self, after: str | None = None) -> Emits[Event]:
        """Iterate over the events of all jobs, without end; `data["job_id"]` says whose. `after`: from this id on.

        It begins with the status of each job that has not ended.
        """
        yield from follow("v1/events", after, until_done=False)

    @operation
    def replay(self, picture: str | Path | bytes, /, idempotency_key: str | None = None) -> Steps[AnyJob]:
        """Make a picture of this software again, from what its file says: with the same model or dataset.

        Raises Invalid if it does not say so, and NotFound if the service does not have the model or the dataset.
        """
        files = [("image", part) for part in parts_of(picture)]
        request = Request("POST", "v1/replays", files=files, headers=idempotency_header(idempotency_key))
        response = yield from send(request)
        return attached(parse(self.job_type, response), self._runner)

    def _post_on(
        self, pictures: PicturesOrDataset, kind: str, options: JobOptions, params: dict[str, Any], **fields: Any
    ) -> Steps[AnyJob]:
        """Post a job on pictures."""
        post = partial(self._post, kind, options, params, **fields)
        return (yield from self._post_with({"dataset_id": pictures}, lambda ids: post(**ids)))

    def _post_with(
        self, pictures: Mapping[str, PicturesOrDataset], post: Callable[[dict[str, str]], Steps[AnyJob]]
    ) -> Steps[AnyJob]:
        """Call `post` with the ids of datasets by name. If it is refused, those uploaded only for it are deleted."""
        ids: dict[str, str] = {}
        uploaded: list[Dataset] = []
        try:
            for name, given in pictures.items():
                if isinstance(given, Dataset):
                    ids[name] = given.id
                else:
                    uploaded.append((yield from create_dataset(given, None)))
                    ids[name] = uploaded[-1].id
            return (yield from post(ids))
        except (Invalid, NotFound, Conflict, LimitReached):
            for dataset in uploaded:
                yield from delete(f"v1/datasets/{in_path(dataset, 'dataset')}")
            raise

    def _post(self, kind: str, options: JobOptions, params: dict[str, Any], **fields: Any) -> Steps[AnyJob]:
        body = {"kind": kind, **fields, "params": params, "priority": options.priority}
        if options.time_limit_seconds is not None:
            body["time_limit_seconds"] = options.time_limit_seconds
        request = Request("POST", "v1/jobs", json=body, headers=idempotency_header(options.idempotency_key))
        response = yield from send(request)
        return attached(parse(self.job_type, response), self._runner)


class Client(_Client[Job], Synchronous):
    """A client of the service at `url`. key: an API key, if the service needs one.

    timeout: seconds for connecting, and without a byte of an answer. retry_seconds: how long a request that may be sent
    again is repeated while the service is away or busy; a service that has never answered is not waited for.

    A service on this machine is reached without the proxies that the environment names.
    """

    job_type = Job

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._http = httpx.Client(**_settings(url, key, timeout))
        self._runner = SyncRunner(self._http, retry_seconds)
        self.datasets, self.jobs = Datasets(self._runner), Jobs(self._runner)
        self.models, self.presets = Models(self._runner), Presets(self._runner)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class AsyncClient(_Client[AsyncJob], Asynchronous):
    """The same as `Client`, with methods to await, and `async for` for what is iterated over."""

    job_type = AsyncJob

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._http = httpx.AsyncClient(**_settings(url, key, timeout))
        self._runner = AsyncRunner(self._http, retry_seconds)
        self.datasets, self.jobs = AsyncDatasets(self._runner), AsyncJobs(self._runner)
        self.models, self.presets = AsyncModels(self._runner), AsyncPresets(self._runner)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()


def _settings(url: str, key: str | None, timeout: float) -> dict[str, Any]:
    """Return the arguments of httpx's clients. Raises ValueError if `url` is not one of HTTP, or `key` is no key."""
    try:
        base_url = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from error
    if base_url.scheme not in ("http", "https") or not base_url.host:
        raise ValueError(f"{url!r} is not a URL such as http://127.0.0.1:8000")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise ValueError("the key is not one of genconvnet: it has a line break, or characters that are not ASCII")
    headers = {"User-Agent": f"genconvnet/{VERSION}", **({"Authorization": f"Bearer {key}"} if key else {})}
    is_local = base_url.host in LOCAL_HOSTS
    # Without TLS there is no certificate to verify, and to load the authorities takes 30 ms.
    tls = SSLContext(PROTOCOL_TLS_CLIENT) if is_local and base_url.scheme == "http" else True
    return {"base_url": base_url, "headers": headers, "timeout": timeout, "trust_env": not is_local, "verify": tls}
