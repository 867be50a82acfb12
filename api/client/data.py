"""What the service answers, as typed data. Fields that a later release adds are kept as they come."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from core.schemas.jobs import JobKind, JobStatus, Progress, Replay
from core.schemas.materials import MaterialMap, Role


class Data(BaseModel):
    """The base of all data. Unknown fields are attributes too."""

    model_config = ConfigDict(extra="allow")


class Picture(Data):
    """A picture of a dataset, as it is stored. notes: what it lost besides its conversion to sRGB."""

    index: int
    filename: str
    width: int
    height: int
    bytes: int
    sha256: str
    notes: list[str]
    url: str
    thumbnail_url: str | None = None


class Skipped(Data):
    """A file of a zip, or of a folder, that is not part of the dataset."""

    file: str
    reason: str


class Map(Data):
    """A map of a material: the picture `index` of its dataset. channels: 1 grey, 3 RGB. bits: of each channel."""

    index: int
    role: Role
    channels: int
    bits: int


class Dataset(Data):
    """Uploaded pictures. maps: what each picture is, of a material; else none.

    skipped: what was left out of a zip or, if it was just uploaded, of a folder.
    """

    id: str
    name: str | None
    created_at: datetime
    images: list[Picture]
    skipped: list[Skipped] = []
    maps: list[Map] = []


class Artifact(Data):
    """A file that a job has made. width, height: of a picture, in pixels."""

    name: str
    media_type: str
    bytes: int
    sha256: str
    width: int | None
    height: int | None
    url: str
    thumbnail_url: str | None = None


class Preview(Data):
    """What a job worked on looked like. step: the iterations of all stages, or pictures, up to it."""

    step: int
    stage: int
    iteration: int
    width: int
    height: int
    bytes: int
    sha256: str
    url: str
    thumbnail_url: str | None = None


class JobError(Data):
    """Why a job failed: `type` is for programs, `detail` for people."""

    type: str
    detail: str


class RunningJob(Data):
    """A running job for which a queued one waits; `id` is None if it is another owner's."""

    id: str | None
    kind: JobKind
    eta_seconds: float | None


class JobData(Data):
    """A job as the service showed it last."""

    id: str
    kind: JobKind
    status: JobStatus
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    priority: int
    queue_position: int | None
    waits_for: list[RunningJob] | None = None
    attempt: int
    continues_from: Literal["checkpoint", "results", "start"] | None
    time_limit_seconds: float | None
    progress: Progress
    metrics: dict[str, Any]
    preset: str | None
    params: dict[str, Any]
    error: JobError | None
    dataset_id: str | None
    dataset_name: str | None = None
    model_id: str | None
    model_name: str | None = None
    replays: Replay | None = None
    artifacts: list[Artifact]


class LogPartition(Data):
    """The estimate of log Z that classifications use, from `chains` chains of annealed importance sampling."""

    value: float
    standard_error: float
    effective_samples: float
    chains: int
    temperatures: int
    steps: int


class Model(Data):
    """A model: what a training job has learned, or an imported file. params: the settings of its training."""

    id: str
    name: str | None
    created_at: datetime
    job_id: str | None
    dataset_name: str | None = None
    params: dict[str, Any]
    channels: int
    maps: list[MaterialMap] = []
    log_partition: LogPartition | None = None
    bytes: int
    sha256: str
    url: str


class Parameter(Data):
    """A parameter of training: its meaning, its default in a preset, and its bounds as in JSON Schema."""

    name: str
    description: str
    default: Any
    bounds: dict[str, Any]


class Preset(Data):
    """A named set of parameters for training. two_core_seconds: what learning took on two cores; None if unknown.

    expected_seconds: what it takes on the service, by its latest training jobs; None as long as none tells.
    """

    name: str
    description: str
    two_core_seconds: float | None = None
    expected_seconds: float | None = None
    params: dict[str, Any]
    parameters: list[Parameter]


class Event(Data):
    """An event of a job: its name, its data, and the id after which a stream can go on."""

    id: str
    name: str  # status, progress, preview or done; later releases may add others
    data: Mapping[str, Any]

    @property
    def progress(self) -> Progress | None:
        """The job's progress, in an event of that name."""
        return Progress.model_validate(self.data) if self.name == "progress" else None

    @property
    def status(self) -> JobStatus | None:
        """The job's status, in the events `status` and `done`."""
        return JobStatus(self.data["status"]) if self.name in ("status", "done") else None
