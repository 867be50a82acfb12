"""Downloads have names that say what they are, on every system, and differ from each other."""

from dataclasses import replace

import pytest
from support import rows
from support.http import Api

from api.files.download_names import disposition, download_name, without_ending
from core.jobs import outcomes
from core.jobs.results import NewArtifact


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Brick wall", "Brick wall-model-9f8e7d.zip"),
        ('a/b\\c:d*?"<>|e\x00\x1f', "a b c d e-model-9f8e7d.zip"),  # what Windows forbids
        ("..hidden. ", "hidden-model-9f8e7d.zip"),
        ("con", "con-model-9f8e7d.zip"),  # `con.zip` is a device there
        ("Käfer \u202egnp", "Käfer gnp-model-9f8e7d.zip"),  # which turns the text's direction
        ("x" * 200, f"{'x' * 80}-model-9f8e7d.zip"),
        (" / ", "model-9f8e7d.zip"),
        (None, "model-9f8e7d.zip"),
    ],
)
def test_a_name_is_of_its_subject_its_kind_and_its_id(subject: str | None, expected: str) -> None:
    assert download_name(subject, "model", "model_0a1b9f8e7d", ".zip") == expected


def test_pictures_lose_the_ending_of_their_files_only() -> None:
    said = ["brick.jpg", "brick.JPEG and 2 more", "Bricks", "wall v1.25", None]
    assert [without_ending(one) for one in said] == ["brick", "brick", "Bricks", "wall v1.25", None]


def test_a_header_has_every_name() -> None:
    assert disposition("inline", "a b.png") == 'inline; filename="a b.png"'
    assert (
        disposition("attachment", 'ä"\\.zip') == "attachment; filename=\"___.zip\"; filename*=UTF-8''%C3%A4%22%5C.zip"
    )


def test_files_of_models_and_jobs_are_named_by_what_they_are(api: Api) -> None:
    lease = rows.claimed(api.database, rows.train(rows.add_dataset(api.database, None, 3).id))
    new = replace(rows.new_model(), stored=api.blobs.put(lease.path("m"), b"m"))
    picture = NewArtifact("a.1.png", "image/png", api.blobs.put(lease.path("a"), b"a"), 3, 4)
    outcomes.succeed(api.database, lease, [picture], rows.DONE, model=new)
    model_url, trained = f"/v1/models/{new.id}", f"/v1/jobs/{lease.job_id}/artifacts.zip"
    assert api.client.get(model_url).json()["dataset_name"] == "0.png and 2 more"

    def named(url: str) -> str:
        header = api.client.get(url).raise_for_status().headers["content-disposition"]
        return str(header.removeprefix('attachment; filename="').removesuffix('"'))

    model_end, job_end = new.id[-6:], lease.job_id[-6:]
    assert [named(f"{model_url}/download"), named(trained)] == [
        f"0-model-{model_end}.safetensors",
        f"0-train-{job_end}.zip",
    ]
    api.client.patch(model_url, json={"name": "Bricks: wet"}).raise_for_status()
    drawn = rows.accept(api.database, rows.sample(new.id))
    assert named(f"{model_url}/download") == f"Bricks wet-model-{model_end}.safetensors"
    assert named(f"/v1/jobs/{drawn}/artifacts.zip") == f"Bricks wet-sample-{drawn[-6:]}.zip"
    picture_url = f"{trained.removesuffix('.zip')}/a.1.png"
    assert named(f"{picture_url}?download=true") == f"0-a.1-{job_end}.png"
    assert api.client.get(picture_url).headers["content-disposition"] == 'inline; filename="a.1.png"'
    api.client.post(f"/v1/jobs/{drawn}/cancel").raise_for_status()
    api.client.delete(model_url).raise_for_status()
    assert named(f"/v1/jobs/{drawn}/artifacts.zip") == f"sample-{drawn[-6:]}.zip"
