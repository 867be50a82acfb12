from pathlib import Path

from support import pictures, rows
from support.http import Api, problem
from support.valkey import Valkey


def test_on_a_full_disk_uploads_and_jobs_are_refused(tmp_path: Path, valkey: Valkey) -> None:
    folder = tmp_path / "api"
    folder.mkdir()
    api = Api(folder, valkey.url, f"sqlite:///{folder / 'rows.sqlite3'}", GENCONVNET_MIN_FREE_BYTES=str(1 << 60))
    refused = problem(api.upload(("a.png", pictures.png())), 507)
    assert str(1 << 60) in refused["detail"]
    dataset = rows.add_dataset(api.database)
    problem(api.post({"kind": "train", "dataset_id": dataset.id}), 507)
    rows_kept, files = api.stored()
    assert (rows_kept["jobs"], rows_kept["datasets"], files) == (0, 1, set())
    assert api.client.get("/v1/datasets").status_code == 200, "reading and deleting still work"
    assert api.client.delete(f"/v1/datasets/{dataset.id}").status_code == 204
    api.stop()
