"""If the connection is lost at a COMMIT, it is unknown whether it took effect: the files are left to the sweep."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from support import pictures, rows
from support.http import Api, problem
from support.postgres import PostgresServer
from support.valkey import Valkey

from api.files.cleanup import delete_on_failure
from core.storage import datasets
from core.storage.blobs import Blobs
from core.storage.database import Database, UnknownCommit

DISCONNECT_AT_COMMIT = """
CREATE FUNCTION disconnect() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON datasets DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION disconnect();
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION disconnect();
"""


@pytest.fixture
def disconnecting(tmp_path: Path, valkey: Valkey, postgres_server: PostgresServer) -> Iterator[Api]:
    """An API whose connection to the database is lost at every COMMIT of a new dataset or job."""
    with postgres_server.fresh() as url, Api(tmp_path, valkey.url, url) as api:
        rows.add_model(api.database)
        with api.database.engine.begin() as connection:
            connection.execute(text(DISCONNECT_AT_COMMIT))
        yield api


def test_an_unknown_commit_is_answered_with_503_and_keeps_the_files(disconnecting: Api) -> None:
    refusal = problem(disconnecting.upload(("a.png", pictures.png())), 503)
    assert "not known" in refusal["detail"]
    counts, files = disconnecting.stored()
    assert (counts["datasets"], len(files)) == (0, 1), "the commit may still have taken effect"
    (model,) = disconnecting.client.get("/v1/models").json()["data"]
    before = disconnecting.stored()
    refusal = problem(disconnecting.post({"kind": "sample", "model_id": model["id"]}), 503)
    assert "not known" in refusal["detail"]
    assert disconnecting.stored() == before
    assert disconnecting.breakages() == []


def test_a_connection_lost_before_the_commit_is_not_an_unknown_commit(postgres_server: PostgresServer) -> None:
    database = Database(postgres_server.emptied())
    with pytest.raises(OperationalError) as raised, database.write() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert not isinstance(raised.value, UnknownCommit)
    database.dispose()


@pytest.mark.parametrize("row_exists", [True, False])
def test_files_are_deleted_only_if_their_row_does_not_exist(database: Database, blobs: Blobs, row_exists: bool) -> None:
    dataset_id = rows.add_dataset(database).id if row_exists else "dataset_none"

    def add() -> None:
        with delete_on_failure(blobs, lambda: datasets.find(database, dataset_id)) as paths:
            paths.append(blobs.put(f"datasets/{dataset_id}/0.png", b"x").blob)
            raise OSError("lost")

    with pytest.raises(OSError, match="lost"):
        add()
    assert blobs.exists(f"datasets/{dataset_id}/0.png") == row_exists


def test_a_dataset_is_deleted_even_if_its_files_cannot_be_deleted_now(api: Api, dataset: str) -> None:
    (file,) = (Path(path) for path in api.stored()[1] if dataset in path)
    file.unlink()
    file.mkdir()  # a folder cannot be deleted as a file
    assert api.client.delete(f"/v1/datasets/{dataset}").status_code == 204
    assert api.client.get(f"/v1/datasets/{dataset}").status_code == 404
    file.rmdir()
