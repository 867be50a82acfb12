"""A job's news as server-sent events, with replay from Last-Event-ID."""

import asyncio
from collections.abc import AsyncIterator

from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent
from redis import RedisError

from api.house import House
from core.broker import events
from core.contracts.jobs import JobStatus
from core.store import jobs
from core.store.errors import NotFound
from core.store.schema import Job

FIRST_WAIT_SECONDS, WAIT_SECONDS = 0.05, 5.0  # who asks after a job that has ended learns so at once
FIRST = "0"


async def follow(house: House, job_id: str, after: str | None) -> AsyncIterator[ServerSentEvent]:
    """Everything after the event `after` (all, when absent), and on until the job's end.

    What the stream has lost, the row makes good: a job that has ended always gets its `done`.
    """
    last, wait = after or FIRST, FIRST_WAIT_SECONDS
    while True:
        try:
            batch = await events.read(house.async_redis, job_id, last, wait)
            wait = WAIT_SECONDS
        except RedisError:
            batch = []
            await asyncio.sleep(1)
        for event in batch:
            last = event.id
            yield ServerSentEvent(event=event.name, id=event.id, data=event.data)
        if batch and batch[-1].name != "done":
            continue
        try:
            job = await run_in_threadpool(jobs.find, house.database, job_id)
        except NotFound:  # deleted meanwhile
            return
        if JobStatus(job.status).final:
            if not batch:
                yield ServerSentEvent(event="done", id=_after(last), data=_end_of(job))
            return


def _end_of(job: Job) -> dict[str, object]:
    return {"status": job.status} if job.error is None else {"status": job.status, "error": job.error}


def _after(last: str) -> str:
    """An id that comes next, so that replaying from it gives nothing twice."""
    milliseconds, _, count = last.partition("-")
    return f"{milliseconds}-{int(count or 0) + 1}"
