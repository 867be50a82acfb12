"""Where a COMMIT is cut off, nobody knows whether it took effect: files stay, and the sweep asks the rows later."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from support import pictures, rows
from support.http import Api, problem
from support.postgres import PostgresServer
from support.valkey import Valkey

from api.file_cleanup import delete_on_failure
from core.storage import datasets
from core.storage.blobs import Blobs
from core.storage.database import Database, UnknownCommit

CUT_OFF = """
CREATE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON datasets DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION cut_off();
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION cut_off();
"""


@pytest.fixture
def cut_off(tmp_path: Path, valkey: Valkey, postgres_server: PostgresServer) -> Iterator[Api]:
    """An API whose database goes away at every COMMIT of a new dataset or job."""
    with postgres_server.fresh() as url:
        api = Api(tmp_path, valkey.url, url)
        rows.add_model(api.database)
        with api.database.engine.begin() as connection:
            connection.execute(text(CUT_OFF))
        yield api
        api.stop()


def test_a_commit_that_was_cut_off_keeps_the_files_and_promises_nothing(cut_off: Api) -> None:
    told = problem(cut_off.upload(("a.png", pictures.png())), 503)
    assert "not known" in told["detail"]
    counted, files = cut_off.stored()
    assert (counted["datasets"], len(files)) == (0, 1), "the backend may still have been at it"
    (model,) = cut_off.client.get("/v1/models").json()["data"]
    before = cut_off.stored()
    told = problem(cut_off.post({"kind": "sample", "model_id": model["id"]}), 503)
    assert "not known" in told["detail"]
    assert cut_off.stored() == before
    assert cut_off.breakages() == []


def test_what_fails_before_its_commit_is_not_in_doubt(cut_off: Api) -> None:
    with pytest.raises(OperationalError) as told, cut_off.database.write() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert not isinstance(told.value, UnknownCommit)


@pytest.mark.parametrize("came", [True, False])
def test_files_stay_where_their_row_came(database: Database, blobs: Blobs, came: bool) -> None:
    dataset_id = rows.add_dataset(database).id if came else "dataset_of_nobody"

    def add() -> None:
        with delete_on_failure(blobs, lambda: datasets.find(database, dataset_id)) as paths:
            paths.append(blobs.put(f"datasets/{dataset_id}/0.png", b"x").blob)
            raise OSError("the word of it was lost")

    with pytest.raises(OSError, match="lost"):
        add()
    assert blobs.exists(f"datasets/{dataset_id}/0.png") == came


def test_what_was_deleted_is_gone_also_where_its_files_cannot_be_removed_now(api: Api, dataset: str) -> None:
    (file,) = (Path(path) for path in api.stored()[1] if dataset in path)
    file.unlink()
    file.mkdir()  # which no deletion of a file removes
    assert api.client.delete(f"/v1/datasets/{dataset}").status_code == 204
    assert api.client.get(f"/v1/datasets/{dataset}").status_code == 404
    file.rmdir()
