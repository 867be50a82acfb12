import os
import signal
import threading
import time

import httpx
import pytest
from sqlalchemy import update
from support import pictures
from support.http import Api
from support.waiting import until
from typer.testing import CliRunner

from api.cli import app
from core.storage.tables import AuditEntry

DAY = 86_400.0


def test_sweep_deletes_the_files_of_an_upload_that_was_killed(own_api: Api) -> None:
    parts = [(f"{index}.png", pictures.png(900, 900)) for index in range(12)]
    folder = own_api.data_dir / "blobs"
    own_api.database.release_free_pages()  # those that a migration left, which the sweep would report
    gone = own_api.upload(("gone.png", pictures.png())).json()
    own_api.client.delete(f"/v1/datasets/{gone['id']}").raise_for_status()

    def upload() -> None:
        with pytest.raises(httpx.HTTPError):
            own_api.upload(*parts)

    uploading = threading.Thread(target=upload)
    uploading.start()
    until(lambda: own_api.stored()[1])
    own_api.process.send_signal(signal.SIGKILL)
    uploading.join()
    left, files = own_api.stored()
    assert left["datasets"] == 0
    assert files
    assert "0 orphaned files" in _sweep(own_api, "--dry-run"), "their row may still be written"
    _age(own_api, 2)
    listed = _sweep(own_api, "--dry-run")
    assert f"{len(files)} orphaned files" in listed
    assert own_api.stored()[1] == files
    assert _sweep(own_api).replace("were deleted", "would be deleted") == listed
    assert own_api.stored()[1] == set()
    _age(own_api, 2)
    _sweep(own_api)
    assert [path for path in folder.rglob("*") if path.parent.name == "datasets"] == []
    assert "0 files are missing" in _sweep(own_api, "--check")


def _age(api: Api, days: float) -> None:
    """Make all files and the audit log so many days older."""
    then = time.time() - days * DAY
    for path in (api.data_dir / "blobs").rglob("*"):
        os.utime(path, (then, then))
    with api.database.write() as session:
        session.execute(update(AuditEntry).values(at=AuditEntry.at - (days + 1) * DAY))


def _sweep(api: Api, *options: str) -> str:
    """Run `genconvnet sweep` in this process and return what it prints."""
    environment = {
        "GENCONVNET_DATA_DIR": str(api.data_dir),
        "GENCONVNET_DATABASE_URL": api.database.engine.url.render_as_string(hide_password=False),
    }
    done = CliRunner().invoke(app, ["sweep", *options], env=environment)
    assert done.exit_code == 0, done.output
    return done.stdout
