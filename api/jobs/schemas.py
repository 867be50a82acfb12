"""Requests for jobs, and jobs as responses show them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from api.files.thumbnails import thumbnail_url
from api.http.pagination import Time
from api.http.public_urls import public_url
from core.jobs.requests import RunningJob
from core.schemas.classification import MAX_MODELS, MIN_MODELS, ClassifyParams
from core.schemas.inpainting import InpaintParams
from core.schemas.jobs import JobKind, JobStatus, Progress, Replay
from core.schemas.learning import LearningParams
from core.schemas.reconstruction import ReconstructParams
from core.schemas.sampling import SampleParams, with_later_settings
from core.schemas.times import utc_datetime
from core.storage.tables import NAME_LENGTH, Artifact, Job, Preview

Id = Annotated[str, Field(min_length=1, max_length=40)]

# The parameters of learning, each optional; a given one replaces that of the preset.
LearningOverrides: Any = create_model(
    "LearningOverrides",
    __config__=ConfigDict(extra="forbid", frozen=True),
    **{  # type: ignore[call-overload]
        name: (Annotated[field.annotation, *field.metadata, Field(description=field.description)], None)
        for name, field in LearningParams.model_fields.items()
    },
)


TimeLimit = Annotated[
    float | None,
    Field(
        gt=0,
        allow_inf_nan=False,
        description="The job fails after this many seconds of work, counted over all its attempts.",
    ),
]


class JobOptions(BaseModel):
    """What a request for a job of any kind may hold."""

    model_config = ConfigDict(extra="forbid")

    priority: Annotated[
        int,
        Field(
            ge=-10,
            le=10,
            description="Jobs of higher priority start first, and older ones before newer ones of the same priority.",
        ),
    ] = 0
    time_limit_seconds: TimeLimit = None


class TrainJobIn(JobOptions):
    """Learn a model from a dataset."""

    kind: Literal["train"]
    dataset_id: Id
    preset: Annotated[str, Field(max_length=40, description="A set of parameters, see /v1/presets.")] = "quick"
    model_name: Annotated[
        str | None, Field(max_length=NAME_LENGTH, pattern=r"^[^\x00]*$", description="What the model will be called.")
    ] = None
    params: LearningOverrides = Field(default_factory=LearningOverrides)


class SampleJobIn(JobOptions):
    """Draw new pictures from a model."""

    kind: Literal["sample"]
    model_id: Id
    params: SampleParams = Field(default_factory=SampleParams)


class ReconstructJobIn(JobOptions):
    """Encode and decode pictures with a model, as an auto-encoder. Not for models of patches."""

    kind: Literal["reconstruct"]
    model_id: Id
    dataset_id: Id
    params: ReconstructParams = Field(default_factory=ReconstructParams)


class InpaintJobIn(JobOptions):
    """Paint the transparent parts of pictures (alpha below 128), or what their tiling would show. Not for patches."""

    kind: Literal["inpaint"]
    model_id: Id
    dataset_id: Id
    params: InpaintParams = Field(default_factory=InpaintParams)


class ClassifyJobIn(JobOptions):
    """Decide which of several models, each of one category, each picture most likely comes from.

    All models must have learned pictures of the same size and number of channels.
    """

    kind: Literal["classify"]
    model_ids: Annotated[list[Id], Field(min_length=MIN_MODELS, max_length=MAX_MODELS)]
    dataset_id: Id
    params: ClassifyParams = Field(default_factory=ClassifyParams)


AnyJobIn = TrainJobIn | SampleJobIn | ReconstructJobIn | InpaintJobIn | ClassifyJobIn
JobIn = Annotated[AnyJobIn, Field(discriminator="kind")]


class ResumeIn(BaseModel):
    """How many iterations a resumed job is to reach, and for how long it may work.

    canvas_iterations: of the last stage, if the job has one (`LearningParams.canvas_iterations`).
    """

    model_config = ConfigDict(extra="forbid")

    class Params(BaseModel):
        model_config = ConfigDict(extra="forbid")

        iterations: Annotated[int | None, Field(ge=1, le=100_000)] = None
        canvas_iterations: Annotated[int | None, Field(ge=1, le=100_000)] = None

    params: Params | None = None
    time_limit_seconds: TimeLimit = None


class ArtifactOut(BaseModel):
    name: str
    media_type: str
    bytes: int
    sha256: str
    width: int | None
    height: int | None
    url: str
    thumbnail_url: str | None

    @classmethod
    def of(cls, job_id: str, row: Artifact) -> "ArtifactOut":
        url = public_url(f"/v1/jobs/{job_id}/artifacts/{row.name}")
        return cls(
            name=row.name,
            media_type=row.media_type,
            bytes=row.bytes,
            sha256=row.sha256,
            width=row.width,
            height=row.height,
            url=url,
            thumbnail_url=thumbnail_url(url, row),
        )


class PreviewOut(BaseModel):
    """What a job worked on looked like. step: the iterations of all stages, or pictures, up to it."""

    step: int
    stage: int
    iteration: int
    width: int
    height: int
    bytes: int
    sha256: str
    url: str
    thumbnail_url: str | None

    @classmethod
    def of(cls, job_id: str, row: Preview) -> "PreviewOut":
        url = public_url(f"/v1/jobs/{job_id}/previews/{row.step}")
        return cls(
            step=row.step,
            stage=row.stage,
            iteration=row.iteration,
            width=row.width,
            height=row.height,
            bytes=row.bytes,
            sha256=row.sha256,
            url=url,
            thumbnail_url=thumbnail_url(url, row),
        )


class ErrorOut(BaseModel):
    """Why a job failed: `type` is for programs, `detail` for people."""

    type: str
    detail: str


class RunningJobOut(BaseModel):
    """A running job for which a queued one waits. `id` is null if it is another owner's."""

    id: str | None
    kind: JobKind
    eta_seconds: float | None


class JobOut(BaseModel):
    id: str
    kind: JobKind
    status: JobStatus
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    priority: int
    queue_position: int | None
    waits_for: Annotated[
        list[RunningJobOut] | None,
        Field(
            description="Of a queued job: up to 3 jobs of the same queue that are worked on, the one that ends first "
            "first, with the seconds that each still takes, as far as that is known. Null if the job is not queued."
        ),
    ]
    attempt: int
    continues_from: Annotated[
        Literal["checkpoint", "results", "start"] | None,
        Field(
            description="Where the next attempt would begin, also after `resume`: at the last checkpoint, after the "
            "results of a job of many pictures, or at the start, because nothing is kept yet. Null if all is done."
        ),
    ]
    time_limit_seconds: float | None
    progress: Progress
    metrics: dict[str, Any]
    preset: str | None
    params: dict[str, Any]
    error: ErrorOut | None
    dataset_id: str | None
    dataset_name: Annotated[
        str | None,
        Field(
            description="What the dataset is called: its name, or that of its first picture and how many more it has. "
            "Null without a dataset, or if it was deleted."
        ),
    ]
    model_id: str | None
    model_name: Annotated[
        str | None,
        Field(description="What the request named the model that the job learns; the model itself may be renamed."),
    ]
    replays: Annotated[
        Replay | None,
        Field(description="The picture that the job makes again, named as among its artifacts; see POST /v1/replays."),
    ]
    artifacts: list[ArtifactOut]

    @classmethod
    def of(
        cls,
        row: Job,
        queue_position: int | None,
        waits_for: Sequence[RunningJob] | None,
        dataset_name: str | None,
        is_silent: bool,
    ) -> "JobOut":
        """Return a job as responses show it. is_silent: see Progress."""
        progress = Progress.model_validate(row.progress)
        return cls(
            id=row.id,
            kind=row.kind,
            status=row.status,
            created_at=utc_datetime(row.created_at),
            started_at=utc_datetime(row.started_at) if row.started_at else None,
            finished_at=utc_datetime(row.finished_at) if row.finished_at else None,
            priority=row.priority,
            queue_position=queue_position,
            waits_for=None if waits_for is None else [RunningJobOut(**asdict(one)) for one in waits_for],
            attempt=row.attempt,
            continues_from=_continues_from(row),
            time_limit_seconds=row.time_limit_seconds,
            progress=progress.as_silent if is_silent else progress,
            metrics=row.metrics,
            preset=row.preset,
            params=with_later_settings(row.params) if row.kind == JobKind.SAMPLE else row.params,
            error=ErrorOut.model_validate(row.error) if row.error else None,
            dataset_id=row.dataset_id,
            dataset_name=dataset_name,
            model_id=row.model_id,
            model_name=row.model_name,
            replays=Replay.model_validate(row.replays) if row.replays else None,
            artifacts=[ArtifactOut.of(row.id, artifact) for artifact in row.artifacts],
        )


def _continues_from(row: Job) -> Literal["checkpoint", "results", "start"] | None:
    if row.checkpoint is not None:
        return "checkpoint"
    if row.status == JobStatus.SUCCEEDED:
        return None
    return "results" if row.shards and row.artifacts else "start"
