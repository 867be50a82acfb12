"""Settings of the API process, from variables."""

import pytest

from api.settings import ApiSettings
from core.runtime.settings import BadSettings


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "KEEP_BYTES", "LOG_LEVEL"):
        monkeypatch.setenv(f"GENCONVNET_{name}", "")
    assert ApiSettings() == ApiSettings(database_url=None, keep_bytes=None, log_level="INFO")


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCONVNET_ALLOWED_HOSTS", " Example.org ,, b.example.org,")
    assert ApiSettings().allowed_hosts == ("example.org", "b.example.org")
    monkeypatch.setenv("GENCONVNET_ALLOWED_HOSTS", "")
    assert ApiSettings().allowed_hosts == ()


def test_each_name_of_a_list_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCONVNET_ALLOWED_ORIGINS", "https://example.org,example.org")
    with pytest.raises(BadSettings, match="GENCONVNET_ALLOWED_ORIGINS"):
        ApiSettings()


def test_an_address_is_written_with_or_without_brackets() -> None:
    assert {ApiSettings(host=host).host for host in ("::1", "[::1]")} == {"::1"}
