"""The client against a running API: uploads, listings, models, and what it raises."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
from support import pictures, rows
from support.faulty_proxy import FaultyProxy, Refused
from support.http import Api, free_port
from support.keys import holder
from support.models import model_file
from support.valkey import Valkey

from api import client as package
from api.client import (
    Blended,
    Client,
    Conflict,
    Invalid,
    JobOptions,
    NotAllowed,
    NotFound,
    UnexpectedAnswer,
    Unreachable,
)
from core.jobs import outcomes
from core.jobs.results import NewArtifact


def test_importing_it_loads_nothing_of_the_service() -> None:
    heavy = ("torch", "celery", "sqlalchemy", "fastapi", "redis", "structlog", "numpy", "PIL")
    code = f"import sys, api.client; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_the_package_has_all_that_it_names() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
    assert package.__all__ == sorted(package.__all__)


def test_the_same_idempotency_key_gives_the_same_job(client: Client) -> None:
    dataset = client.upload(pictures.png())
    options = JobOptions(idempotency_key="tuesday")
    first, second = (client.train(dataset, options=options) for _ in range(2))
    assert first.id == second.id != client.train(dataset).id
    with pytest.raises(Conflict):
        client.train(pictures.png(), options=options)
    assert list(client.datasets.list()) == [dataset], "what was uploaded for a refused job is not kept"
    with pytest.raises(Invalid):
        client.train(dataset, options=JobOptions(idempotency_key=""))


def test_a_program_that_is_run_again_with_its_keys_finds_what_it_made(client: Client, tmp_path: Path) -> None:
    (path := tmp_path / "bricks.safetensors").write_bytes(model_file())
    made = []
    for _ in range(2):
        dataset = client.upload(pictures.png(), idempotency_key="wall")
        model = client.models.import_(path, idempotency_key="bricks")
        job = client.train(dataset, options=JobOptions(idempotency_key="tuesday"))
        made.append((dataset.id, model.id, job.id))
    assert made[0] == made[1]
    with pytest.raises(Conflict):
        client.upload(pictures.png(20, 20), idempotency_key="wall")


def test_what_is_wrong_with_parameters_is_said_by_field(client: Client) -> None:
    with pytest.raises(Invalid) as refused:
        client.train(pictures.png(), iterations=0, step_size="x")
    assert [fault.field for fault in refused.value.errors] == ["params.step_size", "params.iterations"]
    with pytest.raises(Invalid) as refused:
        client.train(pictures.png(), options=JobOptions(time_limit_seconds=math.inf), end_shares=[1, math.nan])
    assert [fault.field for fault in refused.value.errors] == ["params.end_shares[1]", "time_limit_seconds"]
    assert "must be a finite number" in str(refused.value)
    assert list(client.datasets.list()) == [], "what was uploaded for a refused job is not kept"
    with pytest.raises(NotFound):
        client.sample("model_none")


def test_a_key_is_sent_and_a_wrong_one_refused(api: Api) -> None:
    who = holder(api.database, "ada")
    with Client(str(api.client.base_url), who.key) as client:
        assert list(client.jobs.list()) == []
    for key in ("gcn_Schlüssel", f"{who.key}\n"):
        with pytest.raises(ValueError, match="the key is not one"):
            Client(str(api.client.base_url), key)
    for key in (None, "gcn_wrong"):
        with Client(str(api.client.base_url), key) as client, pytest.raises(NotAllowed) as refused:
            next(client.jobs.list())
        assert refused.value.status == 401


def test_a_service_that_is_not_there_is_unreachable_at_once() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable):
        client.presets.list()
    for wrong in ("127.0.0.1:8000", "ftp://example.org", "http://x:port", "http://"):
        with pytest.raises(ValueError, match="is not a URL"):
            Client(wrong)


def test_another_server_is_not_taken_for_the_service(api: Api) -> None:
    with Client(f"{api.client.base_url}/docs") as client, pytest.raises(NotFound):
        client.presets.list()
    with Client(f"{api.client.base_url}") as client, pytest.raises(NotFound):
        client.jobs.show("../../healthz")
    other = FaultyProxy(api.port, Refused(200), Refused(308), Refused(200))
    with other, Client(other.url) as client:
        for ask in (client.presets.list, lambda: client.models.show("model_1"), lambda: next(client.events())):
            with pytest.raises(UnexpectedAnswer):
                ask()


def test_a_service_below_a_path_is_used_and_its_files_are_found(tmp_path: Path, valkey: Valkey) -> None:
    (tmp_path / "api").mkdir()
    with Api(tmp_path / "api", valkey.url, GENCONVNET_ROOT_PATH="/pictures") as api:
        rows.accept(api.database, rows.train(rows.add_dataset(api.database).id))
        lease = rows.claim(api.database)
        made = NewArtifact("a.png", "image/png", api.blobs.put(lease.path("a.png"), b"abc"), 3, 4)
        outcomes.succeed(api.database, lease, [made], rows.DONE)
        for url in (f"{api.client.base_url}/pictures", f"{api.client.base_url}/pictures/"):
            with Client(url) as client:
                (job,) = client.jobs.list()
                assert job.artifacts[0].url.startswith("/pictures/v1/jobs/")
                assert job.read(job.artifacts[0]) == job.read("a.png") == b"abc"
                (path,) = job.download(tmp_path / "files")
                assert path.read_bytes() == b"abc"
                job.artifacts[0].name = "../../elsewhere.png"
                assert [path.parent for path in job.download(tmp_path / "files")] == [tmp_path / "files"]


def test_a_variation_is_posted_with_its_picture_which_is_deleted_if_it_is_refused(client: Client, api: Api) -> None:
    model_id = rows.add_model(api.database)
    job = client.sample(model_id, start=pictures.png(), start_strength=0.25)
    assert job.params["start_strength"] == 0.25
    (dataset,) = client.datasets.list()
    assert job.params["start_dataset_id"] == dataset.id
    guided = client.sample(model_id, start=dataset, guide=pictures.png())
    assert guided.params["start_dataset_id"] == dataset.id
    guided.cancel()
    client.datasets.delete(client.datasets.show(guided.params["guide_dataset_id"]))
    assert client.sample(model_id, start=dataset).params["start_dataset_id"] == dataset.id
    others = [Blended(model_id, dataset), Blended(model_id, weight=0.5)]
    blended = client.sample(model_id, blend=others).params["blend"]
    assert [(one["mask_dataset_id"], one["weight"]) for one in blended] == [(dataset.id, None), (None, 0.5)]
    with pytest.raises(Invalid, match="weight"):
        client.sample(model_id, blend=[Blended(model_id, pictures.png(), weight=2)])
    with pytest.raises(Invalid, match="start_strength"):
        client.sample(model_id, start=pictures.png(), start_strength=2)
    assert [one.id for one in client.datasets.list()] == [dataset.id]
