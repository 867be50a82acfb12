"""Make the pictures of the page and the README from a real run: `make pictures`, some fifteen minutes on two cores.

The cards of the page (api/web/studio/cards) and the README's first two pictures (docs/images) are made of results; the
screenshots (docs/images) are taken in Chromium. With --url a running service is used, and what it has already learned
is not learned again. With --only the cards, the README's pictures or the screenshots alone are made.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image, ImageDraw
from playwright.sync_api import Page, Route, sync_playwright

ROOT = Path(__file__).parents[1]
STUDIO = ROOT / "api/web/studio"
EXAMPLES, CARDS, IMAGES = STUDIO / "examples", STUDIO / "cards", ROOT / "docs/images"
SIDE = 240  # of a card's picture, in pixels
GAP = 16  # pixels between pictures beside each other
WINDOW = {"width": 1280, "height": 860}
MAX_BYTES = 290_000  # of a screenshot
Job = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a running service instead of one that is started for this")
    parser.add_argument("--chromium", default=shutil.which("chromium-headless-shell") or "/usr/bin/chromium")
    parser.add_argument("--only", choices=("cards", "readme", "screenshots"))
    options = parser.parse_args()
    with running_service(options.url) as url, httpx.Client(base_url=url, timeout=60) as client:
        run = Run(client)
        if options.only in (None, "cards"):
            make_cards(run)
        if options.only in (None, "readme"):
            show_what_goes_in_and_comes_out(url)
            show_a_photograph_and_its_canvas(run)
        if options.only in (None, "screenshots"):
            take_screenshots(run, url, options.chromium)


class Run:
    """Jobs of a service, each made once."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def dataset(self, files: Sequence[tuple[str, bytes]]) -> str:
        """Return the id of the dataset of files with these names; upload them if there is none."""
        for one in self._get("/v1/datasets?limit=100")["data"]:
            if [image["filename"] for image in one["images"]] == [name for name, _ in files]:
                return str(one["id"])
        answer = self.client.post("/v1/datasets", files=[("images", file) for file in files]).raise_for_status()
        return str(answer.json()["id"])

    def example(self, pattern: str) -> str:
        return self.dataset([(path.name, path.read_bytes()) for path in sorted(EXAMPLES.glob(pattern))])

    def job(self, **body: Any) -> Job:
        """Return a job of this body that has succeeded; post it if there is none."""
        for one in self._get(f"/v1/jobs?limit=100&status=succeeded&kind={body['kind']}")["data"]:
            params = {name: one["params"].get(name) for name in body["params"]}
            if {**{name: one[name] for name in body if name != "params"}, "params": params} == body:
                return dict(one)
        job: Job = self.client.post("/v1/jobs", json=body).raise_for_status().json()
        while job["status"] in ("queued", "running"):
            time.sleep(1)
            job = self._get(f"/v1/jobs/{job['id']}")
        if job["status"] != "succeeded":
            raise SystemExit(f"{job['id']} {job['status']}: {job['error']}")
        return job

    def learn(self, pattern: str, preset: str, name: str, **params: Any) -> Job:
        """Learn examples with seed 1; return the job, whose model bears the name."""
        dataset_id = self.example(pattern)
        job = self.job(kind="train", dataset_id=dataset_id, preset=preset, params={"seed": 1, **params})
        self.client.patch(f"/v1/models/{job['model_id']}", json={"name": name}).raise_for_status()
        return job

    def picture(self, job: Job, name: str) -> Image.Image:
        content = self.client.get(f"/v1/jobs/{job['id']}/artifacts/{name}").raise_for_status().content
        return Image.open(io.BytesIO(content)).convert("RGB")

    def _get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(path).raise_for_status().json()
        return found


def make_cards(run: Run) -> None:
    """Make the picture of each card from a result, beside what it was made from where that says more."""
    cobbles = run.learn("cobbles.png", "quick", "Cobbles")
    drawn = {"count": 1, "width": SIDE, "height": SIDE, "tileable": True, "seed": 2}
    photo = run.learn("cobbles.png", "photo", "Cobbles by photo", image_size=256)
    _save("texture", halves(_square(EXAMPLES / "cobbles.png"), run.picture(photo, "synthesized-000.png")))
    cloth = run.learn("cloth.png", "quick", "Cloth")
    more = run.job(kind="sample", model_id=cloth["model_id"], params=drawn)
    _save("sample", _corner(run.picture(more, "synthesized-000.png"), 110))
    fill_in(run, cobbles)
    make_tileable(run, cobbles)
    encoder = run.learn("scene-*.png", "autoencoder-cpu", "Scenes")
    _save("autoencoder", grid([run.picture(encoder, f"reconstructed-{index:03d}.png") for index in range(4)], 2))
    seen = run.job(kind="reconstruct", model_id=encoder["model_id"], dataset_id=encoder["dataset_id"], params={})
    _save("reconstruct", halves(_square(EXAMPLES / "scene-06.png"), run.picture(seen, "reconstructed-005.png")))
    dictionary = run.learn("gravel.jpg", "prototype", "Gravel, a dictionary")
    _save("dictionary", _corner(run.picture(dictionary, "filters.png")))
    _save("classify", halves(_square(EXAMPLES / "cobbles.png"), _square(EXAMPLES / "cloth.png")))
    fish = run.learn("fish-*.png", "object-cpu", "Fish")
    _save("object", grid([run.picture(fish, f"synthesized-{index:03d}.png") for index in range(9)], 3))


def show_what_goes_in_and_comes_out(url: str) -> None:
    """Show the photograph of `make demo`, a tile that it draws, and the tile laid two by two."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([sys.executable, ROOT / "examples" / "demo.py", "--url", url, "--out", out], check=True)
        tile = Image.open(Path(out) / "sampled" / "synthesized-000.png").convert("L")
    laid = Image.new("L", (2 * tile.width, 2 * tile.height))
    for corner in ((0, 0), (tile.width, 0), (0, tile.height), tile.size):
        laid.paste(tile, corner)
    photograph = _square(ROOT / "examples" / "texture.png", tile.width)
    in_a_row(photograph, tile, laid).convert("L").save(IMAGES / "in-and-out.png", optimize=True)


def show_a_photograph_and_its_canvas(run: Run) -> None:
    """Show gravel beside what `photo` synthesized."""
    made = run.picture(run.learn("gravel.jpg", "photo", "Gravel"), "synthesized-000.png")
    in_a_row(_square(EXAMPLES / "gravel.jpg", made.width), made).convert("L").save(IMAGES / "photo.jpg", quality=85)


def make_tileable(run: Run, model: Job) -> None:
    """Make a picture tileable, and show four of it."""
    content = io.BytesIO()
    _square(EXAMPLES / "cobbles.png", 96).convert("RGB").save(content, "PNG")
    dataset = run.dataset([("cobbles-96.png", content.getvalue())])
    params = {"count": 1, "seam": True, "seed": 1}
    job = run.job(kind="inpaint", model_id=model["model_id"], dataset_id=dataset, params=params)
    _save("seam", grid([run.picture(job, "inpainted-000.png")] * 4, 2))


def fill_in(run: Run, model: Job) -> None:
    """Pierce a picture, have it filled in, and show both."""
    picture = _square(EXAMPLES / "cobbles.png", 96).convert("RGBA")
    hole = Image.new("L", picture.size, 255)
    ImageDraw.Draw(hole).line([(20, 24), (46, 52), (76, 66)], fill=0, width=20, joint="curve")
    picture.putalpha(hole)
    content = io.BytesIO()
    picture.save(content, "PNG")
    dataset_id = run.dataset([("pierced.png", content.getvalue())])
    job = run.job(kind="inpaint", model_id=model["model_id"], dataset_id=dataset_id, params={"seed": 1})
    shown = Image.new("RGB", picture.size, "#e84878")
    shown.paste(picture, mask=hole)
    done = run.picture(job, "inpainted-000.png")
    _save("inpaint", halves(*(one.resize((SIDE, SIDE), Image.Resampling.NEAREST) for one in (shown, done))))


def take_screenshots(run: Run, url: str, chromium: str) -> None:
    """Take the four screenshots of README and docs."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    learned = run.learn("cobbles.png", "quick", "Cobbles")
    fish = run.learn("fish-*.png", "object-cpu", "Fish")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme, name, view, act in (
            ("light", "make", "make/texture", _choose_cobbles),
            ("dark", "watch", f"jobs/{fish['id']}", _scrub),
            ("light", "look", f"jobs/{learned['id']}/synthesized-000.png", _slide),
            ("light", "gallery", "gallery", _show_drawn),
        ):
            page = browser.new_page(viewport=WINDOW, color_scheme=scheme)  # type: ignore[arg-type]
            page.route("**/cards/*.jpg", _new_card)
            page.goto(f"{url}/#/{view}")
            act(page)
            save_small(page.screenshot(), IMAGES / f"{name}.png")
            page.close()
        browser.close()


def _new_card(route: Route) -> None:
    """Answer with the card as it was just made; the service has read the files when it began."""
    route.fulfill(path=CARDS / route.request.url.rpartition("/")[2], content_type="image/jpeg")


def _choose_cobbles(page: Page) -> None:
    page.click(".tile:has-text('Cobbles')")
    page.wait_for_selector("canvas.as-seen")
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    _wait(page)


def _scrub(page: Page) -> None:
    page.wait_for_selector(".scrubber")
    _wait(page)


def _slide(page: Page) -> None:
    page.wait_for_selector(".zoomed")
    page.click("button:has-text('Slider')")
    page.get_by_label("How much of your photograph is shown").fill("46")
    _wait(page)


def _show_drawn(page: Page) -> None:
    page.click("button:has-text('Drawn')")
    _wait(page)


def _wait(page: Page) -> None:
    page.wait_for_load_state("load")
    page.wait_for_timeout(1500)  # thumbnails and curves; nothing depends on it but how the picture looks


def halves(left: Image.Image, right: Image.Image) -> Image.Image:
    """Return the left half of one picture beside the right half of another."""
    both = right.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    both.paste(left.resize((SIDE, SIDE), Image.Resampling.LANCZOS).crop((0, 0, SIDE // 2, SIDE)))
    ImageDraw.Draw(both).line([SIDE // 2, 0, SIDE // 2, SIDE], fill="white", width=4)
    return both


def in_a_row(*found: Image.Image) -> Image.Image:
    """Return pictures in a row on white, each as large as it is."""
    height = max(one.height for one in found)
    row = Image.new("RGB", (sum(one.width for one in found) + GAP * (len(found) - 1), height), "white")
    left = 0
    for one in found:
        row.paste(one, (left, (height - one.height) // 2))
        left += one.width + GAP
    return row


def grid(found: Sequence[Image.Image], columns: int) -> Image.Image:
    side = SIDE // columns
    sheet = Image.new("RGB", (SIDE, SIDE), "white")
    for index, one in enumerate(found):
        sheet.paste(
            one.resize((side, side), Image.Resampling.LANCZOS), (index % columns * side, index // columns * side)
        )
    return sheet


def _square(path: Path, side: int = SIDE) -> Image.Image:
    picture = Image.open(path).convert("RGB")
    most = min(picture.size)
    return picture.crop((0, 0, most, most)).resize((side, side), Image.Resampling.LANCZOS)


def _corner(picture: Image.Image, side: int = 60) -> Image.Image:
    """Return the upper left part of a picture, with its pixels enlarged."""
    part = min(*picture.size, side)
    return picture.crop((0, 0, part, part)).resize((SIDE, SIDE), Image.Resampling.NEAREST)


def _save(name: str, picture: Image.Image) -> None:
    picture.save(CARDS / f"{name}.jpg", quality=84)
    print(f"{CARDS / name}.jpg")  # noqa: T201


def save_small(content: bytes, path: Path) -> None:
    """Save a screenshot with as many colours, up to 256, as fit into MAX_BYTES."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    for colours in (256, 160, 96):
        picture.quantize(colours, kmeans=2, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            break
    print(f"{path}: {path.stat().st_size // 1000} kB")  # noqa: T201


@contextmanager
def running_service(url: str | None) -> Iterator[str]:
    """Yield the address of a running service."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("genconvnet")), "serve", "--port", "0", "--data-dir", folder]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            yield next(found.group() for line in process.stdout if (found := re.search(r"http://\S+", line)))
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
