"""Models in the studio: renamed, exported, imported, deleted, and used to classify."""

import re
from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import Locator
from support import pictures
from support.studio import Studio

from core.schemas.classification import ClassifyParams

# What models are called after pictures with these names.
NAMES = """async (all) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  return all.map((await import(folder + "data/names.js")).nameAfter);
}"""


# The names that "Brick" and "Wall" become where others are taken.
FREE = """async (taken) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {free} = await import(folder + "data/names.js");
  return ["Brick", "Wall"].map((name) => free(name, new Set(taken)));
}"""


def test_a_model_is_renamed_exported_imported_and_deleted(studio: Studio, learned: dict[str, Any]) -> None:
    studio.open("models", learned["model_id"])
    studio.page.wait_for_function("() => document.querySelector('.filters')?.naturalWidth > 0")
    studio.page.click("button:text-is('Rename')")
    studio.page.fill("dialog input", "Stripes")
    studio.page.click("dialog:not(.viewer) button:text-is('Rename')")
    studio.page.wait_for_selector("h1:has-text('Stripes')")
    assert studio.page.title() == "Stripes · genconvnet"
    with studio.page.expect_download() as download:
        studio.page.click("text=Export")
    content, name = download.value.path().read_bytes(), download.value.suggested_filename
    assert name == f"Stripes-model-{learned['model_id'][-6:]}.safetensors"
    studio.page.click(".back")
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    studio.page.set_input_files("input[name=model]", file)
    studio.page.wait_for_url(re.compile(rf"#/models/(?!{learned['model_id']})model_"))
    imported = studio.page.url.rpartition("/")[2]
    studio.page.click(".back")
    cards = [studio.page.locator(f".model-card[href$='{one}']") for one in (learned["model_id"], imported)]
    assert [card.locator("strong").inner_text() for card in cards] == ["Stripes", "Stripes"]
    year = str(datetime.now(UTC).year)
    told = [card.locator(".hint").inner_text() for card in cards]
    assert told[0] != told[1]
    assert all(year in one for one in told)  # the date rather than how long ago
    cards[1].click()
    studio.page.wait_for_selector(f"h1:has-text('Stripes'):has-text('{year}')")
    assert studio.service.http.get(f"/v1/models/{imported}").json()["sha256"]
    studio.service.http.patch(f"/v1/models/{imported}", json={"name": 100 * "w"}).raise_for_status()
    studio.page.set_viewport_size({"width": 360, "height": 800})
    studio.reload()
    studio.page.wait_for_selector("h1:has-text('wwww')")
    assert studio.page.evaluate("document.documentElement.scrollWidth") <= 360
    studio.page.click("button:text-is('Delete')")
    assert studio.page.locator("dialog[open] form").evaluate("(one) => one.scrollWidth - one.clientWidth") == 0
    studio.page.keyboard.press("Escape")
    studio.page.click("button:text-is('Delete')")
    studio.page.click("dialog:not(.viewer) button:text-is('Delete')")
    studio.page.wait_for_selector("h1:text-is('Models')")
    assert studio.service.http.get(f"/v1/models/{imported}").status_code == 404
    cards[0].locator(".hint:has-text('ago'), .hint:has-text('just now')").wait_for()
    studio.page.evaluate("location.hash = '#/make/texture'")
    studio.page.get_by_label("name of the model").fill("Stripes")
    studio.page.wait_for_selector("#new-name-about:has-text('Another model is called that too')")


def test_models_are_called_after_the_pictures_that_they_learned_from(studio: Studio) -> None:
    names = {
        "brick_wall.jpg": "Brick wall",
        "IMG_1234.HEIC": "IMG 1234",
        "fish-01.png and 11 more": "Fish",
        "7.png and 2 more": "7",
        "wood_albedo_2k.png and 2 more": "Wood",
        "wet bricks": "Wet bricks",
        "wall v1.25": "Wall v1.25",
        "---.png": "---.png",
    }
    studio.open("models")
    assert studio.page.evaluate(NAMES, list(names)) == list(names.values())
    assert studio.page.evaluate(FREE, ["Brick", "Brick 3"]) == ["Brick 2", "Wall"]


def test_pictures_are_classified_by_the_models_chosen(studio: Studio, learned: dict[str, Any]) -> None:
    other = studio.service.succeeded(studio.service.train(learned["dataset_id"], seed=9))
    smaller = studio.service.succeeded(studio.service.train(learned["dataset_id"], image_size=24))
    studio.open("make", "classify")

    def box(job: dict[str, Any]) -> Locator:
        return studio.page.locator(f"input[name=model][value='{job['model_id']}']")

    for one in (learned, other):
        box(one).check(force=True)
    assert box(smaller).is_disabled()
    side = learned["params"]["image_size"]
    studio.page.wait_for_selector(f".model-tile.unfit .hint:text-matches('^24 px, but .* has {side} px$')")
    studio.choose("stripes.png", pictures.stripes())
    for words in ("is found first, which takes most of the time", "with the boundary torus", "at different contrasts"):
        studio.page.wait_for_selector(f".materials .warnings p:has-text('{words}')")
    known = studio.page.locator(".materials .warnings p").count()
    studio.page.wait_for_selector(f".start :text-is('{known} things to know first, said below the models')")
    studio.page.get_by_label("chains", exact=True).fill("2")
    studio.page.get_by_label("temperatures", exact=True).fill("2")
    studio.page.click("button:text-is('Classify')")
    studio.page.wait_for_selector(".job-main table")
    job = studio.service.job(studio.job_id())
    studio.go("make", "classify")
    for one in (learned, other):
        box(one).check(force=True)
    studio.page.wait_for_selector(".materials .warnings")
    said = studio.page.inner_text(".materials .warnings")
    assert "found first" not in said, "log Z is kept with the models"
    assert "model_" not in said
    studio.page.get_by_label("temperatures", exact=True).fill("3")
    studio.page.wait_for_selector(".materials .warnings p:has-text('is found first')")
    studio.go("jobs", job["id"])
    assert "model_" not in studio.page.inner_text(".job .warnings")
    titles = studio.page.locator(".facts dt:has-text('model')").all_inner_texts()
    assert titles == ["model 1", "model 2"]
    warnings = len(job["metrics"]["remarks"])
    assert warnings > 2
    for compared_by, effective_samples, verdict, headline, shown in (
        ("log_z", 1.2, "undecided", "Undecided", warnings),
        ("own_pictures", 1.2, "(?!undecided)[^%]+", "1 picture classified", warnings),
        ("log_z", 7.0, "[0-9.]+ %", "1 picture classified", 2),
    ):
        _answer_with(studio, job, compared_by, effective_samples)
        studio.reload()
        studio.page.wait_for_selector(f".job-main td:text-matches('^{verdict}$')")
        assert studio.page.inner_text(".job-head .headline") == headline
        assert studio.page.locator(".warnings > p").count() == shown
        assert studio.page.locator("td.likeliest").count() == (verdict != "undecided")
        assert (
            studio.page.locator(".job-main table, .job-main .files").first.evaluate("(one) => one.tagName") == "TABLE"
        )


DOUBTS = """async ([models, params]) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {doubtsOf} = await import(folder + "data/certainty.js");
  return doubtsOf(models, params, ({id}) => id);
}"""


def test_what_makes_a_classification_uncertain_is_known_before_it_starts(studio: Studio) -> None:
    studio.open("jobs")
    asked = ClassifyParams().model_dump()
    kept = {"temperatures": 100, "steps": 8, "chains": 16, "effective_samples": 9.0}
    plain = {"image_size": 32, "boundary": "padded", "contrast": None, "reference_std": 1.0, "even_light": None}

    def doubts(params: dict[str, Any], *changes: dict[str, Any], kept: dict[str, Any] | None = kept) -> list[str]:
        models = [
            {"id": "abc"[at], "log_partition": kept, "params": {**plain, **one}} for at, one in enumerate(changes)
        ]
        found: list[str] = studio.page.evaluate(DOUBTS, [models, {**asked, **params}])
        return found

    assert doubts({}, {}, {}) == doubts({}, {"boundary": "torus"}) == []
    for expected, found in (
        ("With models of 96 px", doubts({}, {"image_size": 96}, {"image_size": 96})),
        ("log Z of a and b is found first", doubts({}, {}, {}, kept=None)),
        ("log Z of a, b and c is found first", doubts({"temperatures": 101}, {}, {}, {})),
        ("log Z of a and b is improved first", doubts({"refine": True}, {}, {})),
        ("What is known of log Z of a and b", doubts({}, {}, {}, kept={**kept, "effective_samples": 1.9})),
        ("b was learned with the boundary torus", doubts({}, {}, {"boundary": "torus"})),
        ("The models may have been learned at different contrasts", doubts({}, {}, {"contrast": 50.0})),
        ("The models were learned with different reference std", doubts({}, {}, {"reference_std": 2.0})),
        ("The models learned from pictures whose light", doubts({}, {}, {"even_light": 32.0})),
    ):
        assert [one.startswith(expected) for one in found] == [True], (expected, found)


def _answer_with(studio: Studio, job: dict[str, Any], compared_by: str, effective_samples: float) -> None:
    """Let a classification have come out with this certainty, as the page reads it."""
    job_url = f"**/v1/jobs/{job['id']}"
    table = studio.service.http.get(f"/v1/jobs/{job['id']}/artifacts/classification.json").json()
    for found in (job["metrics"], table):
        found["compared_by"] = compared_by
        for one in found["log_partitions"]:
            one["effective_samples"] = effective_samples
    studio.page.unroute_all()
    studio.page.route(re.compile(r"/v1/jobs\?"), lambda route: route.fulfill(json={"data": [job], "has_more": False}))
    studio.page.route(job_url, lambda route: route.fulfill(json=job))
    studio.page.route(f"{job_url}/artifacts/classification.json", lambda route: route.fulfill(json=table))
