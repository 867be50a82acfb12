"""Lists in pages."""

from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from api.http.pagination import page_of


@dataclass
class _Row:
    id: str


class _Shown(BaseModel):
    name: str


@pytest.mark.parametrize(("rows", "shown", "following"), [(0, 0, None), (1, 1, None), (2, 2, None), (3, 2, "row_1")])
def test_a_page_that_is_not_the_last_names_its_last_item_as_where_the_next_begins(
    rows: int, shown: int, following: str | None
) -> None:
    page = page_of([_Row(f"row_{number}") for number in range(rows)], 2, lambda row: _Shown(name=row.id.upper()))
    assert [one.name for one in page.data] == [f"ROW_{number}" for number in range(shown)]
    assert (page.has_more, page.next) == (following is not None, following)
