from pathlib import Path

import pytest

from api.embedded import broker
from core.runtime.startup import CannotStart


def test_a_broker_in_the_temporary_folder_is_this_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = tmp_path.joinpath(*["a" * 60] * 2)
    short = Path("/tmp") if len(str(tmp_path)) > 50 else tmp_path
    monkeypatch.setattr("tempfile.tempdir", str(short))
    folder = broker.socket_path(data).parent
    assert folder.parent == short
    broker.make_socket_folder(data)
    broker.make_socket_folder(data)  # left by a service that was killed
    assert folder.stat().st_mode & 0o777 == 0o700
    broker.remove_socket_folder(data)
    assert not folder.exists()
    folder.symlink_to(tmp_path)
    with pytest.raises(CannotStart, match="TMPDIR"):
        broker.make_socket_folder(data)
    folder.unlink()
    monkeypatch.setattr("tempfile.tempdir", str(data))
    with pytest.raises(CannotStart, match="too long for a socket"):
        broker.socket_path(data)
