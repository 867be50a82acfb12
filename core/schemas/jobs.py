"""What a job is: its kinds, its states, how far it has come."""

from collections.abc import Sequence
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

    @classmethod
    def joined(cls, shards: Sequence["Progress"], latest: "Progress") -> "Progress":
        """Of a whole job, from that of its shards, one of which has just told `latest`.

        The fraction is their mean, each counting for its stages. The ETA supposes that those at work go on at their
        pace, and that as many always are.
        """
        stages = sum(one.stages for one in shards)
        left = sum(one.stages * (1 - one.fraction) for one in shards)
        pace = sum(one.stages * (1 - one.fraction) / one.eta_seconds for one in shards if one.eta_seconds)
        return cls(
            stage=sum(one.stage for one in shards),
            stages=stages,
            iteration=latest.iteration,
            iterations=latest.iterations,
            fraction=1 - left / stages,
            eta_seconds=round(left / pace, 1) if pace else None if left else 0.0,
        )
