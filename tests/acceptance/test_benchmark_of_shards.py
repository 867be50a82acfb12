"""benchmarks/shards.py runs to its end, on the shared service."""

from contextlib import nullcontext

import pytest
import shards
from support.service import Service


def test_shards_compares_the_pictures_of_all_workers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    monkeypatch.setattr(shards, "ITERATIONS", 1)
    monkeypatch.setattr(shards, "running_service", lambda *_: nullcontext(service.http))
    tiny = ["--preset", "quick", "--workers", "1", "--count", "9", "--size", "32", "--steps", "1", "--repeat", "1"]
    assert shards.main(tiny) == 0
    header, _, *lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert [cell.strip() for cell in lines[0].strip("|").split("|")][::4] == ["1", "yes"]
    assert len(header) == len(lines[0])
