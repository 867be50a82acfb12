"""Lists in pages: {data, has_more, next}, newest first."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Generic, Protocol, TypeVar

from fastapi import Query
from pydantic import BaseModel, PlainSerializer

from core.schemas.times import rfc3339

MAX_LIMIT = 100

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="The largest number of items to return.")]
After = Annotated[
    str | None, Query(max_length=40, description="Return the items older than this id; `next` of the page before it.")
]


class HasId(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=BaseModel)
Row = TypeVar("Row", bound=HasId)


class Page(BaseModel, Generic[Item]):
    data: list[Item]
    has_more: bool
    next: str | None = None


def page_of(rows: Sequence[Row], limit: int, show: Callable[[Row], Item]) -> Page[Item]:
    """Return a page of the first `limit` rows. rows: limit + 1 rows if there are as many, so that a next page shows."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(data=[show(row) for row in shown], has_more=more, next=shown[-1].id if more else None)


Time = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
