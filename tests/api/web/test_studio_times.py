"""The times that the studio says a job will take."""

from itertools import combinations_with_replacement
from typing import Any

import pytest
from playwright.sync_api import Route
from support import pictures
from support.studio import Studio

from api.commands.following import rounded_range
from core.recipe.expected_time import SLOW_MACHINE_FACTOR, learning_seconds
from core.recipe.presets import PRESETS, TWO_CORE_SECONDS

LEARNING_TIMES = """async (asked) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {learningSeconds} = await import(folder + "data/estimate.js");
  return asked.map(([preset, changed]) => learningSeconds(preset, changed));
}"""

RANGES = """async (all) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  return all.map((await import(folder + "format.js")).durations);
}"""


def test_ranges_of_times_are_said_as_on_the_command_line(studio: Studio) -> None:
    studio.open("jobs")
    ends = [0.3, 0.5, 1, 2.5, 20, 30, 30.2, 69, 75, 89.6, 90, 160, 600, 5000, 5400, 9000, 72e3, 172_800, 108e4, 1e9]
    ranges = list(combinations_with_replacement(ends, 2))
    assert studio.page.evaluate(RANGES, ranges) == [rounded_range(*one) for one in ranges]


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
        slow = None if seconds is None else [seconds, 2 + SLOW_MACHINE_FACTOR * (seconds - 2)]
        assert times == (slow if slow is None else pytest.approx(slow)), (name, one)
    assert found(50.0)[0] == [50, 50]


def test_what_learning_takes_goes_by_the_jobs_of_this_service(studio: Studio) -> None:
    presets = studio.service.http.get("/v1/presets").json()["data"]
    expected: list[float | None] = [None]

    def answer(route: Route) -> None:
        route.fulfill(json={"data": [{**one, "expected_seconds": expected[0]} for one in presets]})

    studio.page.route("**/v1/presets", answer)
    studio.open("make", "texture")
    studio.choose("stripes.png", pictures.stripes())
    measured = round(TWO_CORE_SECONDS["quick"])
    words = f"about {measured} to {2 + SLOW_MACHINE_FACTOR * (measured - 2)} s, depending on the machine"
    studio.page.wait_for_selector(f".start .hint:text-is('{words}')")
    studio.page.get_by_label("image size", exact=True).fill("192")
    studio.page.wait_for_selector(f".start .hint:text-matches('^about {4 * measured - 6} s to 4 min,')")
    expected[0] = 41.0
    studio.service.succeeded(studio.service.train())  # when it ends the page asks again
    studio.page.get_by_label("image size", exact=True).fill("96")
    studio.page.wait_for_selector(".start .hint:text-is('about 41 s')")


DURATIONS = """async (all) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {duration} = await import(folder + "format.js");
  return all.map(duration);
}"""


def test_long_times_are_said_in_days(studio: Studio) -> None:
    studio.open("jobs")
    hours = [3600.0 * one for one in (2, 48, 49, 36 * 24)]
    assert studio.page.evaluate(DURATIONS, [0.5, 30, 600, *hours]) == [
        "less than 1 s",
        "30 s",
        "10 min",
        "2.0 h",
        "48.0 h",
        "2 days",
        "36 days",
    ]


TIMES = """async ([job, model, presets]) => {
  const folder = new URL(".", document.querySelector("script[src$='main.js']").src).href;
  const {learningLike, pixelSteps, usingSeconds} = await import(folder + "data/estimate.js");
  const learned = learningLike(model, job, presets);
  const given = {count: 2, width: 96, height: 96, steps: 200, chains: 4, temperatures: 10, mode: "one_pass"};
  const about = {side: 96, pictures: [[96, 96], [96, 96]]};
  const time = (times, models) =>
    usingSeconds("sample", times * pixelSteps("sample", given, {...about, models}), learned)[0] - 2;
  const kinds = ["sample", "inpaint", "reconstruct", "classify"];
  const steps = kinds.map((kind) => pixelSteps(kind, given, about) / 96 ** 2);
  steps.push(pixelSteps("classify", given, {...about, found: true}) / 96 ** 2);
  return [learned.map((one) => one.seconds), steps, time(2, 1) / time(1, 1), time(1, 2) / time(1, 1)];
}"""


def test_the_time_of_a_job_goes_by_its_pixels_and_by_what_learning_its_model_takes(
    studio: Studio, learned: dict[str, Any]
) -> None:
    studio.open("jobs")
    ended = {"started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:02:02Z", "attempt": 1}
    model = {"params": {**learned["params"], "layers": PRESETS["quick"].model_dump(mode="json")["layers"]}}
    job = {**learned, **ended, "preset": "quick"}
    (quick,) = [one for one in studio.service.http.get("/v1/presets").json()["data"] if one["name"] == "quick"]

    def found(**changes: Any) -> list[Any]:
        return list(studio.page.evaluate(TIMES, [{**job, **changes}, model, [quick]]))

    measured = TWO_CORE_SECONDS["quick"]
    quick["expected_seconds"] = None
    seconds, steps, pixels, models = found()
    assert seconds == [measured, 122], "one job alone may have run beside others"
    assert steps == [400, 800, 2, 10 * 200 * (4 + 1), 2], "with log Z kept, only the two pictures are left"
    assert (pixels, models) == pytest.approx((2, 2))
    slowest = 2 + SLOW_MACHINE_FACTOR * (measured - 2)
    assert found(finished_at="2026-01-01T00:00:03Z")[0] == [measured, slowest], "too short to tell"
    quick["expected_seconds"] = 41.0
    assert found()[0] == [41, 41], "several jobs told"
    quick["params"] = {**quick["params"], "layers": []}
    assert found()[0] == [122, 122], "nothing else is known"
