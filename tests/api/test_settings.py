"""Settings of the API process, from variables."""

import pytest

from api.settings import ApiSettings


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "KEEP_BYTES", "LOG_LEVEL"):
        monkeypatch.setenv(f"GENCONVNET_{name}", "")
    assert ApiSettings() == ApiSettings(database_url=None, keep_bytes=None, log_level="INFO")
