"""Lists in pages: {data, has_more, next}, newest first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Generic, Protocol, TypeVar

from fastapi import Query
from pydantic import BaseModel, PlainSerializer

from core.schemas.times import rfc3339

MAX_LIMIT = 100

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="At most so many.")]
After = Annotated[str | None, Query(max_length=40, description="The id that `next` gave: older ones follow.")]


class HasId(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=BaseModel)
Row = TypeVar("Row", bound=HasId)


class Page(BaseModel, Generic[Item]):
    data: list[Item]
    has_more: bool
    next: str | None = None


def cut(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], bool, str | None]:
    """Of limit + 1 rows asked for, those to show, whether there are more, and after which id."""
    shown = rows[:limit]
    more = len(rows) > limit
    return shown, more, shown[-1].id if more else None


Time = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
