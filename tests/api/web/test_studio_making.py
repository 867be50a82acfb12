"""The studio's form: pictures, examples and settings of what is to be learned, as people go."""

import math
import re
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page
from pydantic import ValidationError
from support import pictures
from support.studio import HAND_OVER, Studio
from support.waiting import until

from core.recipe.presets import PRESETS
from core.schemas.learning import LearningParams


def test_an_example_is_learned_and_its_picture_shown_with_parameters_and_seed(studio: Studio) -> None:
    studio.open()
    studio.page.click(".tile:has-text('Cobbles')")
    studio.page.wait_for_selector("figcaption:text-is('as the model sees it, 96 × 96')")
    for name, value in {"image size": "48", "iterations": "8"}.items():
        studio.page.get_by_label(name, exact=True).fill(value)
    studio.page.get_by_label("orientations", exact=True).select_option("at any angle")
    studio.page.get_by_label("name of the model").fill(" Cobbles ")
    studio.reload()  # which keeps what is filled in, and reads examples again
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
    studio.go("make", "object")
    studio.page.wait_for_selector("h2:text-is('Object')")
    assert studio.page.get_by_label("name of the model").input_value() == "", "the name was this model's"


def test_that_a_reload_keeps_no_files_is_said_on_the_form_until_it_is_left(studio: Studio) -> None:
    page, said = studio.page, "p:has-text('not sent yet: choose it again')"
    studio.open("make", "texture")
    studio.choose("stripes.png", pictures.stripes())
    page.wait_for_selector(".chosen")
    studio.go("jobs")
    page.wait_for_selector("h1:text-is('Jobs')")
    for _ in range(2):
        studio.reload()
        page.wait_for_selector("h1:text-is('Jobs')")
        assert page.locator(".notice").count() == 0
    studio.go("make", "texture")
    page.wait_for_selector(f".pictures-input {said}")
    studio.go("jobs")
    page.wait_for_selector("h1:text-is('Jobs')")
    studio.go("make", "texture")
    page.wait_for_selector(".drop")
    assert page.locator(said).count() == 0


def test_a_picture_is_shown_as_the_model_sees_it(studio: Studio) -> None:
    content = pictures.with_hole(60, 40, hole=(0, 0, 60, 20))
    studio.open("make", "texture")
    studio.choose("half.png", content)
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
    studio.choose("found.png", content)
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
    studio.choose("notes.txt", b"no picture", "text/plain")
    studio.page.wait_for_selector(".start :text-is('Remove notes.txt, or choose others: it is not a picture.')")
    studio.page.click("text=Choose others")
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": pictures.png(48, 48)[:-300]}
    whole = [{**broken, "name": f"{number}.png", "buffer": pictures.png(4, 4)} for number in range(60)]
    studio.page.set_input_files("input[name=images]", [*whole, broken])  # type: ignore[arg-type]
    studio.page.wait_for_selector("p:has-text('and 1 more')")
    studio.page.click("button:text-is('Learn')")
    studio.page.wait_for_selector(".chosen .strip .tile.wrong[aria-label='broken.png'][aria-pressed=true]")
    studio.page.wait_for_selector(".unseen.wrong")
    until(lambda: 0 <= studio.page.locator(".unseen.wrong").evaluate("(one) => one.getBoundingClientRect().top") < 450)
    studio.page.wait_for_selector(".start :text-is('Remove broken.png, or choose others: the service refused it.')")
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
    studio.choose("stripes.png", pictures.stripes())
    studio.page.wait_for_selector(".start .hint:text-matches('^about [0-9]')")
    usual = studio.page.inner_text(".start .hint")
    studio.page.get_by_label("image size", exact=True).fill("192")
    studio.page.wait_for_selector(".start .hint:text-matches('^about [0-9]')")
    assert studio.page.inner_text(".start .hint") != usual
    for number, words in {"-3": "at least 1", "1000000000": "at most 100,000", "2.5": "a whole number"}.items():
        studio.page.get_by_label("iterations", exact=True).fill(number)
        studio.page.wait_for_selector(f".field.wrong .hint:text-is('this must be {words}')")
        studio.page.wait_for_selector(".start .hint:text-is('Correct iterations first.')")
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
    assert studio.page.locator(".notices .failed").count() == 1
    studio.page.get_by_label("layer 1: filters").fill("8")
    studio.page.wait_for_selector(".field.wrong:has-text('layers')", state="detached")
    studio.page.wait_for_selector(".notices .failed", state="detached")
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


def test_a_number_stays_as_it_is_typed_while_it_is_typed(studio: Studio) -> None:
    studio.open("make", "texture")
    studio.page.click("summary:has-text('All other settings')")
    rate = studio.page.get_by_label("learning rate", exact=True)
    for typed in ("0.05", "1.50", "1e-4"):
        rate.select_text()
        rate.press_sequentially(typed)
        assert rate.input_value() == typed
    studio.page.check("input[value=photo]")
    studio.page.click("button:text-is('Begin anew')")
    assert float(rate.input_value()) != 1e-4


def test_pictures_are_not_shown_at_a_size_that_cannot_be(studio: Studio) -> None:
    studio.open("make", "texture")
    studio.choose("small.png", pictures.png(100, 140))
    side = studio.page.get_by_label("image size", exact=True)
    for number, words in {"999999": "at most 4,096", "-5": "at least 16"}.items():
        side.fill(number)
        studio.page.wait_for_selector(f".field.wrong .hint:text-is('this must be {words}')")
        assert studio.page.locator("figcaption:has-text('as the model sees it')").count() == 0
        assert studio.page.locator(".warned").count() == 0
    side.fill("160")
    studio.page.wait_for_selector("figcaption:text-is('as the model sees it, 160 × 160')")
    studio.page.wait_for_selector(".warned:has-text('small.png is enlarged 1.6 times')")


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
    studio.choose("small.png", pictures.png(100, 140))
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
    studio.choose("tiny.png", pictures.png(20, 20))
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
    assert "coarse iterations" not in studio.page.locator(".main-settings .field > label").all_text_contents()
    assert texture - labels("object", "Object") == {"patch size", "random lattice", "canvas iterations"}
    first = studio.page.locator(".main-settings .fields .field > label").all_text_contents()
    assert first[:2] == ["iterations", "coarse iterations"], "which both take time"
    assert texture - labels("autoencoder", "Auto-encoder") == {"patch size", *windows, *chains}
    assert texture - labels("dictionary", "Dictionary") == {*windows, *chains}
    studio.page.evaluate(SET, ["num_chains", 3])  # as a job may have had it
    studio.page.wait_for_selector(".settings .field > label:text-is('num chains')", state="attached")


SET = """async ([name, value]) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {override} = await import(folder + "data/draft.js");
  override(name, value);
}"""
