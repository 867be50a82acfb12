"""Make the pictures of the page and of the documents from a real run: `make pictures`, twenty minutes on two cores.

With --url a running service is used, and what it has already learned is not learned again. The pictures of
docs/pictures are not made here: its README names the command of each.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import control_sheets
import httpx
import memories
import walkthrough
from control_sheets import sheet
from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import Page, Route, sync_playwright
from service_run import EXAMPLES, IMAGES, ROOT, STUDIO, Job, Run, opened, png, running_service, save_small

CARDS = STUDIO / "cards"
SHOWN = IMAGES / "make.json"  # what make.png shows; tests/test_docs.py compares it with the page
SIDE = 240  # of a card's picture, in pixels
GAP = 16  # pixels between pictures beside each other
TILE = 192  # pixels of the tile of the tutorial
WINDOW = {"width": 1280, "height": 860}


@dataclass(frozen=True)
class Kind:
    """Pictures that are made together."""

    make: Callable[[Run], object]
    names: tuple[str, ...]  # of the files
    minutes: float  # on two cores, without what another kind has learned
    folder: Path = IMAGES


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_about_kinds(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="a running service instead of one that is started for this")
    parser.add_argument("--chromium", help="the browser; chromium-headless-shell or chromium by default")
    parser.add_argument("--only", nargs="+", choices=KINDS, metavar="KIND", help="only these kinds")
    options = parser.parse_args()
    with running_service(options.url) as url, httpx.Client(base_url=url, timeout=60) as client:
        run = Run(client, options.chromium)
        for name in options.only or KINDS:
            began = time.monotonic()
            KINDS[name].make(run)
            print(f"{name}: {(time.monotonic() - began) / 60:.1f} minutes")  # noqa: T201


def _about_kinds() -> str:
    lines = [
        f"  {name:<12} {kind.minutes:>4} min  {kind.folder.relative_to(ROOT)}: {', '.join(kind.names)}"
        for name, kind in KINDS.items()
    ]
    return "\n".join(["kinds, with roughly their minutes on two idle cores:", *lines])


def make_cards(run: Run) -> None:
    """Make the picture of each card from a result, beside what it was made from where that says more."""
    cobbles = run.learn("cobbles.png", "quick", "Cobbles")
    drawn = {"count": 1, "width": SIDE, "height": SIDE, "tileable": True, "seed": 2}
    photo = run.learn("cobbles.png", "photo", "Cobbles by photo", image_size=256)
    _save("texture", halves(_square(EXAMPLES / "cobbles.png"), run.picture(photo, "synthesized-000.png")))
    cloth = run.learn("cloth.png", "quick", "Cloth")
    more = run.job(kind="sample", model_id=cloth["model_id"], params=drawn)
    _save("sample", _corner(run.picture(more, "synthesized-000.png"), 110))
    follow(run, cobbles)
    blend(run, cobbles, cloth)
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


def show_what_goes_in_and_comes_out(run: Run) -> None:
    """Show the picture of `make demo`, a tile that it draws, and the tile laid two by two."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([sys.executable, ROOT / "examples" / "demo.py", "--url", run.url, "--out", out], check=True)
        tile = Image.open(Path(out) / "sampled" / "synthesized-000.png").convert("RGB")
    laid = Image.new("RGB", (2 * tile.width, 2 * tile.height))
    for corner in ((0, 0), (tile.width, 0), (0, tile.height), tile.size):
        laid.paste(tile, corner)
    in_a_row(_square(EXAMPLES / "cobbles.png", tile.width), tile, laid).save(IMAGES / "in-and-out.jpg", quality=88)


def make_readme_pictures(run: Run) -> None:
    show_what_goes_in_and_comes_out(run)
    show_a_photograph_and_its_canvas(run)


def show_a_photograph_and_its_canvas(run: Run) -> None:
    """Show gravel beside what `photo` synthesized."""
    made = run.picture(run.learn("gravel.jpg", "photo", "Gravel"), "synthesized-000.png")
    in_a_row(_square(EXAMPLES / "gravel.jpg", made.width), made).convert("L").save(IMAGES / "photo.jpg", quality=85)


def follow_the_tutorial(run: Run) -> None:
    """Show cobbles as the model sees them, what `quick` synthesized, and a drawn tile laid three by three."""
    learned = run.learn("cobbles.png", "quick", "Cobbles")
    params = {"count": 1, "width": TILE, "height": TILE, "tileable": True, "seed": 1}
    tile = run.picture(run.job(kind="sample", model_id=learned["model_id"], params=params), "synthesized-000.png")
    synthesized = run.picture(learned, "synthesized-000.png")
    seen = _square(EXAMPLES / "cobbles.png", synthesized.width)
    large = [one.resize((3 * one.width, 3 * one.height), Image.Resampling.BICUBIC) for one in (seen, synthesized)]
    plane = Image.new("RGB", (3 * TILE, 3 * TILE))
    for place in range(9):
        plane.paste(tile, (place % 3 * TILE, place // 3 * TILE))
    for name, picture in zip(("photograph", "learned", "plane"), (*large, plane), strict=True):
        picture.save(IMAGES / f"tutorial-{name}.jpg", quality=85)


def show_a_material(run: Run) -> None:
    """Show the maps of a material above those that a model of them synthesized."""
    maps = {
        role: (EXAMPLES / f"stones-{role}.png").read_bytes() for role in ("albedo", "normal", "height", "roughness")
    }
    originals = [opened(content) for content in maps.values()]
    learned = run.learn_maps(maps, "quick", "Stones", image_size=originals[0].width)
    drawn = [run.picture(learned, f"synthesized-000-{role}.png") for role in maps]
    save_small(png(sheet([*originals, *drawn], len(maps), 1)), IMAGES / "material.png")


def follow(run: Run, model: Job) -> None:
    """Draw a ring, have it followed, and show half of both."""
    sketch = Image.new("RGB", (SIDE, SIDE), (60, 55, 50))
    ImageDraw.Draw(sketch).ellipse((36, 36, SIDE - 36, SIDE - 36), outline=(190, 170, 150), width=46)
    guide = run.upload("ring.png", sketch.filter(ImageFilter.GaussianBlur(4)))
    _save("guide", halves(sketch, _drawn(run, model, SIDE, guide_dataset_id=guide, guide_strength=0.15)))


def blend(run: Run, model: Job, other: Job) -> None:
    """Show one model's surface with a path of another's."""
    side = SIDE // 2  # it is enlarged
    path = Image.new("L", (side, side))
    ImageDraw.Draw(path).line([(-10, 30), (45, 40), (70, 80), (side + 10, 90)], fill=255, width=40, joint="curve")
    blended = [{"model_id": other["model_id"], "mask_dataset_id": run.upload("path.png", path)}]
    _save("blend", _corner(_drawn(run, model, side, blend=blended), side))


def _drawn(run: Run, model: Job, side: int, **params: object) -> Image.Image:
    drawn = {"count": 1, "width": side, "height": side, "seed": 2, **params}
    return run.picture(run.job(kind="sample", model_id=model["model_id"], params=drawn), "synthesized-000.png")


def make_tileable(run: Run, model: Job) -> None:
    """Make a picture tileable, and show four of it."""
    dataset = run.upload("cobbles-96.png", _square(EXAMPLES / "cobbles.png", 96).convert("RGB"))
    params = {"count": 1, "seam": True, "seed": 1}
    job = run.job(kind="inpaint", model_id=model["model_id"], dataset_id=dataset, params=params)
    _save("seam", grid([run.picture(job, "inpainted-000.png")] * 4, 2))


def fill_in(run: Run, model: Job) -> None:
    """Pierce a picture, have it filled in, and show both."""
    picture = _square(EXAMPLES / "cobbles.png", 96).convert("RGBA")
    hole = Image.new("L", picture.size, 255)
    ImageDraw.Draw(hole).line([(20, 24), (46, 52), (76, 66)], fill=0, width=20, joint="curve")
    picture.putalpha(hole)
    dataset_id = run.upload("pierced.png", picture)
    job = run.job(kind="inpaint", model_id=model["model_id"], dataset_id=dataset_id, params={"seed": 1})
    shown = Image.new("RGB", picture.size, "#e84878")
    shown.paste(picture, mask=hole)
    done = run.picture(job, "inpainted-000.png")
    _save("inpaint", halves(*(one.resize((SIDE, SIDE), Image.Resampling.NEAREST) for one in (shown, done))))


def take_screenshots(run: Run) -> None:
    """Take the four screenshots of README and docs, and write down what the first shows."""
    chromium = run.chromium or shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
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
            page.goto(f"{run.url}/#/{view}")
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
    shown = {
        "cards": page.locator(".card strong").all_inner_texts(),
        "presets": page.locator("input[name=preset]").evaluate_all("(all) => all.map((one) => one.value)"),
    }
    SHOWN.write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")


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


CARD_NAMES = (
    "texture",
    "sample",
    "guide",
    "blend",
    "inpaint",
    "seam",
    "autoencoder",
    "reconstruct",
    "dictionary",
    "classify",
    "object",
)
KINDS = {
    "cards": Kind(make_cards, tuple(f"{name}.jpg" for name in CARD_NAMES), 6, CARDS),
    "readme": Kind(make_readme_pictures, ("in-and-out.jpg", "photo.jpg"), 3),
    "tutorial": Kind(
        follow_the_tutorial, ("tutorial-photograph.jpg", "tutorial-learned.jpg", "tutorial-plane.jpg"), 0.5
    ),
    "controls": Kind(control_sheets.make, tuple(f"{name}.png" for name in control_sheets.NAMES), 4),
    "material": Kind(show_a_material, ("material.png",), 2),
    "memories": Kind(memories.make, ("memories.png",), 3),
    "notebook": Kind(walkthrough.make, (walkthrough.NOTEBOOK.name,), 0.5, walkthrough.NOTEBOOK.parent),
    "screenshots": Kind(take_screenshots, ("make.png", "watch.png", "look.png", "gallery.png"), 2),
}


if __name__ == "__main__":
    main()
