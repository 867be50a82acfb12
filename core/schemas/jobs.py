"""Kinds, queues, statuses and progress of jobs."""

from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class JobKind(StrEnum):
    TRAIN = "train"  # a dataset -> a model and its synthesized pictures
    SAMPLE = "sample"  # a model -> new pictures
    RECONSTRUCT = "reconstruct"  # a model and a dataset -> the pictures as the model's auto-encoder reconstructs them
    INPAINT = "inpaint"  # a model and a dataset -> the pictures with their transparent parts filled in
    CLASSIFY = "classify"  # models and a dataset -> the probability of each model for each picture

    @property
    def queue(self) -> "Queue":
        return Queue.TRAIN if self is JobKind.TRAIN else Queue.SAMPLE


class Queue(StrEnum):
    TRAIN = "train"  # long jobs
    SAMPLE = "sample"  # short jobs, which never wait behind an hour of training


class JobStatus(StrEnum):
    QUEUED = "queued"  # accepted, waiting for a worker
    RUNNING = "running"  # a worker has leased it
    SUCCEEDED = "succeeded"  # ended with all its results
    FAILED = "failed"  # ended without results; `error` says why
    CANCELED = "canceled"  # ended by its owner

    @property
    def final(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class Replay(BaseModel):
    """The picture that a job makes again: its name among the results, and what it was made with.

    With another version, precision or device, or by another number of learning processes, its pixels may differ.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    precision: str
    device: str
    processes: int | None = None  # of a training job, if the picture says it

    def differences(self, version: str, precision: str | None, device: str, processes: int | None) -> list[str]:
        """Return a warning for each respect in which the picture is made again otherwise.

        precision and processes: None if the job has none.
        """
        compared = (
            ("version {}", self.version, version),
            ("device {}", self.device, device),
            ("precision {}", self.precision, precision),
            ("{} learning process" if self.processes == 1 else "{} learning processes", self.processes, processes),
        )
        return [
            f"the picture was made with {what.format(before)}, and again with {now}: their pixels may differ"
            for what, before, now in compared
            if None not in (before, now) and before != now
        ]


class Progress(BaseModel):
    """Progress of a job: `iteration` within `stage`, `fraction` of the whole, and the time left in seconds.

    silent: the job's worker has not been heard from for several heartbeats; the time left is not known then.
    """

    model_config = ConfigDict(frozen=True)

    stage: int = 0
    stages: int = 1
    iteration: int = 0
    iterations: int = 0
    fraction: float = 0.0
    eta_seconds: float | None = None
    silent: bool = False

    @property
    def as_silent(self) -> "Progress":
        return self.model_copy(update={"eta_seconds": None, "silent": True})

    @classmethod
    def of_shards(cls, shards: Sequence["Progress"], latest: "Progress") -> "Progress":
        """Return the progress of a split job; `latest` is the progress that one of the shards has just reported.

        The fraction is the mean of the shards', weighted by their stages. The time left assumes that as many shards
        keep running as now, each at its present rate.
        """
        stages = sum(one.stages for one in shards)
        left = sum(one.stages * (1 - one.fraction) for one in shards)
        rate = sum(one.stages * (1 - one.fraction) / one.eta_seconds for one in shards if one.eta_seconds)
        return cls(
            stage=sum(one.stage for one in shards),
            stages=stages,
            iteration=latest.iteration,
            iterations=latest.iterations,
            fraction=1 - left / stages,
            eta_seconds=round(left / rate, 1) if rate else None if left else 0.0,
        )
