"""Draw the pictures that the page offers to begin with: `python tools/draw_examples.py`.

The paving and the gravel are photographs of scikit-image, the maps of stones come from examples/material.py; the others
are drawn here, the same each time.
"""

import math
import runpy
import shutil
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "api/web/studio/examples"
ENLARGED = 4  # shapes are drawn this much larger and scaled down, which smooths their edges
Array = NDArray[np.float64]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    shutil.copy(ROOT / "examples/texture.png", FOLDER / "paving.png")
    gravel = Image.open(Path(skimage.__file__).parent / "data/gravel.png").convert("L")
    gravel.save(FOLDER / "gravel.jpg", quality=84)
    cobbles(256).save(FOLDER / "cobbles.png")
    cloth(192).save(FOLDER / "cloth.png")
    for role, picture in runpy.run_path(str(ROOT / "examples/material.py"))["draw"](128).items():
        picture.save(FOLDER / f"stones-{role}.png", optimize=True)
    random = np.random.default_rng(7)
    for index in range(12):
        fish(random).save(FOLDER / f"fish-{index + 1:02d}.png")
    for index in range(10):
        scene(random).save(FOLDER / f"scene-{index + 1:02d}.png")


def cobbles(side: int) -> Image.Image:
    """Return rounded stones of several colours in sand, lit from the upper left; it continues at opposite sides."""
    random = np.random.default_rng(3)
    cells = 12
    centres = (
        np.stack(np.meshgrid(range(cells), range(cells)), -1) + random.uniform(0.14, 0.86, (cells, cells, 2))
    ) / cells
    points = (centres.reshape(-1, 2) * side)[:, None, None]
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1)[None]
    apart = np.abs(grid - points)
    distance = np.sqrt((np.minimum(apart, side - apart) ** 2).sum(-1))
    order = np.argsort(distance, axis=0)[:2]
    closest, second = np.take_along_axis(distance, order, 0)
    inside = np.clip((second - closest - 2.5) / 7, 0, 1)
    height = np.sqrt(1 - (1 - inside) ** 2) * 6 + wrapped_noise(side, 1.2, random) * 0.5
    palette = np.array([[142, 132, 124], [120, 118, 120], [164, 146, 124], [134, 112, 100], [152, 148, 142]])
    colours = palette[random.integers(0, len(palette), len(points))] + random.normal(0, 7, (len(points), 1))
    sand = np.array([92, 80, 66])
    mixed = sand + (colours[order[0]] - sand) * np.clip(inside * 2.2, 0, 1)[..., None]
    shaded = mixed * (0.86 + 0.16 * slope(height))[..., None] + wrapped_noise(side, 0.7, random)[..., None] * 6
    return as_picture(shaded)


def cloth(side: int) -> Image.Image:
    """Return twill of two yarns, each thread of its own thickness and tint."""
    random = np.random.default_rng(5)
    thread = 8
    count = side // thread
    y, x = np.mgrid[0:side, 0:side]
    row, column = y // thread, x // thread
    over = (row + column) % 4 < 2
    across = np.sin(np.pi * ((y + 0.5) % thread) / thread)
    along = np.sin(np.pi * ((x + 0.5) % thread) / thread)
    warp = np.array([58, 84, 112]) + random.normal(0, 9, (count, 1))
    weft = np.array([196, 176, 142]) + random.normal(0, 9, (count, 1))
    light = np.where(over, along, across) ** 0.6
    twist = 0.06 * np.sin((np.where(over, y, x) + 0.8 * np.where(over, x, y)) * 1.4)
    colour = np.where(over[..., None], warp[column], weft[row])
    return as_picture(
        colour * (0.52 + 0.5 * light + twist)[..., None] + wrapped_noise(side, 0.8, random)[..., None] * 5
    )


def fish(random: np.random.Generator) -> Image.Image:
    """Return a fish that looks to the right, in the middle of a white square of 96 pixels."""
    side = 96 * ENLARGED
    picture = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(picture)
    long, tall = random.uniform(0.34, 0.38) * side, random.uniform(0.16, 0.23) * side
    hue = random.uniform(0, 1)
    body, fin, stripe = (
        hsv(hue + turn, strength, light)
        for turn, strength, light in ((0, 0.62, 0.86), (0.05, 0.7, 0.66), (0.48, 0.45, 0.93))
    )
    middle, height = 0.53 * side, 0.5 * side
    tail = middle - long
    spread = random.uniform(0.9, 1.25) * tall
    draw.polygon(
        [
            (tail + 0.2 * long, height),
            (tail - 0.36 * long, height - spread),
            (tail - 0.2 * long, height),
            (tail - 0.36 * long, height + spread),
        ],
        fill=fin,
    )
    draw.polygon(
        [
            (middle - 0.45 * long, height - 0.8 * tall),
            (middle - 0.1 * long, height - 1.75 * tall),
            (middle + 0.4 * long, height - 0.8 * tall),
        ],
        fill=fin,
    )
    draw.polygon(
        [
            (middle - 0.2 * long, height + 0.8 * tall),
            (middle - 0.3 * long, height + 1.5 * tall),
            (middle + 0.2 * long, height + 0.85 * tall),
        ],
        fill=fin,
    )
    outline = [
        (middle + long * math.cos(angle), height + tall * math.sin(angle) * (1 - 0.22 * math.cos(angle) ** 3))
        for angle in np.linspace(0, 2 * math.pi, 120)
    ]
    draw.polygon(outline, fill=body)
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    bands = Image.new("RGB", (side, side), body)
    pen = ImageDraw.Draw(bands)
    for number in range(int(random.integers(1, 4))):
        left = middle - 0.5 * long + number * 0.42 * long
        pen.ellipse([left, height - 1.3 * tall, left + 0.2 * long, height + 1.3 * tall], fill=stripe)
    picture.paste(bands, mask=mask)
    draw.polygon(
        [
            (middle + 0.1 * long, height + 0.1 * tall),
            (middle - 0.25 * long, height + 0.65 * tall),
            (middle + 0.12 * long, height + 0.55 * tall),
        ],
        fill=fin,
    )
    eye = (middle + 0.66 * long, height - 0.22 * tall)
    for radius, colour in ((0.085, "white"), (0.05, "#16181a")):
        draw.ellipse(
            [eye[0] - radius * long, eye[1] - radius * long, eye[0] + radius * long, eye[1] + radius * long],
            fill=colour,
        )
    return picture.resize((96, 96), Image.Resampling.LANCZOS)


def scene(random: np.random.Generator) -> Image.Image:
    """Return a landscape of 128 pixels, with clouds and leaves: sky, a sun, ranges of hills, water or a meadow."""
    side = 128 * ENLARGED
    hue = random.uniform(0, 1)
    y = np.linspace(0, 1, side)[:, None, None]
    top, bottom = (
        np.array(hsv_levels(hue + turn, strength, light)) for turn, strength, light in ((0, 0.5, 0.82), (0.12, 0.3, 1))
    )
    sky = np.broadcast_to(top + (bottom - top) * y, (side, side, 3))
    picture = Image.fromarray(sky.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    at, radius = random.uniform(0.2, 0.8, 2) * side * np.array([1, 0.45]), random.uniform(0.05, 0.1) * side
    draw.ellipse([at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius], fill=hsv(hue + 0.5, 0.18, 1))
    x = np.arange(side)
    ranges = int(random.integers(2, 5))
    for number in range(ranges):
        level = 0.42 + 0.4 * number / ranges
        waves = sum(
            random.uniform(0.01, 0.06) / n * np.sin(2 * math.pi * (n * x / side + random.uniform()))
            for n in (1, 2, 3, 5, 8)
        )
        ridge = (level + waves) * side
        fill = hsv(hue + 0.08 * number, 0.25 + 0.12 * number, 0.78 - 0.15 * number)
        draw.polygon([(0, side), *zip(x.tolist(), np.asarray(ridge).tolist(), strict=True), (side, side)], fill=fill)
    if random.uniform() < 0.5:
        line = 0.8 * side
        draw.rectangle([0, line, side, side], fill=hsv(hue + 0.02, 0.42, 0.66))
        for _ in range(26):
            left, down, long = random.uniform(0, side), random.uniform(line, side), random.uniform(0.04, 0.2) * side
            draw.line([left, down, left + long, down], fill=hsv(hue + 0.05, 0.2, 0.9), width=ENLARGED)
    small = np.asarray(picture.resize((128, 128), Image.Resampling.LANCZOS), dtype=np.float64)
    rough = sum(
        size * wrapped_noise(128, blur, random) for size, blur in ((0.05, 12.0), (0.05, 5.0), (0.05, 2.0), (0.04, 1.0))
    )
    return as_picture(small * (1 + np.asarray(rough)[..., None] * (0.6 + np.linspace(0, 0.8, 128)[:, None, None])))


def wrapped_noise(side: int, blur: float, random: np.random.Generator) -> Array:
    """Return white noise blurred by a Gaussian of `blur` pixels, of variance 1, that continues at opposite sides."""
    frequency = np.fft.fftfreq(side)
    damping = np.exp(-2 * (math.pi * blur) ** 2 * (frequency[:, None] ** 2 + frequency[None] ** 2))
    noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(side, side))) * damping).real
    return np.asarray(noise / noise.std())


def slope(height: Array) -> Array:
    """Return how steeply a surface rises towards the upper left."""
    return np.asarray(
        (np.roll(height, -1, 0) - np.roll(height, 1, 0) + np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2
    )


def hsv_levels(hue: float, saturation: float, light: float) -> tuple[int, int, int]:
    levels = (
        Image.new("HSV", (1, 1), (int(hue % 1 * 255), int(saturation * 255), int(light * 255)))
        .convert("RGB")
        .getpixel((0, 0))
    )
    assert isinstance(levels, tuple)
    return levels[0], levels[1], levels[2]


hsv = hsv_levels


def as_picture(levels: Array) -> Image.Image:
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
