"""The studio as a page: for everyone, with and without a key, with much in it, and when the service is away."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Locator, Request, Route
from sqlalchemy import delete, insert
from support import pictures
from support.service import slowed
from support.studio import HAND_OVER, LONG, Studio
from support.waiting import until

from core.schemas.jobs import JobKind, JobStatus, Queue
from core.storage import keys
from core.storage.keys import CreatedKey, NewKey
from core.storage.tables import Artifact, Job

# How many files are chosen.
FILES = """async () => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  return (await import(folder + "data/draft.js")).files.value.length;
}"""
VIEWS = ["make", "make/object", "make/sample", "make/inpaint", "jobs", "gallery", "models", "nowhere"]


@pytest.mark.usefixtures("own_page")
def test_axe_core_finds_nothing_on_any_view_in_light_and_dark(studio: Studio, learned: dict[str, Any]) -> None:
    job_id, model_id = learned["id"], learned["model_id"]
    running = studio.service.train(learned["dataset_id"], **LONG)
    pictures_shown = f"{job_id}/synthesized-000.png"
    detailed = [f"jobs/{job_id}", f"jobs/{running}", f"jobs/{pictures_shown}", f"models/{model_id}"]
    studio.open()
    found = {}
    with slowed(studio.service.child("train")):  # it would take half of the processor from the browser
        for view in (*VIEWS, *detailed, f"beside/{pictures_shown}/{pictures_shown}"):
            studio.page.evaluate(f"location.hash = '#/{view}'")
            studio.page.wait_for_function(
                "() => document.querySelector('main h1') && !document.querySelector('p.hint[role=status]')"
            )
            studio.page.emulate_media(color_scheme="light")
            problems = studio.accessibility_problems()
            studio.page.emulate_media(color_scheme="dark")
            if problems := problems + studio.accessibility_problems("color-contrast"):
                found[view] = problems
    assert found == {}


@pytest.mark.usefixtures("own_page")
def test_the_page_loads_nothing_from_elsewhere_and_nothing_moves_while_it_loads(
    studio: Studio, learned: dict[str, Any]
) -> None:
    asked: list[Request] = []
    refused: list[str] = []
    studio.page.on("request", lambda request: asked.append(request))
    studio.page.on("console", lambda line: refused.append(line.text) if line.type == "error" else None)
    studio.page.add_init_script(
        "window.moved = 0; new PerformanceObserver((list) => list.getEntries().forEach((one) => { window.moved +="
        " one.hadRecentInput ? 0 : one.value; })).observe({type: 'layout-shift', buffered: true})"
    )
    for view in ("make", "jobs", "gallery", f"jobs/{learned['id']}"):
        studio.forget(files=True)
        studio.open(view)
        studio.page.wait_for_function("() => document.querySelector('main img')?.complete")
        assert studio.page.evaluate("window.moved") < 0.05, view
    assert [one.url for one in asked if not one.url.startswith((studio.url, "blob:", "about:"))] == []
    assert refused == []


@pytest.mark.parametrize("width", [360, 2560])
def test_no_view_is_wider_than_the_screen(studio: Studio, learned: dict[str, Any], width: int) -> None:
    studio.page.set_viewport_size({"width": width, "height": 800})
    studio.open("jobs", "%E0%A4%A")  # which cannot be decoded
    assert studio.page.inner_text("h1") == "There is no such page"
    for view in (*VIEWS, f"jobs/{learned['id']}", f"models/{learned['model_id']}"):
        studio.page.evaluate(f"location.hash = '#/{view}'")
        studio.page.wait_for_selector("main h1")
        assert studio.page.evaluate("document.documentElement.scrollWidth") <= width, view
        if view == "make":
            heights = "(all) => Object.fromEntries(all.map((one) => [one.textContent, one.offsetHeight]))"
            titles = studio.page.locator(".card strong").evaluate_all(heights)
            assert titles["Reconstruct"] == titles["Texture"]  # one line
        if view == "gallery":  # each pixel of a small picture as large as the others
            assert _scale(studio.page.locator(".thumb.pixelated").first) in range(1, 20)
    studio.go("beside", "job_none", "a.png", "job_none", "b.png")
    studio.page.wait_for_selector("p:has-text('This picture is not here') >> nth=1")
    assert studio.page.locator(".notice").count() == 0


def _scale(picture: Locator) -> float:
    """Wait until a picture is loaded; return how many times its size it is shown."""
    found: float = until(lambda: picture.evaluate("(one) => one.naturalWidth && one.clientWidth / one.naturalWidth"))
    return found


def test_a_jobs_page_becomes_as_narrow_as_the_screen(studio: Studio, learned: dict[str, Any]) -> None:
    studio.open("jobs", learned["id"])
    studio.page.wait_for_selector(".plot canvas")
    studio.page.set_viewport_size({"width": 360, "height": 800})
    # Each chart becomes narrow when it notices.
    studio.page.wait_for_function("() => document.documentElement.scrollWidth === 360")
    assert studio.page.locator(".plot canvas").first.evaluate("(one) => one.offsetWidth") < 360
    caption = studio.page.locator(".chart figcaption").first.bounding_box()
    assert caption
    assert caption["x"] + caption["width"] < 360


def test_all_can_be_reached_by_keyboard_and_seen(studio: Studio) -> None:
    studio.page.set_viewport_size({"width": 1280, "height": 800})
    studio.open()
    studio.page.keyboard.press("Tab")
    assert studio.page.evaluate("document.activeElement.textContent") == "To the content"
    studio.page.keyboard.press("Enter")
    assert studio.page.evaluate("document.activeElement.tagName") == "H1"
    for _ in range(30):
        studio.page.keyboard.press("Tab")
        if studio.page.evaluate("document.activeElement.closest('.card')?.innerText.includes('Object') ?? false"):
            break
    studio.page.keyboard.press("Enter")
    studio.page.wait_for_selector(".bench h2:text-is('Object')")
    assert studio.page.url.endswith("#/make/object")
    for _ in range(40):
        studio.page.keyboard.press("Tab")
        if studio.page.evaluate("document.activeElement.matches('.settings summary')"):
            break
    else:
        pytest.fail("the other settings are not reached by the keyboard")
    focused, start = (
        studio.page.locator(".settings summary").bounding_box(),
        studio.page.locator(".start").bounding_box(),
    )
    assert focused
    assert start
    assert focused["y"] + focused["height"] <= start["y"]


def test_the_page_says_that_the_service_is_away_and_goes_on_when_it_is_back(studio: Studio) -> None:
    job_id = studio.service.train(None, **LONG)
    lost: list[Route] = []
    api = studio.service.part("-m", "api")
    with slowed(studio.service.child("train")):
        studio.open("models")
        studio.page.route("**/v1/datasets/*/images/**", lambda route: lost.append(route) or route.abort(), times=1)
        studio.go("jobs", job_id)
        studio.wait_for_status("at work")
        until(lambda: studio.page.wait_for_timeout(50) or lost)
        api.kill()  # the supervisor starts another, after a pause
        studio.page.wait_for_selector(".banner")
        studio.page.wait_for_selector(".banner", state="detached")
        before = studio.step()
        until(lambda: studio.step() > before, pause_seconds=0.1)
    for offline, state in ((True, "attached"), (False, "detached")):
        studio.page.context.set_offline(offline)
        studio.page.wait_for_selector(".banner", state=state)
    studio.page.wait_for_function("() => document.querySelector('.given img')?.naturalWidth > 0")
    assert studio.page.locator(".notice").all_inner_texts() == []


def test_a_key_is_asked_for_where_one_is_needed_and_shows_its_own_jobs_only(
    studio: Studio, learned: dict[str, Any]
) -> None:
    with studio.with_key("Ann") as made:
        studio.open("jobs")
        studio.page.fill("[name=key]", "gcn_wrong")
        studio.page.click("button:text-is('Sign in')")
        studio.page.wait_for_selector("[role=alert]:has-text('unknown, revoked or expired')")
        assert studio.accessibility_problems() == []
        studio.page.fill("[name=key]", made.key)
        studio.page.click("button:text-is('Sign in')")
        studio.page.wait_for_selector("text=Nothing was made yet.")
        studio.page.wait_for_selector(".account :text('Ann')")
        studio.open("jobs", learned["id"])
        studio.page.wait_for_selector("h1:text-is('This job is not here')")
        asked: list[str] = []
        leaving: list[Route] = []
        studio.listen(
            "request", lambda request: asked.append(f"{request.method} {request.url.removeprefix(studio.url)}")
        )
        studio.page.route(
            "**/v1/session",
            lambda route: leaving.append(route) if route.request.method == "DELETE" else route.continue_(),
        )
        studio.page.click("text=Sign out")
        studio.page.wait_for_selector("[name=key]")
        studio.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # a reason to read all again
        assert (studio.page.locator(".account").count(), studio.page.title()) == (0, "genconvnet")
        assert [one for one in asked if "/v1/" in one] == ["DELETE /v1/session"]
        (route,) = leaving
        with studio.page.expect_navigation():
            route.continue_()
        studio.page.wait_for_selector("[name=key]")


def test_what_is_filled_in_is_kept_for_the_same_key_only(studio: Studio) -> None:
    def sign_in_again(one: CreatedKey) -> str:
        studio.page.context.clear_cookies()  # as if the key had expired
        studio.page.reload()
        studio.page.fill("[name=key]", one.key)
        studio.page.click("button:text-is('Sign in')")
        studio.page.wait_for_selector(f".account :text('{one.row.name}')")
        return studio.page.get_by_label("image size", exact=True).input_value()

    with studio.with_key("Ann") as ann:
        ben = keys.create(studio.service.database, NewKey("Ben"))
        studio.open("make", "texture")
        paste = [HAND_OVER, ["paste", "early.png", list(pictures.png())]]
        studio.page.wait_for_selector("[name=key]")
        studio.page.evaluate(*paste)
        assert studio.page.evaluate(FILES) == 0
        assert sign_in_again(ann) == "96"
        studio.page.evaluate(*paste)
        studio.page.wait_for_selector(".chosen .hint:has-text('1 picture')")
        studio.page.click("button:text-is('Choose others')")
        studio.page.get_by_label("image size", exact=True).fill("48")
        assert sign_in_again(ann) == "48"
        assert sign_in_again(ben) == "96"
        assert studio.page.locator("button:text-is('Begin anew')").count() == 0
        keys.revoke(studio.service.database, ben.row.id)


@pytest.mark.parametrize("jobs", [250, pytest.param(1000, marks=pytest.mark.exhaustive)])
def test_many_jobs_and_pictures_are_listed_by_what_is_on_the_screen(studio: Studio, jobs: int) -> None:
    stored = studio.service.upload(pictures.stripes())
    image = studio.service.http.get(f"/v1/datasets/{stored}").json()["images"][0]
    with studio.with_key("Ben") as made, _jobs_of(studio, made.row.seq, jobs, 2, image):
        studio.open("gallery")
        studio.page.route("**/v1/jobs?*after=*", lambda route: route.abort("internetdisconnected"), times=1)
        studio.page.fill("[name=key]", made.key)
        studio.page.click("button:text-is('Sign in')")
        studio.page.wait_for_selector(".account :text('Ben')")
        for view, selector, number in (("gallery", ".gallery-cell", 2 * jobs), ("jobs", ".job-row", jobs)):
            studio.page.evaluate(f"location.hash = '#/{view}'")
            studio.page.wait_for_selector(selector)
            until(lambda: _scrolled_to(studio) == number)  # noqa: B023
            assert studio.page.locator(selector).count() < 200


def _scrolled_to(studio: Studio) -> int:
    """Scroll to the end of what is loaded; return the number of the last cell."""
    studio.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    studio.page.wait_for_timeout(30)
    last = "Math.max(...[...document.querySelectorAll('.cell')].map((one) => one.ariaPosInSet))"
    found: int = studio.page.evaluate(last)
    return found


@contextmanager
def _jobs_of(studio: Studio, owner: int, count: int, pictures_each: int, image: dict[str, Any]) -> Iterator[None]:
    """Add finished jobs, each with pictures, which all have the file of `image`, for as long as the block lasts."""
    job = {
        "kind": JobKind.SAMPLE, "queue": Queue.SAMPLE, "status": JobStatus.SUCCEEDED, "owner_seq": owner,
        "params": {"count": pictures_each, "seed": 1}, "created_at": 1.0, "started_at": 1.0, "finished_at": 2.0,
    }  # fmt: skip
    file = {
        "media_type": "image/png", "bytes": image["bytes"], "sha256": image["sha256"], "width": 48, "height": 48,
        "blob": "none",
    }  # fmt: skip
    with studio.service.database.write() as session:
        rows = [{**job, "id": f"job_{owner}_{number:04d}"} for number in range(count)]
        seqs = session.scalars(insert(Job).returning(Job.seq), rows).all()
        names = [f"synthesized-{number:03d}.png" for number in range(pictures_each)]
        session.execute(insert(Artifact), [{**file, "job_seq": seq, "name": name} for seq in seqs for name in names])
    try:
        yield
    finally:
        with studio.service.database.write() as session:
            session.execute(delete(Job).where(Job.owner_seq == owner))
