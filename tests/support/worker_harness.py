"""Run the worker's job handlers in the test's process, on a real database, blob store and broker."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from redis import Redis
from support import rows

import worker.previews
from api.datasets.files import UploadedFile
from api.datasets.limits import Limits
from api.datasets.map_reader import read_map
from api.datasets.picture_reader import read_picture
from api.settings import ApiSettings
from core.jobs import outcomes, requests
from core.jobs.leases import JobLease
from core.jobs.requests import NewJob
from core.jobs.results import NewModel
from core.pictures.images import Levels
from core.schemas.learning import LearningParams
from core.schemas.materials import MaterialMap
from core.storage import datasets
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.storage.tables import Dataset, DatasetImage, Job, new_id
from core.synthesis.trained_model import TrainedModel, save_model
from core.theory.model import GenerativeConvNet
from worker.job_context import JobContext
from worker.lease_renewer import LeaseRenewer
from worker.runner import HANDLERS
from worker.settings import WorkerSettings

LIMITS = Limits.of(ApiSettings())


class WorkerHarness:
    """Creates datasets, models and jobs with their files, and does the jobs."""

    def __init__(self, database: Database, blobs: Blobs, redis: Redis, folder: Path) -> None:
        self.database, self.blobs, self._redis = database, blobs, redis
        self.settings = WorkerSettings(data_dir=folder, heartbeat_seconds=0.05, progress_seconds=0.2)
        self.stopping: Callable[[], bool] = lambda: False

    def add_dataset(self, **pictures: bytes) -> str:
        """Store pictures, given as name=content, as the API does; return the dataset's id."""
        dataset = Dataset(id=new_id("dataset"), name=None, images=[])
        for index, (name, content) in enumerate(pictures.items()):
            one = read_picture(UploadedFile("images", f"{name}.png", content), LIMITS)
            stored = self.blobs.put(f"datasets/{dataset.id}/{index}.png", one.png)
            about = {"width": one.width, "height": one.height, "mode": one.mode, "media_type": "image/png"}
            columns = {"bytes": stored.bytes, "sha256": stored.sha256, "blob": stored.blob}
            dataset.images.append(DatasetImage(index=index, filename=one.filename, **about, **columns))
        return datasets.add(self.database, dataset).id

    def add_material(self, maps: Sequence[MaterialMap], files: Sequence[bytes]) -> str:
        """Store the maps of a material, PNG files, as the API does; return the dataset's id."""
        dataset = Dataset(id=new_id("dataset"), name=None, images=[])
        for index, (one, content) in enumerate(zip(maps, files, strict=True)):
            upload = UploadedFile("images", f"{one.role}.png", content)
            read = read_map(upload, LIMITS, one.role)
            assert (read.mode, read.bits) == ({1: "L", 3: "RGB"}[one.channels], one.bits)
            stored = self.blobs.put(f"datasets/{dataset.id}/{index}.png", read.png)
            about = {"width": read.width, "height": read.height, "mode": read.mode, "media_type": "image/png"}
            columns = {"bytes": stored.bytes, "sha256": stored.sha256, "blob": stored.blob}
            row = DatasetImage(index=index, filename=read.filename, bits=read.bits, role=one.role, **about, **columns)
            dataset.images.append(row)
        return datasets.add(self.database, dataset).id

    def add_model(
        self,
        net: GenerativeConvNet,
        params: LearningParams,
        levels: Levels,
        chains: torch.Tensor | None = None,
        maps: tuple[MaterialMap, ...] = (),
    ) -> str:
        """Store a model as a training job does, with one blank chain unless `chains` are given; return its id."""
        if chains is None:
            chains = torch.zeros(1, net.architecture.channels, params.side, params.side)
        content = save_model(TrainedModel(net, levels, chains, params, maps))
        lease = rows.claimed(self.database)
        stored = self.blobs.put(lease.path("model.safetensors"), content)
        model = NewModel(new_id("model"), stored, params.model_dump(mode="json"), net.architecture.channels, maps)
        outcomes.succeed(self.database, lease, [], rows.DONE, model=model)
        return model.id

    def work(self, new: NewJob, meanwhile: Callable[[JobContext], None] = lambda _: None) -> Job:
        """Do the job, which must be the only one in its queue; return its row. Raises what its handler raises.

        `meanwhile` is called before the handler, while the lease is being renewed.
        """
        self.context = self.begin(new)
        with self.context.renewer:
            meanwhile(self.context)
            HANDLERS[new.kind](self.context)
        return requests.find(self.database, self.context.lease.job_id)

    def cancel_soon(self, context: JobContext) -> None:
        """Cancel the job in a moment, while it is at work; an argument for `work`."""
        threading.Timer(0.1, requests.cancel, (self.database, context.lease.job_id)).start()

    def begin(self, new: NewJob) -> JobContext:
        """Accept and claim a job."""
        return self.context_of(rows.claimed(self.database, new))

    def context_of(self, lease: JobLease) -> JobContext:
        settings = self.settings
        renewer = LeaseRenewer(
            self.database,
            lease,
            lease_seconds=rows.LONG,
            heartbeat_seconds=settings.heartbeat_seconds,
            stopping=lambda: self.stopping(),
        )
        return JobContext(self.database, self.blobs, self._redis, settings, torch.device("cpu"), renewer)

    def file(self, job: Job, name: str) -> bytes:
        return self.blobs.get(next(one.blob for one in job.artifacts if one.name == name))


def show_every_step(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the jobs from now on publish a preview after each step."""
    monkeypatch.setattr(harness, "settings", harness.settings.model_copy(update={"preview_seconds": 1e-9}))
    monkeypatch.setattr(worker.previews, "COST_FACTOR", 0.0)
