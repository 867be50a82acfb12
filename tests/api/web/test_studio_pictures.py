"""Pictures in the studio: looked at, compared, downloaded, and what new ones begin with."""

import io
import json
import re
import zipfile
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Route
from support import pictures
from support.service import slowed
from support.studio import LONG, Studio
from support.waiting import until

from core.schemas.sampling import MAX_COUNT, MAX_SIDE, MIN_SIDE

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
    model = studio.service.http.get(f"/v1/models/{learned['model_id']}").json()
    called = model["name"] or "0"  # it learned from 0.png
    assert download.value.suggested_filename == f"{called}-synthesized-001-{job_id[-6:]}.png"
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
    with slowed(studio.service.child("sample"), pause_seconds=0.1):
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
    page.click("summary:text-is('All other settings')")
    page.get_by_label("steps", exact=True).fill("50")  # of which 0.02 is one
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
    studio.choose("hole.png", pictures.with_hole(40, 36, hole=(0, 0, 1, 1)))
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
    studio.choose("photograph.png", pictures.encoded(large, "PNG"))
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


def _scroll_on(studio: Studio) -> None:
    """Scroll by half of a screen, and let the list draw what comes into sight."""
    studio.page.evaluate("scrollBy(0, innerHeight / 2)")
    studio.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


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
        cell = studio.page.locator(f".gallery-cell:has(a[href*='{learned['id']}/{name}']) input")
        until(lambda: cell.count() or _scroll_on(studio))  # noqa: B023  # other tests make pictures too
        cell.check()
    studio.page.set_viewport_size({"width": 360, "height": 700})
    buttons = [one.bounding_box() for one in studio.page.locator(".chosen-bar > a, .chosen-bar > button").all()]
    assert len(buttons) == 3
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 360 for box in buttons)
    studio.page.set_viewport_size({"width": 1280, "height": 900})
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
