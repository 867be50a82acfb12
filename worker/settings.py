"""Settings of a worker process."""

from typing import Annotated

from pydantic import Field

from core.runtime.settings import Settings


class WorkerSettings(Settings):
    threads: Annotated[
        int | None,
        Field(ge=1, description="Processor threads of a job. If absent, the busy workers of a queue divide all cores."),
    ] = None
    device: Annotated[
        str, Field(description="auto, cpu, or a torch device such as cuda:0; auto uses a GPU if there is one.")
    ] = "auto"
    picture_metadata: Annotated[
        bool, Field(description="Write into each picture how it was made, so that it can be made again.")
    ] = True
    niceness: Annotated[
        int, Field(ge=0, le=19, description="Unix niceness of the work, so that the API stays responsive.")
    ] = 10
    preview_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="Time between two previews of a job at work, at most, unless they cost more than 5 % of it. At "
            "the beginning they come sooner.",
        ),
    ] = 5.0
    progress_seconds: Annotated[float, Field(gt=0, description="Time between two writes of a job's progress.")] = 0.5
