"""A material of aligned maps to try (docs/how-to/materials.md):

    python examples/material.py draw FOLDER              write albedo.png, normal.png, height.png, roughness.png
    python examples/material.py compare FOLDER RESULTS   say how its maps go together, and those in the folder RESULTS

RESULTS holds synthesized-000-albedo.png and so on. What is said: the correlations of the pairs of maps, and how far the
lengths of the normals are from one.
"""

import argparse
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.pictures.deep_png import read_samples

SIDE = 128
STONES = 7  # along each side
ROLES = ("albedo", "normal", "height", "roughness")
STEEPNESS = 16.0  # of the normals: pixels that the highest stone rises above the joints
Array = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["draw", "compare"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path, nargs="?")
    asked = parser.parse_args()
    if asked.what == "draw":
        asked.folder.mkdir(parents=True, exist_ok=True)
        for role, picture in draw(SIDE).items():
            picture.save(asked.folder / f"{role}.png")
        return
    lines = ["drawn", *described({role: read(asked.folder / f"{role}.png") for role in ROLES})]
    results = asked.results or asked.folder
    for number in sorted({file.name.rsplit("-", 1)[0] for file in results.glob("synthesized-*-*.png")}):
        files = {role: results / f"{number}-{role}.png" for role in ROLES}
        lines += [number, *described({role: read(file) for role, file in files.items() if file.exists()})]
    sys.stdout.writelines(f"{line}\n" for line in lines)


def draw(side: int) -> dict[str, Image.Image]:
    """Return the maps of cobbles in sand, which continue at opposite sides; height has 16 bits, the others have 8."""
    random = np.random.default_rng(3)
    centres = np.stack(np.meshgrid(range(STONES), range(STONES)), -1) + random.uniform(0.2, 0.8, (STONES, STONES, 2))
    points = (centres.reshape(-1, 2) * side / STONES)[:, None, None]
    apart = np.abs(np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1)[None] - points)
    distance = np.sqrt((np.minimum(apart, side - apart) ** 2).sum(-1))
    stone = distance.argmin(axis=0)
    closest, second = np.sort(distance, axis=0)[:2]
    inside = np.clip((second - closest - 1.5) / 8, 0, 1)
    dome = np.sqrt(1 - (1 - inside) ** 2)
    height = dome * (0.75 + 0.25 * random.uniform(size=len(points))[stone]) * 0.9 + 0.05 * grain(side, 1.5, random)
    height = (height - height.min()) / np.ptp(height)
    palette = np.array([[150, 134, 118], [112, 112, 120], [172, 146, 112], [138, 104, 90]])
    colours = palette[random.integers(0, len(palette), len(points))] + random.normal(0, 6, (len(points), 1))
    sand = np.array([84, 72, 58])
    albedo = sand + (colours[stone] - sand) * np.clip(inside * 2.5, 0, 1)[..., None]
    albedo = albedo + 5 * grain(side, 0.7, random)[..., None]
    roughness = 225 - 95 * dome + 4 * grain(side, 1.0, random)
    return {
        "albedo": as_bytes(albedo),
        "normal": as_bytes((normals_of(height * STEEPNESS) + 1) * 127.5),
        "height": Image.fromarray((height * 65535).round().astype(np.uint16)),
        "roughness": as_bytes(roughness),
    }


def normals_of(height: Array) -> Array:
    """Return the unit normals (H, W, 3) of a height in pixels that continues at opposite sides: x right, y up."""
    right = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2
    up = (np.roll(height, 1, 0) - np.roll(height, -1, 0)) / 2
    vectors = np.stack([-right, -up, np.ones_like(height)], axis=-1)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def grain(side: int, blur: float, random: np.random.Generator) -> Array:
    """Return white noise blurred by a Gaussian of `blur` pixels, of variance 1, that continues at opposite sides."""
    frequency = np.fft.fftfreq(side)
    damping = np.exp(-2 * (np.pi * blur) ** 2 * (frequency[:, None] ** 2 + frequency[None] ** 2))
    noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(side, side))) * damping).real
    return np.asarray(noise / noise.std())


def as_bytes(levels: Array) -> Image.Image:
    return Image.fromarray(np.clip(levels, 0, 255).round().astype(np.uint8))


def read(file: Path) -> Array:
    """Return a map's samples (H, W, C), 0 to 1."""
    samples = read_samples(file.read_bytes())
    return samples / float(np.iinfo(samples.dtype).max)


def described(maps: dict[str, Array]) -> list[str]:
    """Return lines that say how the maps go together, of those that there are."""
    signals = {}
    if "albedo" in maps:
        signals["brightness"] = maps["albedo"].mean(axis=-1)
    if "height" in maps:
        height = signals["height"] = maps["height"][..., 0]
        signals["slope to the right"] = np.roll(height, -1, 1) - np.roll(height, 1, 1)
    if "roughness" in maps:
        signals["roughness"] = maps["roughness"][..., 0]
    if "normal" in maps:
        signals |= {"normal z": maps["normal"][..., 2], "normal x": maps["normal"][..., 0]}
    pairs = [*combinations(("brightness", "height", "roughness", "normal z"), 2), ("normal x", "slope to the right")]
    lines = [
        f"  {one} and {other}: {np.corrcoef(signals[one].ravel(), signals[other].ravel())[0, 1]:+.2f}"
        for one, other in pairs
        if one in signals and other in signals
    ]
    if "normal" not in maps:
        return lines
    off = np.abs(np.linalg.norm(maps["normal"] * 2 - 1, axis=-1) - 1)
    return [*lines, f"  lengths of normals: off one by {off.mean():.4f} on average, {off.max():.4f} at most"]


if __name__ == "__main__":
    main()
