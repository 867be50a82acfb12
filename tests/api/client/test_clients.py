"""The client against a running API: uploads, listings, models, and what it raises."""

import io
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
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
    data,
    resources,
)
from api.client.answers import check
from api.client.data import Data
from api.client.sans_io import Request
from api.datasets.schemas import DatasetOut, ImageOut, MapOut, SkippedOut
from api.jobs.schemas import ArtifactOut, ErrorOut, JobOut, PreviewOut
from api.models.schemas import ModelOut
from api.presets import ParameterOut, PresetOut
from core.jobs import outcomes
from core.jobs.results import NewArtifact


@pytest.fixture
def client(api: Api) -> Any:
    with Client(str(api.client.base_url)) as client:
        yield client


def test_importing_it_loads_nothing_of_the_service() -> None:
    heavy = ("torch", "celery", "sqlalchemy", "fastapi", "redis", "structlog", "numpy", "PIL")
    code = f"import sys, api.client; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_the_package_has_all_that_it_names() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
    assert package.__all__ == sorted(package.__all__)


@pytest.mark.parametrize(
    ("ours", "service"),
    [
        (data.Picture, ImageOut),
        (data.Skipped, SkippedOut),
        (data.Map, MapOut),
        (data.Dataset, DatasetOut),
        (data.Artifact, ArtifactOut),
        (data.Preview, PreviewOut),
        (data.JobError, ErrorOut),
        (data.JobData, JobOut),
        (data.Model, ModelOut),
        (data.Parameter, ParameterOut),
        (data.Preset, PresetOut),
    ],
)
def test_every_field_of_the_service_has_its_type_in_the_client(ours: type[Data], service: Any) -> None:
    names = f"api/client/data.py: {ours.__name__} has the fields of {service.__name__}"
    assert set(ours.model_fields) == set(service.model_fields), names


def test_pictures_are_uploaded_in_every_form_that_a_program_has(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "a brick.png"
    path.write_bytes(pictures.png())
    packed = tmp_path / "packed.zip"
    packed.write_bytes(pictures.zipped({"in/b.png": pictures.png(), "notes.txt": b"caption"}))
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("2.png", "1.png", ".DS_Store", "1.txt"):
        (folder / name).write_bytes(pictures.png())
    (folder / "more").mkdir()
    inks = Image.new("CMYK", (20, 10), (0, 255, 0, 0))
    (folder / os.fsdecode(b"bad\xff.png")).write_bytes(pictures.png())
    given = [str(path), packed, pictures.png(), io.BytesIO(pictures.png()), pictures.colors(), inks, folder]
    dataset = client.upload(given, name="all")
    names = [one.filename for one in dataset.images]
    assert names == [
        "a brick.png",
        "b.png",
        "picture-2",
        "picture-3",
        "picture-4.png",
        "picture-5.tiff",
        "1.png",
        "2.png",
        "bad\ufffd.png",
    ]
    skipped = {one.file: one.reason for one in dataset.skipped}
    assert (dataset.name, sorted(skipped)) == ("all", [".DS_Store", "1.txt", "more", "notes.txt"])
    assert skipped["1.txt"] == skipped["notes.txt"], "a folder is read as a zip"
    assert client.datasets.show(dataset.id).images == dataset.images
    assert len(client.upload(path).images) == len(client.upload(one for one in [path]).images) == 1


def test_the_maps_of_a_material_are_uploaded_by_role(client: Client, tmp_path: Path) -> None:
    for role in ("albedo", "height"):
        (tmp_path / role).mkdir()
        (tmp_path / role / "1.png").write_bytes(pictures.png())
    dataset = client.upload({"height": tmp_path / "height" / "1.png", "albedo": tmp_path / "albedo" / "1.png"})
    assert [(one.index, one.role) for one in dataset.maps] == [(0, "height"), (1, "albedo")]
    assert [one.filename for one in dataset.images] == ["height-1.png", "albedo-1.png"]
    deep = Image.fromarray(np.full((7, 12), 1000, np.uint16))
    dataset = client.upload({"albedo": tmp_path / "albedo" / "1.png", "height": deep})
    assert [(one.filename, one.width) for one in dataset.images] == [("1.png", 12), ("picture-0.png", 12)]
    assert [(one.role, one.channels, one.bits) for one in dataset.maps] == [("albedo", 3, 8), ("height", 1, 16)]
    with pytest.raises(ValueError, match="the albedo map must be one file, not 2"):
        client.upload({"albedo": [pictures.png(), pictures.png()]})  # type: ignore[dict-item]


def test_a_picture_of_pillow_keeps_its_orientation(client: Client) -> None:
    turned = Image.open(io.BytesIO(pictures.png(30, 20)))
    turned.getexif()[274] = 6  # to be shown turned by a quarter
    (image,) = client.upload(turned).images
    assert (image.width, image.height) == (20, 30)


def test_a_picture_that_cannot_be_read_is_named_and_no_dataset_is_made(client: Client, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(pictures.png()[:40])
    with pytest.raises(Invalid) as refused:
        client.upload([pictures.png(), broken])
    assert (refused.value.status, refused.value.field, refused.value.file) == (415, "images[1]", "broken.png")
    assert "broken.png" in str(refused.value)
    with pytest.raises(FileNotFoundError):
        client.upload(tmp_path / "none.png")
    with pytest.raises(ValueError, match="no pictures"):
        client.upload([])
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"no pictures to upload; skipped: notes.txt \(text"):
        client.upload(tmp_path / "texts")
    with pytest.raises(Invalid, match="notes"):
        client.upload(tmp_path / "texts" / "notes.txt")
    assert list(client.datasets.list()) == []


def test_listings_are_read_page_by_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PAGE_ITEMS", 2)
    made = [client.upload(pictures.png(), name=str(number)) for number in range(5)]
    assert [one.name for one in client.datasets.list()] == ["4", "3", "2", "1", "0"]
    jobs = [client.train(made[0], iterations=number + 1) for number in range(3)]
    jobs[1].cancel()
    assert [job.id for job in client.jobs.list()] == [job.id for job in reversed(jobs)]
    assert [job.id for job in client.jobs.list(kind="train", status="canceled")] == [jobs[1].id]
    assert list(client.jobs.list(kind="sample")) == []


def test_a_job_is_posted_shown_canceled_resumed_and_deleted(client: Client) -> None:
    job = client.train(pictures.png(), preset="texture", options=JobOptions(priority=3), iterations=7)
    assert (job.status, job.preset, job.params["iterations"], job.priority) == ("queued", "texture", 7, 3)
    with pytest.raises(Conflict):
        job.delete()
    assert job.cancel() is job
    assert (job.status, job.ended) == ("canceled", True)
    assert [event.name for event in job.events()][-1] == "done"
    with pytest.raises(package.JobCanceled) as ended:
        job.wait()
    assert ended.value.job is job
    (*_, last) = job.events()
    job.resume(iterations=9, time_limit_seconds=60)
    assert (job.status, job.params["iterations"], job.time_limit_seconds) == ("queued", 9, 60)
    with pytest.raises(package.WaitTimedOut):
        job.wait(timeout=0.1)
    assert client.jobs.show(job.id).cancel().refresh().status == "canceled"
    assert [event.status for event in job.events()] == ["queued", "canceled"] * 2
    assert [event.status for event in job.events(after=last.id)] == ["queued", "canceled"]
    job.delete()
    with pytest.raises(NotFound):
        job.refresh()


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


def test_models_are_imported_renamed_exported_and_deleted(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "bricks.safetensors"
    path.write_bytes(model_file())
    model = client.models.import_(path, name="bricks")
    assert client.models.rename(model, "pavement").name == "pavement"
    assert [one.name for one in client.models.list()] == ["pavement"]
    exported = client.models.export(model.id, tmp_path / "copy.safetensors")
    assert exported.read_bytes() == path.read_bytes()
    with pytest.raises(FileExistsError):
        client.models.export(model, path)
    with pytest.raises(NotFound):
        client.models.export("model_none", tmp_path / "none.safetensors")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bricks.safetensors", "copy.safetensors"]
    client.models.delete(model)
    with pytest.raises(NotFound):
        client.models.show(model.id)


def test_presets_say_what_their_parameters_mean(client: Client) -> None:
    quick = next(preset for preset in client.presets.list() if preset.name == "quick")
    iterations = next(parameter for parameter in quick.parameters if parameter.name == "iterations")
    assert iterations.default == quick.params["iterations"]
    assert iterations.bounds["minimum"] == 1


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


@pytest.mark.parametrize("errors", [None, ["wrong"], [{"loc": ["body"], "msg": "wrong"}]])
def test_errors_in_the_form_of_another_program_are_not_taken_for_the_services(errors: Any) -> None:
    answer = httpx.Response(422, json={"detail": "no", "errors": errors}, request=httpx.Request("GET", "http://x"))
    with pytest.raises(UnexpectedAnswer):
        check(answer, Request("GET", "v1/jobs"))


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
