"""Names of downloaded files, when the answer names them and when it does not."""

from pathlib import Path

import httpx
import pytest

from api.client.files import write_numbered
from api.client.sans_io import Request

PICTURE = 'attachment; filename="Brick-synthesized-000-123456.png"'
MAP = "attachment; filename*=UTF-8''Z%C3%A4une-synthesized-001-albedo-abcdef.png"


def _written(folder: Path, disposition: str | None) -> str:
    """Write the answer to a download of synthesized-000.png; return the file's name."""
    steps = write_numbered(folder / "synthesized-000.png", Request("GET", "v1/file"), titled=True)
    next(steps)
    try:
        steps.send(httpx.Response(200, headers={"Content-Disposition": disposition} if disposition else {}))
    except StopIteration as ended:
        return str(ended.value.name)
    raise AssertionError


@pytest.mark.parametrize(
    ("disposition", "stem"),
    [(PICTURE, "Brick-synthesized-000-123456"), (MAP, "Zäune-synthesized-001-albedo-abcdef")],
)
def test_the_number_of_a_titled_copy_comes_behind_the_id(tmp_path: Path, disposition: str, stem: str) -> None:
    names = [_written(tmp_path, disposition) for _ in range(3)]
    assert names == [f"{stem}.png", f"{stem}-001.png", f"{stem}-002.png"]


@pytest.mark.parametrize("disposition", [None, "attachment"])
def test_a_file_that_the_answer_does_not_name_has_the_artifacts_name(tmp_path: Path, disposition: str | None) -> None:
    assert [_written(tmp_path, disposition) for _ in range(2)] == ["synthesized-000.png", "synthesized-001.png"]
