"""What a job is: its kinds, its states, how far it has come."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class JobKind(StrEnum):
    TRAIN = "train"  # a dataset -> a model and its synthesized pictures
    SAMPLE = "sample"  # a model -> new pictures
    RECONSTRUCT = "reconstruct"  # a model and a dataset -> the pictures as the model's auto-encoder gives them back
    INPAINT = "inpaint"  # a model and a dataset -> the pictures, their transparent parts painted
    CLASSIFY = "classify"  # models and a dataset -> which of the models each picture comes from, as probabilities

    @property
    def queue(self) -> "Queue":
        return Queue.TRAIN if self is JobKind.TRAIN else Queue.SAMPLE


class Queue(StrEnum):
    TRAIN = "train"  # long work
    SAMPLE = "sample"  # short work, which never waits behind an hour of training


class JobStatus(StrEnum):
    QUEUED = "queued"  # accepted, waiting for a worker
    RUNNING = "running"  # a worker holds its lease
    SUCCEEDED = "succeeded"  # its results are complete
    FAILED = "failed"  # it ended without them; `error` says why
    CANCELED = "canceled"  # its owner stopped it

    @property
    def final(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class Progress(BaseModel):
    """How far a job has come. `iteration` counts within `stage`; `fraction` is of the whole; the ETA is in seconds."""

    model_config = ConfigDict(frozen=True)

    stage: int = 0
    stages: int = 1
    iteration: int = 0
    iterations: int = 0
    fraction: float = 0.0
    eta_seconds: float | None = None
