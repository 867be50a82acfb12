"""The studio from a first picture to results, as people go."""

import io
import json
import math
import re
import zipfile
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import CDPSession, Locator, Page, Route
from pydantic import ValidationError
from sqlalchemy import update
from support import pictures
from support.service import slowed
from support.studio import HAND_OVER, LONG, Studio
from support.waiting import until

from core.recipe.expected_time import learning_seconds
from core.recipe.presets import PRESETS, TWO_CORE_SECONDS
from core.schemas.classification import ClassifyParams
from core.schemas.learning import LearningParams
from core.schemas.sampling import MAX_COUNT, MAX_SIDE, MIN_SIDE
from core.storage.tables import Job

# Let pictures be read only when `releaseBitmaps` is called.
HOLD_BITMAPS = """() => {
  const read = window.createImageBitmap;
  const released = new Promise((release) => { window.releaseBitmaps = release; });
  window.createImageBitmap = async (...given) => { await released; return read(...given); };
}"""


# Let what waits for a frame wait until `releaseFrames` is called, except for what preact draws after its own delay.
HOLD_FRAMES = """() => {
  const next = window.requestAnimationFrame;
  const held = [];
  window.requestAnimationFrame = (work) => held.push(work);
  window.releaseFrames = () => { window.requestAnimationFrame = next; held.forEach((work) => next(work)); };
}"""


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


def choose(studio: Studio, name: str, content: bytes, media_type: str = "image/png") -> None:
    studio.page.set_input_files("input[name=images]", {"name": name, "mimeType": media_type, "buffer": content})


def test_an_example_is_learned_and_its_picture_shown_with_parameters_and_seed(studio: Studio) -> None:
    studio.open()
    studio.page.click(".tile:has-text('Cobbles')")
    studio.page.wait_for_selector("figcaption:text-is('as the model sees it, 96 × 96')")
    for name, value in {"image size": "48", "iterations": "8"}.items():
        studio.page.get_by_label(name, exact=True).fill(value)
    studio.page.get_by_label("orientations", exact=True).select_option("at any angle")
    studio.page.get_by_label("name of the model").fill(" Cobbles ")
    studio.reload()  # which keeps what is filled in, but for files that were not sent
    studio.page.wait_for_selector(".notice:has-text('not sent yet: choose the one again')")
    studio.page.click(".notice button")
    studio.page.click(".tile:has-text('Cobbles')")
    studio.page.click("button:text-is('Paint over what is not to be learned')")
    studio.page.click(".brush canvas", position={"x": 8, "y": 8})
    studio.page.wait_for_selector("figcaption:has-text('what is painted over or transparent is left out')")
    seen = Image.frombytes("RGBA", (48, 48), bytes(studio.pixels("canvas.as-seen")))
    assert [seen.getpixel(place)[3] for place in ((1, 1), (40, 40))] == [0, 255]  # type: ignore[index]
    studio.page.click("a.card:has-text('Auto-encoder')")  # it sees pictures whole
    studio.page.wait_for_selector(".hint:text('what is painted over in cobbles.png is not used')")
    studio.page.click("a.card:has-text('Texture')")
    studio.page.click("button:text-is('Learn')")
    job_id = studio.job_id()
    studio.wait_for_status("done")
    job = studio.service.job(job_id)
    assert 0.5 < job["metrics"]["opaque_share"] < 1
    stored = studio.service.http.get(f"/v1/datasets/{job['dataset_id']}/images/0").raise_for_status().content
    alpha = pictures.decoded(stored).getchannel("A")
    assert [alpha.getpixel(place) for place in ((2, 2), (alpha.width // 2, alpha.height // 2))] == [0, 255]
    assert job["params"]["orientations"] == ["any"]
    assert studio.service.http.get(f"/v1/models/{job['model_id']}").json()["name"] == "Cobbles"
    assert (job["params"]["image_size"], job["params"]["iterations"], job["preset"]) == (48, 8, "quick")
    assert studio.page.inner_text(".facts dl > div:has(dt:text-is('seed')) dd") == str(job["params"]["seed"])
    assert studio.page.locator(".results li").count() == 1
    studio.page.wait_for_selector(".stage img[src*='synthesized-000.png'][alt='The result']")
    studio.page.get_by_label("Moment of learning").fill("0")
    studio.page.wait_for_selector(".stage img[src*='/previews/1'][alt='The chains at step 1']")
    studio.page.wait_for_function("() => document.querySelector('.results img')?.naturalWidth === 48")


def test_a_picture_is_shown_as_the_model_sees_it(studio: Studio) -> None:
    content = pictures.with_hole(60, 40, hole=(0, 0, 60, 20))
    studio.open("make", "texture")
    choose(studio, "half.png", content)
    studio.page.get_by_label("image size", exact=True).fill("20")
    studio.page.wait_for_selector("figcaption:has-text('as the model sees it, 20 × 20'):has-text('left out')")
    until(lambda: any(studio.pixels("canvas.as-seen")))  # a canvas of another size is empty until it is drawn
    seen = Image.frombytes("RGBA", (20, 20), bytes(studio.pixels("canvas.as-seen")))
    assert seen.getpixel((10, 2))[3] == 0  # type: ignore[index]
    middle = pictures.decoded(content).convert("RGB").crop((10, 0, 50, 40)).resize((20, 20), Image.Resampling.BOX)
    for place in ((3, 15), (16, 15)):
        expected, found = middle.getpixel(place), seen.getpixel(place)
        assert isinstance(expected, tuple)
        assert isinstance(found, tuple)
        assert max(abs(one - other) for one, other in zip(expected, found, strict=False)) <= 6
        assert found[3] == 255
    studio.page.click("a.card:has-text('Auto-encoder')")  # it sees pictures whole
    studio.page.wait_for_selector("figcaption:has-text('as the model sees it'):not(:has-text('left out'))")
    until(lambda: studio.pixels("canvas.as-seen")[:4] == [255, 255, 255, 255])


def test_pictures_can_be_dropped_and_pasted(studio: Studio) -> None:
    studio.open("make", "object")
    for number, event in enumerate(("drop", "paste"), start=1):
        studio.page.evaluate(HAND_OVER, [event, f"{event}.png", list(pictures.png(30, 20))])
        studio.page.wait_for_selector(f".chosen .hint:has-text('{number} picture')")
    assert studio.page.locator(".chosen .strip button").evaluate_all("(all) => all.map((one) => one.ariaLabel)") == [
        "drop.png",
        "paste.png",
    ]
    for number, view in enumerate(("jobs", "make/sample"), start=3):  # where no pictures are wanted
        studio.page.evaluate(f"location.hash = '#/{view}'")
        studio.page.wait_for_selector("h1:text-is('Jobs'), h2:text-is('New pictures')")
        assert studio.page.evaluate(HAND_OVER, ["drop", f"{number}.png", list(pictures.png(30, 20))])
        studio.page.wait_for_selector(f".chosen .hint:has-text('{number} picture')")
    studio.page.evaluate("location.hash = '#/gallery'")
    studio.page.wait_for_selector("h1:text-is('Gallery')")
    assert studio.page.evaluate(HAND_OVER, ["drop", "net.safetensors", [1]])
    studio.page.wait_for_selector(".notice:has-text('net.safetensors is neither a picture nor a zip')")
    studio.page.go_back()
    many = [{"name": f"{number}.png", "mimeType": "image/png", "buffer": pictures.png(4, 4)} for number in range(60)]
    studio.page.set_input_files(".chosen input[type=file]", many)  # type: ignore[arg-type]
    studio.page.click("p:has-text('and 4 more') button:text-is('Show all')")
    assert studio.page.locator(".chosen .strip button").count() == 64


def test_a_picture_made_here_is_made_again_from_what_its_file_says(studio: Studio, learned: dict[str, Any]) -> None:
    content = studio.service.artifact(learned, "synthesized-001.png")
    studio.open("make", "texture")
    choose(studio, "found.png", content)
    studio.page.click("button:text-is('Make it again')")
    job_id = studio.job_id()
    assert job_id != learned["id"]
    studio.wait_for_status("done")
    again = pictures.pixels(studio.service.artifact(studio.service.job(job_id), "synthesized-001.png"))
    assert (again == pictures.pixels(content)).all()


def test_the_maps_of_a_material_are_learned_together_and_each_is_shown(studio: Studio, learned: dict[str, Any]) -> None:
    page = studio.page
    studio.open("make", "texture")
    colours = pictures.encoded(pictures.colors(32, 32), "PNG")
    files = {"wood_a.png": ("albedo", colours), "wood_n.png": ("normal", colours)}
    parts = [{"name": name, "mimeType": "image/png", "buffer": content} for name, (_, content) in files.items()]

    def choose_maps(*chosen: object) -> None:
        page.set_input_files("input[name=images]", chosen)  # type: ignore[arg-type]
        for name, (role, _) in files.items():
            page.click(f".chosen .strip button[aria-label='{name}']")
            page.select_option("select[name=role]", role)

    choose_maps(parts[0], {**parts[1], "buffer": pictures.png(16, 16)})
    page.click("button:text-is('Learn')")
    page.wait_for_selector(".notice.failed:has-text('wood_n.png: is 16 x 16 pixels, but wood_a.png 32 x 32')")
    page.click("button:text-is('Choose others')")
    choose_maps(*parts)
    for name, value in {"image size": "32", "iterations": "3"}.items():
        page.get_by_label(name, exact=True).fill(value)
    page.click("button:text-is('Learn')")
    studio.job_id()
    studio.wait_for_status("done")
    assert page.locator(".results li .hint").all_inner_texts() == ["albedo", "normal"]
    page.click(".results li:nth-child(2) a")
    page.click("button:text-is('Beside')")
    page.wait_for_selector(".beside figcaption:text-is('wood_n.png as the model saw it, 32 × 32')")
    assert page.locator(".viewer-aside :text-is('Variations'), .viewer-aside :text-is('Fill in')").count() == 0
    model_id = str(studio.service.http.get("/v1/models").json()["data"][0]["id"])
    studio.open("make", f"sample?model={model_id}")
    page.wait_for_selector(f"input[name=model][value='{model_id}']:checked", state="attached")
    page.get_by_label("tileable").wait_for()
    page.wait_for_selector(f".model-tile:has(input[value='{model_id}']) :text('32 px, a material')")
    assert page.locator(".steer:has-text('Begin with'), .steer:has-text('Follow')").count() == 0
    page.check(f"input[name=model][value='{learned['model_id']}']", force=True)
    page.set_input_files("input[name=start]", parts[0])  # type: ignore[arg-type]
    page.wait_for_selector(".steer button:text-is('Begin with none')")
    page.check(f"input[name=model][value='{model_id}']", force=True)
    page.wait_for_selector(".unused:has-text('wood_a.png is not used: not for the model of a material.')")
    page.wait_for_selector(".start :text-is('Not used: wood_a.png')")
    page.click(".unused button:text-is('Begin with none')")
    page.wait_for_selector(".unused", state="detached")
    studio.open("make", "texture")
    page.click(".strip .tile:has-text('wood_a.png and 1 more')")
    page.wait_for_selector("figcaption:has-text('albedo: wood_a.png, 32 × 32')")
    page.wait_for_selector(".chosen .hint:has-text('2 maps of a material')")


def chosen_roles(page: Page) -> dict[str, str]:
    """Return which map of a material each chosen picture is said to be."""
    found = {}
    page.wait_for_selector("select[name=role]")
    for tile in page.locator(".chosen .strip button").all():
        tile.click()
        found[str(tile.get_attribute("aria-label"))] = page.input_value("select[name=role]")
    return found


def test_a_material_and_photographs_to_be_made_tileable_are_among_the_examples(
    studio: Studio, learned: dict[str, Any]
) -> None:
    page = studio.page
    studio.open("make", "texture")
    page.click(".tile:has-text('A material: four maps')")
    page.wait_for_selector(".chosen .strip button")
    assert chosen_roles(page) == {f"stones-{role}.png": role for role in ("albedo", "normal", "height", "roughness")}
    for name, value in {"image size": "32", "iterations": "3"}.items():
        page.get_by_label(name, exact=True).fill(value)
    page.click("button:text-is('Learn')")
    job_id = studio.job_id()
    studio.wait_for_status("done")
    stored = studio.service.http.get(f"/v1/datasets/{studio.service.job(job_id)['dataset_id']}").json()
    assert [one["role"] for one in stored["maps"]] == ["albedo", "normal", "height", "roughness"]
    studio.open("make", f"seam?model={learned['model_id']}")
    page.click(".tile:has-text('Gravel')")
    page.wait_for_selector(".start :text('Crop or scale gravel.jpg')")


def test_files_named_as_the_maps_of_a_material_are_taken_for_them(studio: Studio) -> None:
    page = studio.page
    studio.open("make", "texture")
    names = {
        "WoodBaseColor.png": "albedo",
        "wood_normal_gl.png": "normal",
        "wood_disp_2k.png": "height",
        "wood.png": "",
    }
    content = pictures.png(32, 32)
    page.set_input_files(
        "input[name=images]", [{"name": name, "mimeType": "image/png", "buffer": content} for name in names]
    )
    assert chosen_roles(page) == names
    page.wait_for_selector(".start :text('Say at “This is” which map of the material wood.png is, or remove it.')")
    page.click("text=Remove this one")
    page.wait_for_selector(".start :text-matches('^about [0-9]')")


def test_a_broken_picture_is_named_where_it_is_shown(studio: Studio) -> None:
    studio.open("make", "texture")
    choose(studio, "notes.txt", b"no picture", "text/plain")
    studio.page.wait_for_selector(".start :text-is('Remove notes.txt, or choose others: it is no picture.')")
    studio.page.click("text=Choose others")
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": pictures.png(48, 48)[:-300]}
    whole = [{**broken, "name": f"{number}.png", "buffer": pictures.png(4, 4)} for number in range(60)]
    studio.page.set_input_files("input[name=images]", [*whole, broken])  # type: ignore[arg-type]
    studio.page.wait_for_selector("p:has-text('and 1 more')")
    studio.page.click("button:text-is('Learn')")
    studio.page.click(".chosen .strip .tile.wrong[aria-label='broken.png']")
    studio.page.wait_for_selector(".unseen.wrong")
    assert studio.page.inner_text(".notice.failed").startswith("broken.png: ")
    studio.page.click("text=Choose others")
    studio.page.wait_for_selector(".drop")
    stored = studio.service.http.get("/v1/datasets").json()["data"]
    assert "broken.png" not in [one["images"][0]["filename"] for one in stored]


def test_nothing_that_was_entered_is_lost_if_the_job_is_refused(studio: Studio) -> None:
    page = studio.page
    sent: list[str] = []
    studio.listen("request", lambda one: sent.append(f"{one.method} {one.url.removeprefix(studio.url)}"))
    studio.open("make", "texture")
    first, *others = (
        {"name": f"wall-0{number}.png", "mimeType": "image/png", "buffer": pictures.png(40, 40)} for number in (1, 2, 3)
    )
    page.set_input_files("input[name=images]", first)  # type: ignore[arg-type]
    page.click("button:text-is('Paint over what is not to be learned')")
    page.click(".brush canvas", position={"x": 8, "y": 8})
    page.get_by_label("image size", exact=True).fill("17")
    page.click("button:text-is('Learn')")
    page.wait_for_selector(".field.wrong:has-text('must be at least 23 with the preset quick')")  # 422
    page.get_by_label("image size", exact=True).fill("32")
    for status in (429, 503):
        page.route("**/v1/jobs", lambda route: route.fulfill(status=status, json={"detail": f"no {status}"}), times=1)  # noqa: B023
        page.click("button:text-is('Learn')")
        page.wait_for_selector(f".notice.failed:has-text('No {status}.')")
    assert [one for one in sent if one.startswith("POST /v1/datasets")] == ["POST /v1/datasets"]
    page.wait_for_selector(".brush :text-matches('[1-9]\\d? % painted over')")
    page.set_input_files("label:has-text('Add more') input", others)  # type: ignore[arg-type]
    page.wait_for_selector(".chosen .hint:has-text('3 pictures')")
    assert page.get_by_label("name of the model").get_attribute("placeholder") == "Wall"
    page.click("button:text-is('Learn')")
    job = studio.service.job(studio.job_id())
    assert job["model_name"] == "Wall"
    images = studio.service.http.get(f"/v1/datasets/{job['dataset_id']}").json()["images"]
    assert [one["filename"] for one in images] == ["wall-01.png", "wall-02.png", "wall-03.png"]
    alpha = pictures.decoded(studio.service.http.get(images[0]["url"]).content).getchannel("A")
    assert [alpha.getpixel(place) for place in ((1, 1), (20, 20))] == [0, 255]
    page.go_back()
    page.wait_for_selector(".chosen :text('stored as wall-01.png and 2 more')")
    assert (
        page.get_by_label("name of the model").get_attribute("placeholder") == "Wall 2"
    )  # the first is not learned yet


def test_a_setting_that_cannot_work_is_refused_at_its_field(studio: Studio) -> None:
    studio.open("make", "texture")
    choose(studio, "stripes.png", pictures.stripes())
    studio.page.wait_for_selector(".start .hint:text-matches('^about [0-9]')")
    usual = studio.page.inner_text(".start .hint")
    studio.page.get_by_label("image size", exact=True).fill("192")
    studio.page.wait_for_selector(".start .hint:text-matches('^about [0-9]')")
    assert studio.page.inner_text(".start .hint") != usual
    studio.page.get_by_label("iterations", exact=True).fill("-3")
    until(lambda: studio.page.inner_text(".start .hint") == "")
    studio.page.get_by_label("iterations", exact=True).fill("")
    studio.page.get_by_label("image size", exact=True).fill("17")
    studio.page.click("button:text-is('Learn')")
    studio.page.wait_for_selector(".field.wrong:has-text('must be at least 23 with the preset quick')")
    studio.page.click("summary:has-text('All other settings')")
    studio.page.get_by_label("layer 1: filters").fill("0")
    studio.page.click("summary:has-text('All other settings')")
    studio.page.click("button:text-is('Learn')")
    studio.page.wait_for_selector("details[open] .field.wrong:has-text('layers')")
    wrong = " ".join(studio.page.locator(".field.wrong .hint").all_inner_texts())
    studio.page.get_by_label("layer 1: filters").fill("8")
    studio.page.wait_for_selector(".field.wrong:has-text('layers')", state="detached")
    studio.page.wait_for_selector(".start .hint:has-text('not measured with these settings')")
    studio.page.route("**/v1/datasets/*", lambda route: route.fulfill(status=503, json={"detail": "away"}), times=1)
    studio.reload()  # the tab keeps what was filled in, and which pictures the service has
    assert studio.page.get_by_label("image size", exact=True).input_value() == "17"
    studio.page.wait_for_selector(".chosen :text('stored as stripes.png')")
    studio.page.click("a.card:has-text('Object')")
    studio.page.click("a.card:has-text('Texture')")
    until(lambda: studio.page.get_by_label("image size", exact=True).input_value() == "17")
    dataset_id = studio.service.http.get("/v1/datasets").json()["data"][0]["id"]
    studio.service.http.delete(f"/v1/datasets/{dataset_id}").raise_for_status()
    studio.page.click("button:text-is('Learn')")
    studio.page.wait_for_selector(".notice.failed:has-text('The pictures “stripes.png” were deleted meanwhile.')")
    studio.page.wait_for_selector(".drop")
    studio.page.click("button:text-is('Begin anew')")
    assert studio.page.get_by_label("image size", exact=True).input_value() == "96"
    assert studio.page.locator("button:text-is('Begin anew')").count() == 0
    assert "_" not in wrong


def test_learning_can_be_watched_after_a_reload_and_in_a_second_tab_and_resumed(studio: Studio) -> None:
    job_id = studio.service.train(None, **LONG)
    with slowed(studio.service.child("train")):
        studio.open("jobs", job_id)
        studio.page.wait_for_selector(".changing")
        before = until(studio.step, pause_seconds=0.1)
        until(lambda: studio.step() > before, pause_seconds=0.1)
        studio.page.wait_for_selector(".chart:has-text('Contrast') .legend dd:not(:text-is('none yet'))")
        studio.page.wait_for_selector(".scrubber output:text-is('live')")
        studio.reload()
        until(lambda: studio.step() > before, pause_seconds=0.1)
        second = Studio(studio.service, studio.page.context.new_page())
        second.open("jobs", job_id)
        until(lambda: second.step() > before, pause_seconds=0.1)
        studio.page.get_by_label("Moment of learning").fill("0")
        studio.page.wait_for_selector(".scrubber output:not(:text-is('live'))")
    studio.page.click("button:text-is('Cancel')")
    studio.wait_for_status("canceled")
    second.wait_for_status("canceled")
    studio.page.click("button:text-is('Resume')")
    second.wait_for_status("at work")


def test_cancel_stops_one_job_of_seven_and_one_stream_tells_of_all(studio: Studio) -> None:
    dataset_id = studio.service.upload()
    asked: list[str] = []
    studio.listen("request", lambda request: asked.append(request.url.removeprefix(studio.url)))
    with slowed(studio.service.child("train")):
        jobs = [studio.service.train(dataset_id, **LONG) for _ in range(7)]
        studio.open("jobs")
        studio.page.wait_for_selector("nav .badge:text-is('7')")
        studio.page.click(f".job-row[href$='{jobs[3]}']")
        studio.page.wait_for_selector(".job-head :text('Number 3 in the queue')")
        studio.page.click("button:text-is('Cancel')")
        studio.wait_for_status("canceled")
        studio.page.wait_for_selector(".job-head .headline:text-is('Stopped before its first step')")
        with studio.service.database.write() as session:  # as if it had been stopped later
            progress = {"stage": 2, "stages": 3, "iteration": 5, "iterations": 1400}
            session.execute(update(Job).where(Job.id == jobs[3]).values(progress=progress))
        studio.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # a reason to read all again
        studio.page.wait_for_selector(".job-head .headline:text-is('Stopped at layer 2 of 3, step 5 of 1,400')")
        studio.page.wait_for_selector("nav .badge:text-is('6')")
        assert {job["id"] for job in studio.service.unfinished()} == {*jobs} - {jobs[3]}
        assert [path for path in asked if path.endswith("/events")] == ["/v1/events"]


def test_a_hidden_tab_keeps_no_connection_and_catches_up_when_it_is_seen(studio: Studio) -> None:
    job_id = studio.service.train(None, **LONG)
    ended: list[str] = []
    for name in ("requestfinished", "requestfailed"):
        studio.listen(name, lambda request: ended.append(request.url))
    with slowed(studio.service.child("train")):
        studio.open("jobs", job_id)
        studio.wait_for_status("at work")
        ended.clear()  # of streams that ended before: the one of the page that was open here
        _show(studio, hidden=True)
        until(lambda: _pumped(studio, f"{studio.url}/v1/events", ended))
    studio.service.cancel(job_id)
    assert studio.page.locator(".job-head .status:text-is('at work')").count() == 1
    _show(studio, hidden=False)
    studio.wait_for_status("canceled")


@pytest.mark.usefixtures("own_page")
def test_what_a_job_tells_costs_the_page_little(studio: Studio) -> None:
    job_id = studio.service.train(None, **LONG)
    studio.open("jobs", job_id)
    studio.page.wait_for_selector(".chart:has-text('Contrast') .legend dd:not(:text-is('none yet'))")
    browser = studio.page.context.new_cdp_session(studio.page)
    told: list[str] = []
    browser.on("Network.eventSourceMessageReceived", lambda event: told.append(event["eventName"]))
    for domain in ("Network", "Performance"):
        browser.send(f"{domain}.enable")
    before = _times_styled(browser)
    with slowed(studio.service.child("train"), pause_seconds=0.1):
        until(lambda: _pumped(studio, "progress", told[10:]))
    assert _times_styled(browser) - before < 3 * len(told)


def test_curves_are_drawn_when_there_are_new_points_and_many_at_once(studio: Studio, learned: dict[str, Any]) -> None:
    studio.open("jobs", learned["id"])
    studio.page.wait_for_selector(".chart:has-text('Contrast') .legend dd:not(:text-is('none yet'))")
    found = studio.page.evaluate(CURVES, learned["id"])
    assert found["drawn by a new job"] == 0
    assert found["steps at once"] == found["steps before"]
    last = found["steps before"][-1]
    assert found["steps"] == [*found["steps before"], *range(last + 1, last + 11)]
    assert found["steps after going back"] == [*found["steps before"], last + 1, last + 2]
    assert 0 < found["drawn by points"] <= 2 * studio.page.locator(".chart").count()


# What the studio calls each stage of a job, and the iterations before it. A job that has not begun is in stage 0.
PARTS = """async (jobs) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const { aboutStage, iterationsBefore, partOfLearning } = await import(`${folder}data/jobs.js`);
  const stages = (job) => Array.from({ length: job.progress.stages + 1 }, (_, stage) => stage);
  const told = (job, stage) => [partOfLearning(job, stage, true), iterationsBefore(job, stage), aboutStage(job, stage)];
  return jobs.map((job) => stages(job).map((stage) => told(job, stage)));
}"""


CHARTS = """async ([points, job]) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {chartsOf} = await import(folder + "parts/curves.js");
  const {lines} = chartsOf(points, job).find((one) => one.title === "Active units");
  return lines.map(({label, values}) => [label, values]);
}"""


def test_the_single_unit_of_an_objects_top_filter_is_no_layer_that_does_little(studio: Studio) -> None:
    studio.open("jobs")
    points = [{"stage": 1, "iteration": step, "active_share": [0.25, 0.5, 1]} for step in (1, 2)]
    job = {"params": {"top": "object", "iterations": 2}}
    assert studio.page.evaluate(CHARTS, [points, job]) == [["layer 1, %", [25, 25]], ["layer 2, %", [50, 50]]]
    job["params"]["top"] = "convolutional"
    assert len(studio.page.evaluate(CHARTS, [points, job])) == 3


def test_a_job_says_which_part_of_learning_it_is_at(studio: Studio) -> None:
    plain = {"params": {"iterations": 7, "coarse_iterations": 0, "canvas_iterations": 0}, "progress": {"stages": 1}}
    older = {"params": {"iterations": 7}, "progress": {"stages": 2}}  # of a version without coarse level and canvas
    photo = {"params": {"iterations": 7, "coarse_iterations": 5, "canvas_iterations": 3}, "progress": {"stages": 3}}
    grown = {"params": {"iterations": 7, "coarse_iterations": 5, "canvas_iterations": 3}, "progress": {"stages": 4}}
    windows = {"params": {"iterations": 7, "coarse_iterations": 0, "canvas_iterations": 3}, "progress": {"stages": 2}}
    studio.open("make")
    told = studio.page.evaluate(PARTS, [plain, older, photo, grown, windows])
    assert [[about.partition(" from")[0] for *_, about in job] for job in (told[1], told[2], told[4])] == [
        ["", "", ""],
        ["", "First the layout,", "Now the detail,", "Last, layout and detail together, on one large canvas."],
        ["", "First the detail,", "Last, layout and detail together, on one large canvas."],
    ]
    assert [[one[:2] for one in job] for job in told] == [
        [["", 0], ["", 0]],
        [["", 0], ["layer 1 of 2, ", 0], ["layer 2 of 2, ", 7]],
        [["", 0], ["coarse picture, ", 0], ["windows, ", 5], ["canvas, ", 12]],
        [["", 0], ["coarse picture, ", 0], ["layer 1 of 2, ", 5], ["layer 2 of 2, ", 12], ["canvas, ", 19]],
        [["", 0], ["windows, ", 0], ["canvas, ", 7]],
    ]


# Show a job that has ended as one that learns a photograph, at a step of 9 of a stage, with a preview of a stage seen
# last; return what the page says of it.
AT_WORK = """async ([id, stage, iteration, fraction, seen]) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {jobOf} = await import(folder + "data/jobs.js");
  const {previewsOf} = await import(folder + "data/series.js");
  const before = jobOf(id).value;
  previewsOf(id).value = [{step: 1, stage: seen, iteration: 1, width: 8, height: 8, url: "mark.svg"}];
  const params = {...before.params, iterations: 9, coarse_iterations: 9, canvas_iterations: 9};
  const progress = {stage, stages: 3, iteration, iterations: 9, fraction};
  let shown;
  do {  // again if an answer of the service takes its place
    shown = jobOf(id).value = {...before, status: "running", params, progress};
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 50)));
  } while (jobOf(id).value !== shown);
  const said = (selector) => [...document.querySelectorAll(selector)].map((one) => one.textContent);
  const found = [".job-head .headline", ".stage-about", ".facts > dl dt", ".curves > .hint"].map(said);
  jobOf(id).value = before;
  return found;
}"""


def test_a_photographs_job_says_what_its_stage_is_for_and_that_its_results_are_stored(
    studio: Studio, learned: dict[str, Any]
) -> None:
    studio.open("jobs", learned["id"])
    studio.page.wait_for_selector(".plot canvas")
    assert not {"coarse iterations", "canvas iterations"} & {*studio.page.locator(".facts > dl dt").all_inner_texts()}
    for stage, iteration, fraction, said, seen, about in (
        (1, 5, 0.2, "coarse picture, step 5 of 9", 1, "First the layout"),
        (2, 1, 0.3, "windows, step 1 of 9", 1, "First the layout"),  # until the first picture of the stage has come
        (2, 5, 0.5, "windows, step 5 of 9", 2, "Now the detail"),
        (2, 9, 0.6, "windows, step 9 of 9", 2, "Now the detail"),
        (3, 5, 0.8, "canvas, step 5 of 9", 3, "Last, layout and detail"),
        (3, 9, 0.99, "Measuring and storing the results", 3, "Last, layout and detail"),
        (3, 9, 1, "canvas, step 9 of 9", 3, "Last, layout and detail"),  # resumed after its end, and not yet loaded
    ):
        shown = studio.page.evaluate(AT_WORK, [learned["id"], stage, iteration, fraction, seen])
        headline, (hint,), facts, curves = shown
        assert headline == [said]
        assert hint.startswith(about)
        assert {"coarse iterations", "iterations", "canvas iterations"} <= {*facts}
        assert "steps of all stages" in curves[0]


def test_too_few_pictures_of_an_object_are_said_to_be_too_few(studio: Studio) -> None:
    studio.open("make", "object")
    for number, words in enumerate(("There is only one here", "There are only 2 here"), start=1):
        files = [{"name": f"{number}.png", "mimeType": "image/png", "buffer": pictures.png(96, 96)}]
        studio.page.set_input_files("input[name=images]" if number == 1 else ".chosen input[type=file]", files)
        studio.page.wait_for_selector(f".warned:has-text('{words}')")
    more = [{"name": f"more-{at}.png", "mimeType": "image/png", "buffer": pictures.png(96, 96)} for at in range(3)]
    studio.page.set_input_files(".chosen input[type=file]", more)
    studio.page.wait_for_selector(".warned", state="detached")
    studio.go("make", "texture")
    studio.page.wait_for_selector("h2:text-is('Texture')")
    assert studio.page.locator(".warned").count() == 0


def test_small_pictures_are_said_to_be_enlarged_and_a_click_learns_them_as_they_are(studio: Studio) -> None:
    studio.open()
    choose(studio, "small.png", pictures.png(100, 140))
    studio.page.wait_for_selector("figcaption:text-is('as the model sees it, 96 × 96')")
    assert studio.page.locator(".warned").count() == 0
    studio.page.check("input[value=photo]")
    studio.page.wait_for_selector(
        ".warned:has-text('small.png is enlarged 5.1 times, to 512 × 512, and learned blurred')"
    )
    studio.page.click("button:text-is('Learn at 128 × 128')")  # the smallest that photo learns
    studio.page.wait_for_selector(".warned:has-text('small.png is enlarged 1.3 times, to 128 × 128')")
    assert studio.page.locator(".warned button").count() == 0
    studio.page.get_by_label("image size", exact=True).fill("120")
    studio.page.wait_for_selector(".warned", state="detached")


def test_the_size_that_a_click_learns_small_pictures_at_is_one_that_the_service_accepts(studio: Studio) -> None:
    studio.open()
    choose(studio, "tiny.png", pictures.png(20, 20))
    studio.page.click("button:text-is('Learn at 23 × 23')")
    studio.page.wait_for_selector(".warned", state="detached")
    for name, params in PRESETS.items():
        least = studio.page.evaluate(LEAST_SIZE, params.model_dump(mode="json"))
        LearningParams.model_validate({**params.model_dump(), "image_size": least})
        with pytest.raises(ValidationError):
            LearningParams.model_validate({**params.model_dump(), "image_size": least - 1})
        assert (
            studio.page.evaluate(LEAST_SIZE, {**params.model_dump(mode="json"), "orientations": ["any"]}) == math.inf
        ), name


LEAST_SIZE = """async (params) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {learnableSize} = await import(folder + "data/models.js");
  return learnableSize(params, 1);
}"""


def test_the_form_has_the_parameters_that_concern_what_is_made(studio: Studio) -> None:
    def labels(kind: str, title: str) -> set[str]:
        studio.go("make", kind)
        studio.page.wait_for_selector(f".bench:has(h2:text-is('{title}')) .settings details")
        return {*studio.page.locator(".settings .field > label").all_text_contents()}

    studio.open("make")
    texture = labels("texture", "Texture")
    orientations = studio.page.locator(".field:has(select:has-text('at any angle')) .hint")
    hints = " ".join(studio.page.locator(".field .hint").all_text_contents())
    assert "Parallel Langevin chains, each a synthesized picture." in hints
    assert not re.search("M̃|[εησ]|In the paper", hints), "symbols are for those who ask for more"
    short = orientations.inner_text()
    orientations.get_by_role("button", name="more").click()
    assert len(orientations.inner_text()) > 3 * len(short)
    studio.page.click("summary:has-text('All other settings')")
    tops = "(all) => new Set(all.slice(0, 4).map((one) => one.getBoundingClientRect().top)).size"
    assert studio.page.locator(".others .field").evaluate_all(tops) == 1  # they use the whole width
    windows = {"random lattice", "canvas iterations", "coarse iterations", "coarse factor"}
    assert {"patch size", "layers", "boundary", *windows} <= texture
    assert not {"top", "contrastive"} & texture
    chains = {"num chains", "initialization", "keep nearest", "stop when steady"}
    assert texture - labels("object", "Object") == {"patch size", "random lattice", "canvas iterations"}
    assert texture - labels("autoencoder", "Auto-encoder") == {"patch size", *windows, *chains}
    assert texture - labels("dictionary", "Dictionary") == {*windows, *chains}
    studio.page.evaluate(SET, ["num_chains", 3])  # as a job may have had it
    studio.page.wait_for_selector(".settings .field > label:text-is('num chains')", state="attached")


SET = """async ([name, value]) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {override} = await import(folder + "data/draft.js");
  override(name, value);
}"""


# Where that stands which one looks at on a job's page.
PLACES = """() => [
  "nav a:last-child", ".job-head .headline", ".stage-picture", ".scrubber", ".actions", ".facts"
].map((one) => {
  const { x, y } = document.querySelector(one).getBoundingClientRect();
  return [one, x, y];
})"""


def test_nothing_that_one_looks_at_moves_when_a_job_ends(studio: Studio) -> None:
    job_id = studio.service.train(None, iterations=40)
    with slowed(studio.service.child("train")):
        studio.open("jobs", job_id)
        studio.wait_for_status("at work")
        before = studio.page.evaluate(PLACES)
        studio.page.route("**/v1/models?*", lambda route: route.fulfill(status=503, json={"detail": "away"}), times=1)
    head = ".job-head:has(.status:text-is('done'))"
    studio.page.wait_for_selector(f"{head} .headline:text-is('Reading the results')")
    assert studio.page.evaluate(PLACES) == before
    studio.page.wait_for_selector(".actions .primary")
    studio.page.wait_for_selector(".sheet[aria-label='The result']")
    assert studio.page.evaluate(PLACES)[:-1] == before[:-1], "warnings come above the settings"


# Tell the page ten times of a job, then of ten points, then of two behind which learning has gone back.
CURVES = """async (id) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {jobOf} = await import(folder + "data/jobs.js");
  const {continueSeries, seriesOf} = await import(folder + "data/series.js");
  let drawn = 0;
  const clear = CanvasRenderingContext2D.prototype.clearRect;
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    drawn += 1;
    return clear.apply(this, box);
  };
  const shown = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 50)));
  const steps = () => seriesOf(id).value.map((one) => one.iteration);
  const settled = async (before) => { while (seriesOf(id).value === before) await shown(); };
  const point = seriesOf(id).value.at(-1);
  const tell = (iteration) => continueSeries("progress", {job_id: id, metrics: {...point, iteration}});
  const found = {"steps before": steps()};
  for (let time = 0; time < 10; time += 1) {
    jobOf(id).value = {...jobOf(id).value};
    await shown();
  }
  found["drawn by a new job"] = drawn;
  const last = steps().at(-1);
  let before = seriesOf(id).value;
  for (let step = last + 1; step <= last + 10; step += 1) tell(step);
  found["steps at once"] = steps();
  await settled(before);
  await shown();
  found["steps"] = steps();
  found["drawn by points"] = drawn;
  before = seriesOf(id).value;
  tell(last + 1);
  tell(last + 2);
  await settled(before);
  found["steps after going back"] = steps();
  return found;
}"""


def _times_styled(browser: CDPSession) -> int:
    """Return how often the browser has computed styles of the page."""
    metrics = {one["name"]: one["value"] for one in browser.send("Performance.getMetrics")["metrics"]}
    return int(metrics["RecalcStyleCount"])


def _show(studio: Studio, *, hidden: bool) -> None:
    """Do to the page what hiding or showing its tab does; headless browsers have no tabs to hide."""
    value = str(hidden).lower()
    studio.page.evaluate(
        f"Object.defineProperty(document, 'hidden', {{value: {value}, configurable: true}});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


def _pumped(studio: Studio, wanted: str, found: list[str]) -> bool:
    """Return True if `wanted` was found, after letting the browser tell of its events."""
    studio.page.wait_for_timeout(100)
    return wanted in found


def test_more_pictures_are_drawn_and_looked_at_in_every_way(studio: Studio, learned: dict[str, Any]) -> None:
    studio.open("models")
    studio.page.route("**/openapi.json", lambda route: route.fulfill(status=503, json={"detail": "away"}), times=1)
    studio.go("make", f"sample?model={learned['model_id']}")
    studio.page.click("summary:has-text('All other settings')")
    assert studio.page.locator(".notice").count() == 0
    hints = " ".join(studio.page.locator(".field .hint").all_inner_texts())
    assert re.findall(r"\w+_\w+|\btrue\b|\bfalse\b|\bnull\b|\babsent\b", hints) == []
    limits = {"count": (1, MAX_COUNT), "width": (MIN_SIDE, MAX_SIDE), "height": (MIN_SIDE, MAX_SIDE)}
    for name, bounds in limits.items():
        field = studio.page.get_by_label(name, exact=True)
        assert tuple(int(field.get_attribute(bound) or 0) for bound in ("min", "max")) == bounds
    for name, value in {"count": "2", "width": "48", "height": "32", "steps": "3"}.items():
        studio.page.get_by_label(name, exact=True).fill(value)
    studio.page.get_by_label("tileable").check()
    studio.page.wait_for_selector(".start .time:text-matches('^about [0-9]+ s$')")
    studio.page.click("button:text-is('Draw')")
    job_id = studio.job_id()
    studio.wait_for_status("done")
    params = studio.service.job(job_id)["params"]
    assert (params["count"], params["width"], params["height"], params["tileable"]) == (2, 48, 32, True)
    studio.page.wait_for_selector(".results li:nth-child(2) .thumb.pixelated")  # as in the viewer
    studio.page.click(".results li:nth-child(1) a")
    size = "(one) => [parseFloat(one.style.width), parseFloat(getComputedStyle(one).backgroundSize)]"
    studio.page.click("button:text-is('Tiles')")
    laid, one = studio.page.locator(".zoomed").evaluate(size)
    assert laid == pytest.approx(3 * one)
    studio.page.click("button:text-is('Tiles')")
    studio.page.click("[aria-label^='Pixel for pixel']")
    assert studio.page.locator(".zoomed").evaluate(size) == [48, 48]
    studio.page.click("button:text-is('Slider')")
    studio.page.get_by_label("How much of your photograph is shown").fill("0")
    edges = "([photo, made]) => [photo, made].map((one) => getComputedStyle(one.parentElement).clipPath)"
    layers = studio.page.locator(".slider .zoomed")
    assert layers.evaluate_all(edges) == ["inset(0px calc(100% - 22px) 0px 0px)", "inset(0px 0px 0px calc(0% + 22px))"]
    side = learned["params"]["image_size"]  # of the photograph as the model saw it, which is beside it pixel for pixel
    sizes = "(all) => all.map((one) => [one.offsetWidth, one.offsetHeight])"
    assert layers.evaluate_all(sizes) == [[side, side], [48, 32]]
    studio.page.click("button:text-is('Beside')")
    studio.page.click("[aria-label='Larger']")
    percent = int(studio.page.inner_text(".zoom-tools output").removesuffix(" %"))
    (wide, high), made = studio.page.locator(".beside .zoomed").evaluate_all(sizes)
    assert (wide, high, *made) == pytest.approx([one * percent / 100 for one in (side, side, 48, 32)], abs=1)
    area, after = (studio.page.locator(one).bounding_box() for one in (".viewer-look", ".turn.after"))
    assert area
    assert after
    assert area["x"] + area["width"] <= after["x"]  # the arrow covers no picture
    studio.page.keyboard.press("Escape")
    studio.page.wait_for_selector(".viewer", state="detached")
    studio.page.click(".results li:nth-child(2) a")
    with studio.page.expect_download() as download:
        studio.page.click(".viewer [aria-label='Download']")
    assert pictures.decoded(download.value.path().read_bytes()).size == (48, 32)
    assert download.value.suggested_filename == f"0-synthesized-001-{job_id[-6:]}.png"  # its model learned from 0.png
    studio.page.click(".viewer button:text-is('More like this')")
    studio.page.wait_for_function(f"() => !location.hash.includes('{job_id}')")
    studio.wait_for_status("done")
    more = studio.service.job(studio.job_id())["params"]
    assert more == {**params, "seed": more["seed"]}
    assert more["seed"] != params["seed"]


def test_a_picture_is_compared_with_the_nearest_of_several_and_with_others_if_asked(studio: Studio) -> None:
    turned = [pictures.colors(32, 32).rotate(angle) for angle in (0, 90, 180)]
    originals = [pictures.encoded(one, "PNG") for one in turned]
    job = studio.service.succeeded(studio.service.train(studio.service.upload(*originals)))
    names = [one["filename"] for one in studio.service.http.get(f"/v1/datasets/{job['dataset_id']}").json()["images"]]

    def expected(name: str) -> str:
        content = studio.service.http.get(f"/v1/jobs/{job['id']}/artifacts/{name}").content
        made, *seen = (
            np.asarray(pictures.decoded(one).convert("RGB").resize((32, 32)), np.float64)
            for one in (content, *originals)
        )
        return names[int(np.argmin([np.square(one - made).mean() for one in seen]))]

    studio.open("jobs", job["id"], "synthesized-000.png")
    studio.page.click(".viewer button:text-is('Beside')")
    choice = studio.page.get_by_label("Compared with")
    shown = choice.locator("option:checked")
    assert shown.inner_text() == f"{expected('synthesized-000.png')}, the nearest"
    studio.page.click("[aria-label='The next picture']")
    until(lambda: shown.inner_text() == f"{expected('synthesized-001.png')}, the nearest")
    assert choice.locator("option").count() == 3
    assert studio.accessibility_problems() == []
    other = next(one for one in names if one != expected("synthesized-001.png"))
    choice.focus()
    studio.page.keyboard.press("Home")
    while shown.inner_text() != other:
        studio.page.keyboard.press("ArrowDown")
    studio.page.wait_for_selector(f".beside figcaption:has-text('{other} as the model saw it, 32 × 32')")
    assert studio.page.url.endswith("synthesized-001.png"), "the keys of a choice turn no page"
    studio.page.click(".viewer button:text-is('Slider')")
    assert shown.inner_text() == other
    studio.page.wait_for_selector(".slider")


def test_an_answer_that_is_older_than_a_jobs_end_does_not_hide_the_end(studio: Studio, learned: dict[str, Any]) -> None:
    job_id = studio.service.train(learned["dataset_id"], **LONG)

    def answer_late(route: Route) -> None:
        answer = route.fetch()
        assert answer.json()["status"] in ("queued", "running")
        studio.service.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
        studio.service.finished(job_id)
        studio.page.wait_for_selector(".job-head .status:text-is('canceled')")
        route.fulfill(response=answer)
        answered.append(route)

    answered: list[Route] = []
    studio.open("jobs")
    studio.page.wait_for_selector(f"a[href='#/jobs/{job_id}']")
    studio.page.route(f"**/v1/jobs/{job_id}", answer_late, times=1)
    studio.page.evaluate("(id) => { location.hash = `#/jobs/${id}`; }", job_id)
    until(lambda: studio.page.wait_for_timeout(50) or answered)
    studio.page.wait_for_timeout(500)
    assert studio.page.inner_text(".job-head .status") == "canceled"


def test_the_pictures_of_a_job_that_is_split_are_shown_as_they_are_finished(
    studio: Studio, learned: dict[str, Any]
) -> None:
    params = {"count": MAX_COUNT, "steps": 20}
    lost: list[Route] = []
    # The list would tell what the lost answer would have, if it came first.
    studio.page.route(re.compile(r"/v1/datasets\?"), lambda route: route.fulfill(json={"data": []}))
    studio.page.route("**/v1/datasets/*", lambda route: lost.append(route) or route.abort(), times=1)
    with slowed(studio.service.child("sample")):
        job_id = studio.service.post_job(
            {
                "kind": "sample",
                "model_id": learned["model_id"],
                "params": {**params, "start_dataset_id": learned["dataset_id"]},
            }
        )
        studio.open("jobs", job_id)
        studio.page.wait_for_selector(".results li:nth-child(2)")
        studio.page.wait_for_selector(".stage img[src*='/previews/'][alt^='The picture at step']")
        studio.page.wait_for_selector(".given .ground:not(.checker) img")
        assert lost
        assert studio.service.job(job_id)["status"] == "running"
        studio.service.cancel(job_id)
    studio.wait_for_status("canceled")


def test_what_can_be_done_with_a_picture_is_within_the_window(studio: Studio, learned: dict[str, Any]) -> None:
    studio.open("jobs", f"{learned['id']}/synthesized-000.png")
    studio.page.wait_for_selector(".viewer button:text-is('Use as guide')")
    for width, height in ((740, 360), (1000, 900), (1280, 900), (1920, 900)):
        studio.page.set_viewport_size({"width": width, "height": height})
        ends = studio.page.locator(".viewer-bar :is(button, a), .viewer-aside :is(button, a, dd)").evaluate_all(
            "(all) => all.map((one) => one.getBoundingClientRect().right)"
        )
        assert max(ends) <= width - 10  # its padding
        area, tools = (
            studio.page.locator(".zoom-area").bounding_box(),
            studio.page.locator(".zoom-tools").bounding_box(),
        )
        assert area
        assert tools
        assert area["y"] + area["height"] <= tools["y"] <= height - tools["height"]


def test_a_guide_and_a_blend_are_found_on_the_form_of_new_pictures(studio: Studio, learned: dict[str, Any]) -> None:
    model = studio.service.http.get(f"/v1/models/{learned['model_id']}").json()
    only_this = {"data": [model], "has_more": False}
    studio.page.route(re.compile(r"/v1/models\?"), lambda route: route.fulfill(json=only_this))
    studio.open("jobs", f"{learned['id']}/synthesized-000.png")
    studio.page.click(".viewer button:text-is('Use as guide')")
    studio.page.wait_for_selector("#steer-guide:focus .file-name:text-is('synthesized-000.png')")
    top = "(one) => one.getBoundingClientRect().top"
    until(lambda: 0 < studio.page.locator("#steer-guide").evaluate(top) < 800)
    assert studio.page.locator(".card[aria-current]").inner_text().startswith("Guide")
    studio.page.click(".card:has-text('Blend')")
    studio.page.wait_for_selector("#steer-blend:focus :text('Blending takes two models')")
    model["params"]["top"] = "object"
    studio.reload()
    studio.page.wait_for_selector("#steer-blend :text('draws at its own size only, and alone')")


def test_a_question_ends_with_the_view_that_it_was_asked_on(studio: Studio, learned: dict[str, Any]) -> None:
    studio.open("jobs")
    studio.page.evaluate(f"location.hash = '#/jobs/{learned['id']}'")
    studio.page.click("button:text-is('Delete')")
    studio.page.wait_for_selector("dialog[open]")
    studio.page.go_back()
    studio.page.wait_for_selector("h1:text-is('Jobs')")
    studio.page.wait_for_selector("dialog", state="detached")
    assert studio.service.job(learned["id"])["status"] == "succeeded"


def test_variations_of_a_picture_begin_from_it(studio: Studio, learned: dict[str, Any]) -> None:
    studio.open("jobs", f"{learned['id']}/synthesized-000.png")
    studio.page.click(".viewer button:text-is('Variations')")
    strength = studio.page.locator("dialog:not(.viewer)").get_by_label("start strength")
    studio.page.locator("dialog:not(.viewer)").get_by_label("count").fill("1")
    strength.fill("1.5")
    studio.page.click("dialog:not(.viewer) button:text-is('Draw')")
    assert strength.evaluate("(one) => one.validity.rangeOverflow")  # and the browser says so
    strength.fill("0.01")
    studio.page.route("**/v1/jobs", lambda route: route.fulfill(status=429, json={"detail": "too many"}), times=1)
    studio.page.click("dialog:not(.viewer) button:text-is('Draw')")
    studio.page.wait_for_selector("dialog:not(.viewer) [role=alert]:text-is('Too many.')")
    assert strength.input_value() == "0.01"
    studio.page.click("dialog:not(.viewer) button:text-is('Draw')")
    studio.page.wait_for_function(f"() => !location.hash.includes('{learned['id']}')")
    studio.wait_for_status("done")
    params = studio.service.job(studio.job_id())["params"]
    assert (params["start_strength"], params["count"], params["width"], params["height"]) == (0.01, 1, 32, 32)
    start = studio.service.http.get(f"/v1/datasets/{params['start_dataset_id']}/images/0").raise_for_status().content
    original = studio.service.artifact(learned, "synthesized-000.png")
    assert pictures.decoded(start).tobytes() == pictures.decoded(original).tobytes()
    studio.go("jobs", f"{learned['id']}/synthesized-000.png")
    studio.page.click(".viewer button:text-is('Use as guide')")
    studio.page.wait_for_selector(".steer :text('synthesized-000.png')")
    studio.page.get_by_label("guide strength", exact=True).fill("0.3")
    studio.page.get_by_label("count", exact=True).fill("1")
    studio.page.click("button:text-is('Draw')")
    studio.wait_for_status("done")
    guided = studio.service.job(studio.job_id())["params"]
    guide = studio.service.http.get(f"/v1/datasets/{guided['guide_dataset_id']}/images/0").raise_for_status().content
    assert guided["guide_strength"] == 0.3
    assert pictures.decoded(guide).tobytes() == pictures.decoded(original).tobytes()


def _alike(one: list[int], other: list[int]) -> bool:
    """Whether pixels are the same up to how a canvas rounds half covered ones."""
    return all(abs(a - b) <= 1 for a, b in zip(one, other, strict=True))


def _has_white(pixels: list[int]) -> bool:
    return any(min(pixels[at : at + 3]) > 250 for at in range(0, len(pixels), 4))


def test_pictures_pass_from_one_to_another_and_models_are_blended(studio: Studio, learned: dict[str, Any]) -> None:
    service, page = studio.service, studio.page
    twin = _twin(studio, learned["model_id"])
    first, last, mask = (
        pictures.png(width=32, height=32),
        pictures.film(),
        pictures.with_hole(32, 32, hole=(0, 0, 9, 9)),
    )

    def choose_steering(slot: str, content: bytes) -> None:
        page.set_input_files(f"input[name={slot}]", {"name": f"{slot}.png", "mimeType": "image/png", "buffer": content})

    def chosen(slot: str, content: bytes) -> None:
        choose_steering(slot, content)
        page.wait_for_selector(f".steer :text('{slot}.png')")

    def drawn() -> dict[str, Any]:
        page.click("button:text-is('Draw')")
        page.wait_for_url("**/#/jobs/job_*")
        studio.wait_for_status("done")
        params: dict[str, Any] = service.job(studio.job_id())["params"]
        return params

    def stored(dataset_id: str) -> bytes:
        return service.http.get(f"/v1/datasets/{dataset_id}/images/0").raise_for_status().content

    studio.open("make", f"sample?model={learned['model_id']}")
    page.evaluate(HOLD_BITMAPS)
    choose_steering("guide", mask)
    choose_steering("start", first)  # while the other is being read
    page.evaluate("() => releaseBitmaps()")
    page.wait_for_selector(".steer :text('guide.png')")
    page.wait_for_selector(".steer :text('start.png')")
    page.get_by_label("height", exact=True).fill("16")
    cut = "This picture has other proportions than what is drawn, 32 × 16: its middle is used, and 50 % of it, at its"
    assert page.locator(f".steer :text('{cut} top and bottom, is cut off.')").count() == 2
    page.get_by_label("height", exact=True).fill("")
    page.click("button:text-is('Follow none')")
    assert page.locator(".steer .hint code").all_inner_texts() == ["steps"]
    page.get_by_label("start strength", exact=True).fill("0.02")
    chosen("end", last)
    page.get_by_label("count", exact=True).fill("2")
    passing = drawn()
    page.wait_for_selector(".notice:has-text('end.png: an animation: only its first frame is used')")
    assert (passing["start_strength"], passing["end_shares"], passing["blend"]) == (0.02, [0, 1], None)
    page.wait_for_selector(".job-head h1:has-text('2 of 32 × 32, from one picture to another')")
    page.wait_for_selector(".facts > dl dt:text-is('start strength')")
    given, read = (pictures.decoded(one).convert("L") for one in (last, stored(passing["end_dataset_id"])))
    assert read.tobytes() == given.tobytes()

    studio.page.go_back()
    page.get_by_label("Add a model").select_option(twin)
    page.wait_for_selector("input[name=end]", state="detached")
    page.wait_for_selector(".unused:has-text('end.png is not used: not while other models are drawn too.')")
    page.wait_for_selector(".start :text-is('Not used: end.png')")
    page.get_by_label("Weight of Twin").fill("7")
    page.click("button:text-is('Draw')")
    page.wait_for_selector(".notice.failed:has-text('weight of added model 1: ')")
    page.wait_for_selector("[aria-label='Weight of Twin'][aria-invalid='true']")
    page.evaluate(HOLD_BITMAPS)
    choose_steering("mask-0", mask)
    page.get_by_label("Weight of Twin").fill("0.5")  # while the mask is being read
    page.evaluate("() => releaseBitmaps()")
    page.wait_for_selector(".steer :text('mask-0.png')")
    assert studio.accessibility_problems() == []
    (blended,) = drawn()["blend"]
    assert page.locator(".notice.failed").count() == 0
    assert (blended["model_id"], blended["weight"], blended["softness"]) == (twin, 0.5, None)
    assert pictures.decoded(stored(blended["mask_dataset_id"])).tobytes() == pictures.decoded(mask).tobytes()

    page.click("button:text-is('Draw more, any size')")
    page.wait_for_selector(".steer :text('mask-0.png')")
    assert page.get_by_label("Weight of Twin").input_value() == "0.5"
    height = int(page.get_by_label("height", exact=True).input_value())
    page.get_by_label("width", exact=True).press_sequentially("e")  # behind the number that is there
    page.wait_for_selector(".start :text('Write a number at width.')")
    page.get_by_label("width", exact=True).fill(str(2 * height))
    page.wait_for_selector(".companion :text('50 % of it, at its top and bottom, is cut off')")
    assert page.locator(".companion :text('It is enlarged')").count() == 0
    page.click(".companion button:text-is('Paint')")
    page.wait_for_selector(".brush :text-matches('[1-9]\\d? % painted over')")  # as the mask before
    page.click(".brush button:text-is('Clear')")
    page.wait_for_selector(".start :text('Paint where Twin is drawn, or choose “No mask” for it.')")
    until(lambda: not _has_white(studio.pixels(".companion .as-seen")))
    page.locator(".brush canvas").focus()
    page.keyboard.press("Space")
    until(lambda: _has_white(studio.pixels(".companion .as-seen")))
    painted = studio.pixels(".companion .as-seen")
    for width, button in ((height, "Paint"), (2 * height, "Put the brush away")):
        page.get_by_label("width", exact=True).fill(str(width))
        page.wait_for_selector(f".companion button:text-is('{button}')")
    studio.reload()
    page.wait_for_selector(".steer :text('painted 1.png')")
    until(lambda: _alike(studio.pixels(".companion .as-seen"), painted))
    (again,) = drawn()["blend"]
    assert (again["model_id"], again["weight"], again["softness"]) == (twin, 0.5, 0.25)
    brushed = pictures.decoded(stored(again["mask_dataset_id"])).convert("L")
    assert brushed.width == 2 * brushed.height
    assert [brushed.getpixel(place) for place in ((brushed.width // 2, brushed.height // 2), (2, 2))] == [255, 0]
    service.http.delete(f"/v1/datasets/{again['mask_dataset_id']}").raise_for_status()
    studio.reload()
    page.wait_for_selector(".given :text('Deleted')")
    page.click("button:text-is('Draw more, any size')")
    page.wait_for_selector(".notice:has-text('A mask was deleted')")
    page.get_by_label("Add a model").wait_for()
    assert page.locator(".companion").count() == 0

    studio.open("make", f"sample?model={learned['model_id']}")
    page.get_by_label("Add a model").select_option(twin)
    page.set_input_files("input[name=start]", {"name": "s.png", "mimeType": "image/png", "buffer": pictures.png(8, 8)})
    page.wait_for_selector(".steer :text-is('It is enlarged 4.0 times, from 8 × 8.')")
    service.http.delete(f"/v1/models/{twin}").raise_for_status()
    page.click("button:text-is('Draw')")
    page.wait_for_selector(".notice.failed:has-text('The model “Twin” was deleted meanwhile')")
    page.wait_for_selector(f"input[name=model][value='{twin}']", state="detached")
    page.wait_for_selector(".unused:has-text('Twin is not used: it was deleted.')")
    page.click("a:text-is('Models')")
    page.wait_for_selector(".notice.failed", state="detached")
    page.go_back()
    studio.reload()
    page.wait_for_selector(".unused:has-text('Twin is not used: it was deleted.')")


def test_a_walk_to_an_attractor_is_looked_at_frame_by_frame(studio: Studio, learned: dict[str, Any]) -> None:
    params = {"mode": "attractor", "steps": 20, "frames": 4}
    body = {"kind": "reconstruct", "model_id": learned["model_id"], "dataset_id": learned["dataset_id"]}
    job = studio.service.succeeded(studio.service.post_job({**body, "params": params}))
    studio.open("jobs", job["id"])
    moment = studio.page.get_by_label("Moment of the walk of 0.png")
    steps = job["metrics"]["reconstructions"][0]["frames"]
    assert (moment.get_attribute("max"), moment.input_value()) == (str(len(steps) - 1),) * 2
    moment.fill("0")
    studio.page.wait_for_selector(".walks img[src*='walk-000-00.png'][alt='0.png after 0 steps']")
    assert studio.page.inner_text(".walks output") == "0 steps"
    studio.page.wait_for_selector(".hint:has-text('model remembers no picture')")
    studio.page.wait_for_selector(".actions a:text-is('Draw more, any size')")
    assert studio.page.locator(".actions .primary, .actions :text-is('More like this')").count() == 0


def test_a_photograph_is_made_tileable_and_keeps_its_middle(studio: Studio, learned: dict[str, Any]) -> None:
    photograph = pictures.encoded(pictures.colors(32, 32).convert("L"), "PNG")
    body = {"kind": "inpaint", "model_id": learned["model_id"], "dataset_id": studio.service.upload(photograph)}
    automatic = studio.service.job(studio.service.post_job({**body, "params": {"seam": True}}))["params"]["seam_width"]
    large = pictures.colors(40, 36).convert("L")
    studio.service.upload(pictures.encoded(large, "PNG"))
    colours = pictures.encoded(pictures.colors(32, 32), "PNG")
    material = [("images", (name, colours)) for name in ("cork_diff.png", "cork_nor.png")]
    roles = json.dumps({"cork_diff.png": "albedo", "cork_nor.png": "normal"})
    studio.service.http.post("/v1/datasets", files=material, data={"maps": roles}).raise_for_status()
    studio.open("make", "texture")
    studio.page.click(".tile:has-text('cork_diff.png')")
    studio.page.click("a.card:has-text('Make tileable')")
    studio.page.wait_for_selector(".start :text('Choose pictures: the maps of a material')")
    studio.page.click("button:text-is('Choose others')")
    studio.page.wait_for_selector(".lead:has-text('the shorter side must be 32 pixels')")
    assert studio.page.locator(".tile:has-text('cork_diff.png')").count() == 0
    choose(studio, "hole.png", pictures.with_hole(40, 36, hole=(0, 0, 1, 1)))
    studio.page.wait_for_selector(".start :text('Choose an opaque photograph: hole.png has transparent parts')")
    assert studio.page.locator(".fit button").count() == 0
    studio.page.click("button:text-is('Choose others')")
    studio.page.locator(".tile:has-text('0.png')").first.click()
    studio.page.wait_for_function("() => document.querySelector('.crop-frame').width === 40")
    studio.page.route("**/images/0", lambda route: route.fulfill(status=503, json={"detail": "away"}))
    studio.page.click("button:text-is('Crop to 36 × 32')")
    studio.page.wait_for_selector(".notice:has-text('Away.')")
    studio.page.unroute("**/images/0")
    studio.page.click("button:text-is('Crop to 36 × 32')")
    studio.page.wait_for_selector("figcaption:has-text('of it 36 × 32, cropped')")
    studio.page.click("button:text-is('Choose others')")
    choose(studio, "photograph.png", pictures.encoded(large, "PNG"))
    studio.page.wait_for_selector(".start :text('Crop or scale photograph.png')")
    studio.page.click("button:text-is('Scale to 36 × 32')")
    studio.page.wait_for_selector("figcaption:has-text('40 × 36; of it 36 × 32, scaled')")
    studio.page.click("button:text-is('Crop to 36 × 32')")
    studio.page.wait_for_selector("figcaption:has-text('40 × 36; of it 36 × 32, cropped')")
    until(lambda: studio.page.get_by_label("seam width", exact=True).input_value() == str(automatic))
    studio.page.get_by_label("seam width", exact=True).fill("6")
    studio.page.click("button:text-is('Make tileable')")
    job_id = studio.job_id()
    studio.wait_for_status("done")
    job = studio.service.job(job_id)
    assert (job["kind"], job["params"]["seam"], job["params"]["seam_width"]) == ("inpaint", True, 6)
    assert studio.page.inner_text(".job-head h1").startswith("Make tileable photograph.png · by ")
    painted = pictures.decoded(studio.service.artifact(job, "inpainted-000.png")).convert("L")
    given = large.crop((2, 2, 38, 34))
    middle = (6, 6, 30, 26)
    assert painted.crop(middle).tobytes() == given.crop(middle).tobytes()
    assert painted.tobytes() != given.tobytes()
    shape = studio.page.locator(".given img").evaluate("(one) => getComputedStyle(one).aspectRatio")
    assert shape == "36 / 32"  # before it is loaded, too
    link = studio.page.locator(".given a").get_attribute("href")
    shown = studio.service.http.get(str(link)).raise_for_status().content
    assert pictures.decoded(shown).convert("L").tobytes() == given.tobytes()
    assert studio.page.inner_text(".facts dl > div:has(dt:text-is('seam width')) dd") == "6"
    studio.page.click(".actions .primary:text-is('More like this')")
    studio.page.wait_for_function(f"() => !location.hash.includes('{job_id}')")
    studio.wait_for_status("done")
    other = studio.service.job(studio.job_id())
    assert [other[name] for name in ("kind", "model_id", "dataset_id")] == [
        job[name] for name in ("kind", "model_id", "dataset_id")
    ]
    assert other["params"] == {**job["params"], "seed": other["params"]["seed"]}
    assert other["params"]["seed"] != job["params"]["seed"]
    studio.page.click("a.back")
    studio.page.wait_for_selector(f".job-row[href$='{job_id}'] :text('photograph.png · by ')")


def test_only_models_that_can_make_tileable_are_offered_for_it(studio: Studio, learned: dict[str, Any]) -> None:
    thing = studio.service.succeeded(
        studio.service.train(learned["dataset_id"], top="object", boundary="padded", random_lattice=False)
    )
    studio.open("make", f"seam?model={thing['model_id']}")
    offered = "input[name=model][value='{}']"
    studio.page.wait_for_selector(offered.format(learned["model_id"]), state="attached")
    assert studio.page.locator(offered.format(thing["model_id"])).count() == 0
    studio.page.click("a.card:has-text('Fill in')")
    studio.page.wait_for_selector(offered.format(thing["model_id"]), state="attached")


def test_what_is_brushed_over_is_filled_in_and_the_rest_kept(studio: Studio, learned: dict[str, Any]) -> None:
    studio.open("make", f"inpaint?model={learned['model_id']}")
    canvas = studio.page.locator(".brush canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    studio.page.mouse.move(*middle)
    studio.page.mouse.down()
    studio.page.mouse.move(middle[0] + box["width"] / 6, middle[1], steps=4)
    studio.page.mouse.up()
    studio.page.click("button:text-is('Undo')")
    studio.page.wait_for_selector(".start :text('Paint over what should go.')")
    canvas.focus()
    studio.page.keyboard.press("Space")  # without a mouse: a dot in the middle
    studio.page.wait_for_selector(".brush :text-matches('[1-9] % painted over')")
    twin = _twin(studio, learned["model_id"])  # it was learned elsewhere: there are no pictures of it
    studio.reload()
    studio.page.wait_for_selector(".brush :text-matches('[1-9] % painted over')")
    waiting: list[Route] = []
    studio.page.route("**/images/*", lambda route: waiting.append(route))
    studio.reload()
    studio.page.locator(f"input[name=model][value='{twin}']").check(force=True)  # before the picture is there
    until(lambda: studio.page.wait_for_timeout(20) or waiting)
    for route in waiting:
        route.continue_()
    studio.page.unroute("**/images/*")
    studio.page.wait_for_selector(".brush :text-matches('[1-9] % painted over')")
    studio.page.get_by_label("steps", exact=True).fill("3")
    studio.page.click("button:text-is('Fill in')")
    studio.job_id()
    studio.wait_for_status("done")
    job = studio.service.job(studio.job_id())
    (found,) = job["metrics"]["inpaintings"]
    assert 0 < found["unknown_fraction"] < 0.1
    assert job["model_id"] == twin
    studio.page.wait_for_selector(".given .checker img")  # the picture with its hole
    studio.service.http.delete(f"/v1/models/{twin}").raise_for_status()


def _twin(studio: Studio, model_id: str) -> str:
    """Import a model's own file; return the id of the new model."""
    content = studio.service.http.get(f"/v1/models/{model_id}/download").raise_for_status().content
    files = {"model": ("twin.safetensors", content)}
    answer = studio.service.http.post("/v1/models", files=files, data={"name": "Twin"})
    twin: str = answer.raise_for_status().json()["id"]
    return twin


@pytest.mark.usefixtures("own_page")
def test_chosen_pictures_are_downloaded_and_shown_side_by_side(studio: Studio, learned: dict[str, Any]) -> None:
    names = [one["name"] for one in learned["artifacts"] if one["name"].startswith("synthesized")]
    assert len(names) == 2
    studio.open("gallery")
    studio.page.set_viewport_size({"width": 360, "height": 240})
    studio.page.wait_for_selector(".gallery-cell")
    end = studio.page.evaluate("() => { scrollTo(0, document.body.scrollHeight); return scrollY; }")
    assert end > 40  # which the page reaches only when the list is measured
    before = studio.page.evaluate("history.length")
    studio.page.locator(".gallery-cell a").first.evaluate("(one) => one.click()")
    studio.page.click(".viewer [aria-label='Close']")
    studio.page.wait_for_selector("h1:text-is('Gallery')")
    until(lambda: studio.page.evaluate("scrollY") == end)
    assert studio.page.evaluate("history.length") == before + 1  # the picture, where only the way forward leads
    studio.page.go_forward()
    studio.page.wait_for_selector(".viewer")
    studio.page.evaluate(HOLD_FRAMES)
    studio.page.click(".viewer [aria-label='Close']")  # which leads back once more
    studio.page.wait_for_function(f"() => document.body.scrollHeight >= {end} + innerHeight")
    studio.page.evaluate("dispatchEvent(new WheelEvent('wheel')); scrollTo(0, 10); releaseFrames()")
    studio.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert studio.page.evaluate("scrollY") == 10  # not where it was before
    studio.page.set_viewport_size({"width": 1280, "height": 900})
    for name in names:
        studio.page.locator(f".gallery-cell:has(a[href*='{learned['id']}/{name}']) input").check()
    with studio.page.expect_download() as download:
        studio.page.click(".chosen-bar >> text=Download")
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as archive:
        suffix = f"-{learned['id'][-6:]}.png"
        assert sorted(archive.namelist()) == [f"0-{name.removesuffix('.png')}{suffix}" for name in sorted(names)]
    studio.page.click(".chosen-bar >> text=Side by side")
    studio.page.wait_for_selector(".beside-area >> nth=1")
    studio.page.locator("[aria-label='Larger']").first.click()
    sizes = [one.evaluate("(one) => one.style.width") for one in studio.page.locator(".zoomed").all()]
    assert sizes[0] == sizes[1]


LEARNING_TIMES = """async (asked) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {learningSeconds} = await import(folder + "data/estimate.js");
  return asked.map(([preset, changed]) => learningSeconds(preset, changed));
}"""


def test_the_page_expects_of_learning_what_the_service_does(studio: Studio) -> None:
    studio.open("jobs")
    changes: list[dict[str, Any]] = [{}, {"iterations": 17, "num_chains": 3}, {"langevin_steps": 7, "image_size": 512}]
    asked = [(name, one) for name in PRESETS for one in (*changes, {"processes": 2})]
    presets = {one["name"]: one for one in studio.service.http.get("/v1/presets").json()["data"]}

    def found(expected: float | None) -> list[list[float] | None]:
        return list(
            studio.page.evaluate(
                LEARNING_TIMES,
                [[{**presets[name], "expected_seconds": expected}, one] for name, one in asked],
            )
        )

    for (name, one), times in zip(asked, found(None), strict=True):
        seconds = learning_seconds(name, PRESETS[name].model_copy(update=one))
        slow = None if seconds is None else [seconds, 2 + 5 * (seconds - 2)]
        assert times == (slow if slow is None else pytest.approx(slow)), (name, one)
    assert found(50.0)[0] == [50, 50]


def test_what_learning_takes_goes_by_the_jobs_of_this_service(studio: Studio) -> None:
    presets = studio.service.http.get("/v1/presets").json()["data"]
    expected: list[float | None] = [None]

    def answer(route: Route) -> None:
        route.fulfill(json={"data": [{**one, "expected_seconds": expected[0]} for one in presets]})

    studio.page.route("**/v1/presets", answer)
    studio.open("make", "texture")
    choose(studio, "stripes.png", pictures.stripes())
    measured = round(TWO_CORE_SECONDS["quick"])
    words = f"about {measured} to {5 * measured - 8} s, depending on the machine"
    studio.page.wait_for_selector(f".start .hint:text-is('{words}')")
    studio.page.get_by_label("image size", exact=True).fill("192")
    studio.page.wait_for_selector(f".start .hint:text-matches('^about {4 * measured - 6} s to 3 min,')")
    expected[0] = 41.0
    studio.service.succeeded(studio.service.train())  # when it ends the page asks again
    studio.page.get_by_label("image size", exact=True).fill("96")
    studio.page.wait_for_selector(".start .hint:text-is('about 41 s')")


TIMES = """async (job) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {learningOf, pixelSteps, usingSeconds} = await import(folder + "data/estimate.js");
  const learned = learningOf(job);
  const given = {count: 2, width: 96, height: 96, steps: 200, chains: 4, temperatures: 10, mode: "one_pass"};
  const about = {side: 96, pictures: [[96, 96], [96, 96]]};
  const time = (times, models) =>
    usingSeconds("sample", times * pixelSteps("sample", given, {...about, models}), learned) - 2;
  const kinds = ["sample", "inpaint", "reconstruct", "classify"];
  const steps = kinds.map((kind) => pixelSteps(kind, given, about) / 96 ** 2);
  steps.push(pixelSteps("classify", given, {...about, found: true}) / 96 ** 2);
  return [steps, time(2, 1) / time(1, 1), time(1, 2) / time(1, 1)];
}"""


def test_the_time_of_a_job_goes_by_its_pixels_and_by_what_learning_its_model_took(
    studio: Studio, learned: dict[str, Any]
) -> None:
    studio.open("jobs")
    ended = {"started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:12Z", "attempt": 1}
    steps, pixels, models = studio.page.evaluate(TIMES, {**learned, **ended})
    assert steps == [400, 800, 2, 2 * 10 * 200 * 4, 2], "with log Z kept, only the two pictures are left"
    assert (pixels, models) == pytest.approx((2, 2))


def test_a_model_is_renamed_exported_imported_and_deleted(studio: Studio, learned: dict[str, Any]) -> None:
    studio.open("models", learned["model_id"])
    studio.page.wait_for_function("() => document.querySelector('.filters')?.naturalWidth > 0")
    studio.page.click("button:text-is('Rename')")
    studio.page.fill("dialog input", "Stripes")
    studio.page.click("dialog:not(.viewer) button:text-is('Rename')")
    studio.page.wait_for_selector("h1:has-text('Stripes')")
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
    studio.page.click("button:text-is('Delete')")
    studio.page.click("dialog:not(.viewer) button:text-is('Delete')")
    studio.page.wait_for_selector("h1:text-is('Models')")
    assert studio.service.http.get(f"/v1/models/{imported}").status_code == 404
    cards[0].locator(".hint:has-text('ago'), .hint:has-text('just now')").wait_for()
    studio.page.evaluate("location.hash = '#/make/texture'")
    studio.page.get_by_label("name of the model").fill("Stripes")
    studio.page.wait_for_selector("#new-name-about:has-text('Another model has this name')")


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
    choose(studio, "stripes.png", pictures.stripes())
    studio.page.wait_for_selector(".materials .warnings p:has-text('is found first, which takes most of the time')")
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
