"""A client of the service, synchronous and asynchronous. It imports neither torch nor anything of the service.

from api.client import Client

with Client("http://127.0.0.1:8000") as client:
    job = client.train("brick.jpg", preset="texture", iterations=500)
    for event in job.events():
        print(event.name, event.data)
    job.wait().download("learned")
    client.sample(job.model_id, count=2, width=1024, height=512, tileable=True).wait().images[0].show()
"""

from api.client.clients import AsyncClient, Blended, Client, JobOptions
from api.client.data import Artifact, Dataset, Event, JobError, Model, Parameter, Picture, Preset, Preview
from api.client.errors import (
    ClientError,
    Conflict,
    ErrorAnswer,
    Fault,
    Invalid,
    JobCanceled,
    JobFailed,
    LimitReached,
    NoAnswer,
    NotAllowed,
    NotFound,
    ServiceFailed,
    UnexpectedAnswer,
    Unreachable,
    WaitTimedOut,
)
from api.client.jobs import AsyncJob, Job
from core.schemas.jobs import JobKind, JobStatus, Progress

__all__ = [
    "Artifact",
    "AsyncClient",
    "AsyncJob",
    "Blended",
    "Client",
    "ClientError",
    "Conflict",
    "Dataset",
    "ErrorAnswer",
    "Event",
    "Fault",
    "Invalid",
    "Job",
    "JobCanceled",
    "JobError",
    "JobFailed",
    "JobKind",
    "JobOptions",
    "JobStatus",
    "LimitReached",
    "Model",
    "NoAnswer",
    "NotAllowed",
    "NotFound",
    "Parameter",
    "Picture",
    "Preset",
    "Preview",
    "Progress",
    "ServiceFailed",
    "UnexpectedAnswer",
    "Unreachable",
    "WaitTimedOut",
]
