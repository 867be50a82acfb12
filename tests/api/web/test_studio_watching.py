"""Jobs in the studio: watched, reloaded, canceled, resumed, in one tab and in several."""

from typing import Any

import pytest
from playwright.sync_api import CDPSession
from sqlalchemy import update
from support import rows
from support.service import slowed
from support.studio import LONG, Studio
from support.waiting import until

from core.storage.tables import Job


def test_learning_can_be_watched_after_a_reload_and_in_a_second_tab_and_resumed(studio: Studio) -> None:
    job_id = studio.service.train(None, **LONG)
    studio.open("jobs", job_id)
    studio.page.wait_for_selector(".changing")
    studio.page.wait_for_selector(".chart:has-text('Contrast') .legend dd:not(:text-is('none yet'))")
    with slowed(studio.service.child("train")):
        before = until(studio.step, pause_seconds=0.1)
        until(lambda: studio.step() > before, pause_seconds=0.1)
        studio.page.wait_for_selector(".scrubber output:text-is('live')")
        studio.reload()
        until(lambda: studio.step() > before, pause_seconds=0.1)
        second = Studio(studio.service, studio.page.context.new_page())
        second.open("jobs", job_id)
        until(lambda: second.step() > before, pause_seconds=0.1)
        studio.page.get_by_label("Moment of learning").fill("0")
        studio.page.wait_for_selector(".scrubber output:not(:text-is('live'))")
    rows.lose_worker(studio.service.database, job_id)
    studio.page.wait_for_selector(".job-head .headline:has-text(', its worker has not been heard from')")
    rows.expire(studio.service.database, job_id)
    studio.page.wait_for_selector(".job-head .headline:not(:has-text('heard from'))")
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
        studio.page.set_viewport_size({"width": 360, "height": 900})
        waiting = studio.page.locator(".job-row .headline:has-text('At work now: learning')").first
        waiting.wait_for()
        shown = "(one) => [one.scrollHeight - one.clientHeight, one.scrollWidth - one.clientWidth]"
        assert waiting.evaluate(shown) == [0, 0], "all of it"
        fits = "(one) => one.closest('.job-row').scrollHeight <= one.closest('.cell').clientHeight"
        assert waiting.evaluate(fits)
        studio.page.click(f".job-row[href$='{jobs[3]}']")
        studio.page.wait_for_selector(".job-head :text('Number 3 in the queue. At work now: learning, ')")
        studio.page.wait_for_selector(".job-head :text-matches('learning, [0-9.]+ [a-z]+ left$')")
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
