"""The database that a command works on."""

from pathlib import Path

import pytest
from support import rows

from api.commands.database import format_time, open_database


def test_it_is_that_of_the_option_or_else_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.commands.database.configure_logs", lambda _: None)
    monkeypatch.setenv("GENCONVNET_DATA_DIR", str(tmp_path / "configured"))
    with open_database(tmp_path / "given") as database:
        rows.add_dataset(database)
    with open_database(None) as database:
        assert rows.count(database)["datasets"] == 0
    assert (tmp_path / "configured" / "genconvnet.sqlite3").exists()
    with open_database(tmp_path / "given") as database:
        assert rows.count(database)["datasets"] == 1


def test_times_are_shown_in_utc() -> None:
    assert [format_time(seconds) for seconds in (0.0, 86_399.9, None)] == [
        "1970-01-01 00:00:00Z",
        "1970-01-01 23:59:59Z",
        "",
    ]
