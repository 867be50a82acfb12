"""Make the sheets of docs/how-to/controls.md from a real run: variations, the way between two pictures, a guide,
blends, a seam. `make pictures PICTURES="--only controls"` calls it.
"""

from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter
from service_run import EXAMPLES, IMAGES, Run, png, save_small

NAMES = ("seam", "variations", "guide", "blend")
SIDE = 128  # of the picture that is learned, in pixels
SMALL = 96  # of the variations
LARGE = 192  # of the guided ones
GAP = 4
MAGNIFY = 2  # of the sheets of small pictures


def make(run: Run) -> None:
    part = Image.open(EXAMPLES / "gravel.jpg").crop((0, 0, 2 * SIDE, 2 * SIDE))
    photograph = part.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    _save("seam", make_tileable(run, learn(run, photograph), photograph))
    cobbles = run.learn("cobbles.png", "quick", "Cobbles")["model_id"]
    start = Image.open(EXAMPLES / "cobbles.png").convert("RGB").resize((SMALL, SMALL), Image.Resampling.LANCZOS)
    _save("variations", vary(run, cobbles, start, start.transpose(Image.Transpose.ROTATE_180)))
    _save("guide", follow(run, cobbles))
    gravel = run.learn("gravel.jpg", "quick", "Gravel")["model_id"]
    paving = run.learn("paving.png", "quick", "Paving")["model_id"]
    cloth = run.learn("cloth.png", "quick", "Cloth")["model_id"]
    _save("blend", blend(run, gravel, paving, cobbles, cloth))


def learn(run: Run, photograph: Image.Image) -> str:
    """Return the id of a model of the photograph."""
    dataset_id, params = run.upload("gravel-part.png", photograph), {"image_size": SIDE, "seed": 1}
    return str(run.job(kind="train", dataset_id=dataset_id, preset="quick", params=params)["model_id"])


def vary(run: Run, model_id: str, start: Image.Image, end: Image.Image) -> Image.Image:
    """Return a picture and variations of it, farther and farther; below the way from it to another."""
    shown = [start]
    named = {"start_dataset_id": run.upload("start.png", start)}
    for strength in (0.2, 0.3, 0.4, 0.5, 0.7):
        shown += _drawn(run, model_id, count=1, start_strength=strength, **named)
    both = {**named, "end_dataset_id": run.upload("end.png", end)}
    shown += _drawn(run, model_id, count=6, start_strength=0.4, **both)
    return sheet(shown, 6, MAGNIFY)


def follow(run: Run, model_id: str) -> Image.Image:
    """Return a sketch, and pictures that follow it more and more strongly."""
    sketch = Image.new("RGB", (LARGE, LARGE), (60, 55, 50))
    ImageDraw.Draw(sketch).ellipse((36, 36, LARGE - 36, LARGE - 36), outline=(190, 170, 150), width=34)
    sketch = sketch.filter(ImageFilter.GaussianBlur(4))
    shown = [sketch]
    named = {"guide_dataset_id": run.upload("sketch.png", sketch), "width": LARGE, "height": LARGE}
    for strength in (0.05, 0.1, 0.5):
        shown += _drawn(run, model_id, count=1, guide_strength=strength, **named)
    return sheet(shown, 4, 1)


def blend(run: Run, gravel: str, paving: str, cobbles: str, cloth: str) -> Image.Image:
    """Return paving on gravel in a half, a path and a ramp; cloth on cobbles in a blob, a ramp, and mixed."""
    half, path, ramp, blob = (Image.new("L", (LARGE, LARGE)) for _ in range(4))
    half.paste(255, (LARGE // 2, 0, LARGE, LARGE))
    ImageDraw.Draw(path).line([(-20, 50), (70, 60), (110, 130), (LARGE + 20, 140)], fill=255, width=56, joint="curve")
    ImageDraw.Draw(blob).ellipse((30, 45, LARGE - 30, LARGE - 45), fill=255)
    ramp.putdata([round(255 * column / (LARGE - 1)) for _ in range(LARGE) for column in range(LARGE)])
    shown = []
    for model_id, other, masks in ((gravel, paving, (half, path, ramp)), (cobbles, cloth, (blob, ramp, None))):
        for mask in masks:
            name = f"mask-{len(shown)}.png"  # a name of its own: what has the name of an earlier one is not uploaded
            where = {"weight": 0.5} if mask is None else {"mask_dataset_id": run.upload(name, mask)}
            blended = [{"model_id": other, **where}]
            shown += _drawn(run, model_id, count=1, blend=blended, width=LARGE, height=LARGE)
    return sheet(shown, 3, 1)


def make_tileable(run: Run, model_id: str, photograph: Image.Image) -> Image.Image:
    """Return a photograph and the same made tileable, both with the corner of their tiles in the middle."""
    params = {"count": 1, "seam": True, "seed": 1}
    dataset_id = run.upload("photograph.png", photograph)
    job = run.job(kind="inpaint", model_id=model_id, dataset_id=dataset_id, params=params)
    both = (photograph, run.picture(job, "inpainted-000.png"))
    return sheet([ImageChops.offset(one, SIDE // 2, SIDE // 2) for one in both], 2, 3)


def sheet(found: Sequence[Image.Image], columns: int, magnify: int) -> Image.Image:
    """Arrange pictures of one size in rows on white."""
    width, height = (magnify * side for side in found[0].size)
    rows = -(-len(found) // columns)
    whole = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP), "white")
    for index, one in enumerate(found):
        place = (index % columns * (width + GAP), index // columns * (height + GAP))
        whole.paste(one.resize((width, height), Image.Resampling.NEAREST), place)
    return whole


def _drawn(run: Run, model_id: str, count: int, **params: object) -> list[Image.Image]:
    job = run.job(kind="sample", model_id=model_id, params={"count": count, "seed": 2, **params})
    return [run.picture(job, f"synthesized-{index:03d}.png") for index in range(count)]


def _save(name: str, picture: Image.Image) -> None:
    save_small(png(picture), IMAGES / f"{name}.png")
