from pathlib import Path

import pytest

from core.runtime.settings import BadSettings, Settings


def test_the_home_folder_is_found_in_paths_and_urls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = Settings(data_dir=Path("~/d"), database_url="sqlite:///~/r.db", blob_url="file://~/b c")
    assert settings.data_dir == tmp_path / "d"
    assert settings.database_url == f"sqlite:///{tmp_path}/r.db"
    assert settings.blob_url == f"file://{tmp_path}/b c"
    with pytest.raises(BadSettings, match="GENCONVNET_DATA_DIR: ~no-such-user is no user's home folder"):
        Settings(data_dir=Path("~no-such-user/d"))
    with pytest.raises(BadSettings, match="three slashes"):
        Settings(blob_url="file://data/blobs")
