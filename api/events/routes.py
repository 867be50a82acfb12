"""/v1/events"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AfterValidator

from api.app_state import AppStateDep
from api.events.cursor import Position
from api.events.feed import stream_feed

router = APIRouter(prefix="/v1/events", tags=["events"])


def _event_id(text: str) -> str:
    Position.parse(text)
    return text


LastEventId = Annotated[
    Annotated[str, AfterValidator(_event_id)] | None,
    Header(max_length=90, description="Send the events after this one."),
]


@router.get("", response_class=EventSourceResponse)
async def feed(app_state: AppStateDep, last_event_id: LastEventId = None) -> AsyncIterator[ServerSentEvent]:
    """Stream the events `status`, `progress`, `preview` and `done` of all your jobs as they happen.

    Each event's data has the `job_id`, and otherwise what the event of that job's own stream has. The stream begins
    with the `status` of each job that has not ended and the `done` of those that ended in the last minute, and does not
    end by itself. After a reconnection with `Last-Event-ID` it begins with what was missed. Where events are too old to
    be kept, it has the current status of the jobs instead.
    """
    async for event in stream_feed(app_state, last_event_id):
        yield event
