"""Damage the example fish, let a model that has learned them walk back, and measure: docs/experiments/memories.md.

    make pictures PICTURES="--only memories"

Prints the page's figures and writes its sheet: originals, damaged pictures, frames of the walks, attractors of the
originals.
"""

import sys
from collections.abc import Callable, Sequence

import numpy as np
from control_sheets import sheet
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from service_run import EXAMPLES, IMAGES, Run, png, save_small

SIDE = 64  # of the pictures, in pixels
PRESET = "object-cpu"
FRAMES, STEPS = 4, 3000
SHOWN = 6  # pictures on a sheet
GREY = (128, 128, 128)
NOISE_STD = 40.0  # grey levels

Pixels = NDArray[np.float64]
Damage = Callable[[Image.Image, int], Image.Image]


def make(run: Run) -> None:
    paths = sorted(EXAMPLES.glob("fish-*.png"))
    opened = (Image.open(path).convert("RGB") for path in paths)
    examine(run, [one.resize((SIDE, SIDE), Image.Resampling.LANCZOS) for one in opened])


def examine(run: Run, originals: Sequence[Image.Image]) -> None:
    """Print how far pictures are from their originals before and after their walks, and save a sheet."""
    dataset_id = run.upload("fish", *originals)
    params = {"image_size": SIDE, "seed": 1}
    model_id = run.job(kind="train", dataset_id=dataset_id, preset=PRESET, params=params)["model_id"]
    ends = {
        name: walk(run, model_id, name, [damage(one, index) for index, one in enumerate(originals)])
        for name, damage in DAMAGES.items()
    }
    of_originals = ends["none"][-1]
    for name, frames in ends.items():
        before, after = _distance(frames[0], originals), _distance(frames[-1], originals)
        block_before, block_after = (_distance(_blocks(found), _blocks(originals)) for found in (frames[0], frames[-1]))
        own, own_attractor = (_nearest_to_own(frames[-1], others) for others in (originals, of_originals))
        sys.stdout.write(
            f"{name}: from the original {before:.1f} before and {after:.1f} after, in the block "
            f"{block_before:.1f} and {block_after:.1f}; after, from the original's attractor "
            f"{_distance(frames[-1], of_originals):.1f}; nearest to the own original {own}, to its attractor "
            f"{own_attractor} of {len(originals)}\n"
        )
        sys.stdout.flush()
    rows = [originals, *ends["block"], of_originals]
    save_small(png(sheet([one for row in rows for one in row[:SHOWN]], SHOWN, 2)), IMAGES / "memories.png")


def walk(run: Run, model_id: str, name: str, given: Sequence[Image.Image]) -> list[list[Image.Image]]:
    """Return the frames of the walks: first the pictures as the model reads them, last the attractors."""
    params = {"mode": "attractor", "steps": STEPS, "frames": FRAMES}
    job = run.job(kind="reconstruct", model_id=model_id, dataset_id=run.upload(name, *given), params=params)
    walks = job["metrics"]["reconstructions"]
    steps = [one["frames"][-1] for one in walks]
    sys.stdout.write(f"{name}: {min(steps)} to {max(steps)} steps\n")
    shares = [place / (FRAMES - 1) for place in range(FRAMES)]
    return [
        [
            run.picture(job, f"walk-{index:03d}-{round(share * (len(one['frames']) - 1)):02d}.png")
            for index, one in enumerate(walks)
        ]
        for share in shares
    ]


def rms(one: Image.Image, other: Image.Image) -> float:
    """Return the root mean square difference of two pictures, in grey levels."""
    return float(np.sqrt(np.square(_pixels(one) - _pixels(other)).mean()))


def without_block(picture: Image.Image, _: int) -> Image.Image:
    """Return the picture with a quarter of its width and height greyed out, in its middle."""
    damaged = picture.copy()
    ImageDraw.Draw(damaged).rectangle((BLOCK[0], BLOCK[1], BLOCK[2] - 1, BLOCK[3] - 1), fill=GREY)
    return damaged


def with_noise(picture: Image.Image, index: int) -> Image.Image:
    """Return the picture under white noise."""
    noise = NOISE_STD * np.random.default_rng(index).standard_normal((SIDE, SIDE, 3))
    return Image.fromarray(np.clip(_pixels(picture) + noise, 0, 255).round().astype(np.uint8))


BLOCK = (3 * SIDE // 8, 3 * SIDE // 8, 5 * SIDE // 8, 5 * SIDE // 8)  # left, top, right, bottom
DAMAGES: dict[str, Damage] = {"none": lambda picture, _: picture, "block": without_block, "noise": with_noise}


def _distance(found: Sequence[Image.Image], others: Sequence[Image.Image]) -> float:
    """Return the mean of `rms` over pairs."""
    return float(np.mean([rms(one, other) for one, other in zip(found, others, strict=True)]))


def _nearest_to_own(found: Sequence[Image.Image], others: Sequence[Image.Image]) -> int:
    """Return how many pictures are nearest to the one at their own place among `others`."""
    return sum(int(np.argmin([rms(one, other) for other in others])) == index for index, one in enumerate(found))


def _blocks(found: Sequence[Image.Image]) -> list[Image.Image]:
    return [one.crop(BLOCK) for one in found]


def _pixels(picture: Image.Image) -> Pixels:
    return np.asarray(picture, dtype=np.float64)
