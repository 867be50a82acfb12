"""Datasets, models and presets by the client."""

from pathlib import Path

import pytest
from support import pictures
from support.models import model_file

from api.client import Client, NotFound, resources


def test_listings_are_read_page_by_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PAGE_ITEMS", 2)
    made = [client.upload(pictures.png(), name=str(number)) for number in range(5)]
    assert [one.name for one in client.datasets.list()] == ["4", "3", "2", "1", "0"]
    jobs = [client.train(made[0], iterations=number + 1) for number in range(3)]
    jobs[1].cancel()
    assert [job.id for job in client.jobs.list()] == [job.id for job in reversed(jobs)]
    assert [job.id for job in client.jobs.list(kind="train", status="canceled")] == [jobs[1].id]
    assert list(client.jobs.list(kind="sample")) == []


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
