"""How good the learned pictures are, in numbers, beside two older ways to make a texture.

    python benchmarks/quality.py [PICTURE ...] [--preset NAME] [--size 128] [--seed S ...] [--set name=value ...]

Learns each picture by Algorithm 1, measures the chains by core.pictures.quality, and does so for what the finished
model is then asked for, for a random phase texture and for image quilting. Prints one table; writes it, the figures and
a sheet of all the pictures to --out.
"""

import argparse
import dataclasses
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from PIL import Image
from pydantic import ValidationError
from quilting import quilt
from random_phase import random_phase
from torch import Tensor

from core.engine import Engine
from core.pictures.images import Levels, read_picture, sheet, to_pixels, write_picture
from core.pictures.quality import COPIED_PATCH, Quality, assess
from core.pictures.training_set import TrainingSet
from core.recipe.diagnosis import find_warnings
from core.recipe.learner import Learner, dynamics_of
from core.recipe.preparation import prepare_for
from core.recipe.presets import PRESETS
from core.recipe.recovery import LearningDiverged
from core.recipe.rendering import render_chains, tone_of
from core.recipe.state import TrainingState
from core.schemas.geometry import total_stride
from core.schemas.learning import LearningParams
from core.schemas.sampling import DEFAULT_STEPS
from core.synthesis.sampling import render, synthesize

ROOT = Path(__file__).parents[1]
PRESET = "texture-cpu"
SIZE = 128
LEAST_SIZE = 3 * COPIED_PATCH
SHOWN = 3  # chains, and sampled pictures
DRAWS = 8  # by each of the older methods, and from a finished model: one alone is a matter of luck
LEARNED, SAMPLED = "ConvNet", "ConvNet, sampled"
WHITE = 255

COLUMNS = (
    *("picture", "seed", "method", "SWD ratio", "grid peak", "copying", "dead patches", "seam", "std ratio"),
    *("recoveries", "seconds", "healthy"),
)


@dataclass(frozen=True)
class Made:
    """What a method made of a picture: bytes (N, C, H, W); of learning also how it went, `warnings` last."""

    pictures: Tensor
    recoveries: int | None = None
    seconds: float | None = None
    warnings: Sequence[str] | None = None


@dataclass(frozen=True)
class Result:
    """One line of the table. `quality` is None where learning diverged."""

    picture: str
    seed: int
    method: str
    quality: Quality | None
    recoveries: int | None = None
    seconds: float | None = None
    warnings: Sequence[str] | None = None

    @property
    def distance(self) -> float:
        return self.quality.distance if self.quality else math.inf


def main(arguments: Sequence[str] | None = None) -> int:
    asked, params = read_arguments(arguments)
    results: list[Result] = []
    shown: list[Tensor] = []
    for path in asked.pictures:
        picture = read(path, params.image_size)
        for seed in asked.seed:
            made = make(picture, params.seeded(seed))
            results += measure(path.stem, seed, picture, made, params)
            shown += row_of_pictures(picture, made, columns_of(params))
            sys.stderr.write(f"{path.stem}, seed {seed}: {', '.join(map(_brief, results[-len(made) :]))}\n")
    sys.stdout.write(markdown(results))
    write_report(asked, params, results, shown)
    return 0


def read_arguments(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, LearningParams]:
    textures = [Path(str(files("skimage"))) / "data" / f"{name}.png" for name in ("brick", "grass", "gravel")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", type=Path, default=[*textures, ROOT / "examples" / "texture.png"])
    parser.add_argument("--preset", choices=PRESETS, default=PRESET)
    parser.add_argument("--size", type=int, default=SIZE, help=f"side in pixels, {LEAST_SIZE} at least")
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--out", type=Path, default=Path("benchmark-output"), help="folder")
    parser.add_argument("--json", type=Path, help="another place for quality.json")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="params; JSON")
    asked = parser.parse_args(arguments)
    try:
        changes = dict(_setting(setting) for setting in asked.set)
        if asked.size < LEAST_SIZE:
            raise ValueError(f"--size {asked.size}: the measures need {LEAST_SIZE} pixels")
        fixed = {"image_size": asked.size, "patch_size": None, "seed": None}
        return asked, LearningParams.model_validate({**PRESETS[asked.preset].model_dump(), **changes, **fixed})
    except (ValidationError, ValueError) as error:
        parser.error(str(error))


def _setting(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: not of the form name=value")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def read(path: Path, size: int) -> Tensor:
    """A picture file -> (C, size, size) grey levels, C = 1 where the file is grey, else 3."""
    with Image.open(path) as picture:
        channels = 1 if picture.mode in ("L", "LA") else 3
    return read_picture(path.read_bytes(), size, channels)


def make(picture: Tensor, params: LearningParams) -> dict[str, Made | None]:
    """The picture (C, H, W) by each method; None where learning diverged."""
    assert params.seed is not None
    generator = torch.Generator().manual_seed(params.seed)
    return {
        "random phase": drawn(random_phase, picture, generator),
        "quilting": drawn(quilt, picture, generator),
        **learned(picture, params),
    }


def drawn(method: Callable[[Tensor, torch.Generator], Tensor], picture: Tensor, generator: torch.Generator) -> Made:
    return Made(torch.cat([_pixels(method(picture, generator)) for _ in range(DRAWS)]))


def learned(picture: Tensor, params: LearningParams) -> dict[str, Made | None]:
    """The chains when learning ends, and pictures that the finished model draws, its weights held."""
    images, levels = prepare_for(params, picture[None])
    began_at = time.monotonic()
    learner = Learner(TrainingSet.of(images, levels), params)
    try:
        for _ in learner.iterate():
            pass
    except LearningDiverged:
        return {LEARNED: None, SAMPLED: None}
    seconds, state = time.monotonic() - began_at, learner.state
    made = to_pixels(render_chains(state.net, state.chains, params), levels)
    chains = Made(made, state.recoveries, seconds, find_warnings(learner.measure_health()))
    return {LEARNED: chains, SAMPLED: Made(sampled(state, params, levels, learner.engine))}


def sampled(state: TrainingState, params: LearningParams, levels: Levels, engine: Engine) -> Tensor:
    """As a sampling job would, in as many steps as it takes unless told: DRAWS pictures like the chains, bytes."""
    dynamics = dynamics_of(params, levels.box)
    sides = state.chains.shape[-2:]
    made = synthesize(
        state.net,
        DRAWS,
        *sides,
        steps=DEFAULT_STEPS,
        dynamics=dynamics,
        generator=state.generator,
        start=state.chains,
        engine=engine,
    )
    tone = tone_of(state.net, state.chains, params, engine)
    return render(state.net, made, levels, params.picture_noise, dynamics, engine, tone)


def _pixels(picture: Tensor) -> Tensor:
    """(C, H, W) grey levels -> bytes (1, C, H, W), cut to 0..255."""
    return picture.round().clamp(0, 255).to(torch.uint8)[None]


def measure(
    name: str, seed: int, picture: Tensor, made: dict[str, Made | None], params: LearningParams
) -> list[Result]:
    stride = total_stride(params.layers)
    return [
        Result(name, seed, method, None)
        if one is None
        else Result(
            name, seed, method, assess(one.pictures.float(), picture, stride), one.recoveries, one.seconds, one.warnings
        )
        for method, one in made.items()
    ]


def columns_of(params: LearningParams) -> int:
    """Of the sheet: the training picture, random phase, quilting, a few chains and a few sampled pictures."""
    return 3 + min(SHOWN, params.num_chains) + SHOWN


def row_of_pictures(picture: Tensor, made: dict[str, Made | None], columns: int) -> list[Tensor]:
    """The training picture, one of each older method, a few of what was learned: in colour, of the first's size."""
    blank = torch.full((1, *picture.shape), WHITE, dtype=torch.uint8)
    row = [_pixels(picture)]
    for method, one in made.items():
        row += [] if one is None else one.pictures[: SHOWN if method in (LEARNED, SAMPLED) else 1, None]
    row += [blank] * (columns - len(row))
    return [one[0, :, : picture.shape[1], : picture.shape[2]].expand(3, -1, -1) for one in row]


def write_report(
    asked: argparse.Namespace, params: LearningParams, results: Sequence[Result], shown: Sequence[Tensor]
) -> None:
    report = {
        "preset": asked.preset,
        "params": params.model_dump(mode="json", exclude={"seed"}),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "results": [dataclasses.asdict(result) for result in results],
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.json or asked.out / "quality.json").write_text(json.dumps(report, indent=1) + "\n")
    (asked.out / "quality.md").write_text(markdown(results))
    (asked.out / "contact-sheet.png").write_bytes(write_picture(sheet(shown, columns=columns_of(params))))


def markdown(results: Sequence[Result]) -> str:
    """The table, with the median and the worst distance of each method below."""
    lines = [COLUMNS, *map(_line, results)]
    for method in dict.fromkeys(result.method for result in results):
        distances = [result.distance for result in results if result.method == method]
        for name, value in (("median", statistics.median(distances)), ("worst", max(distances))):
            lines.append((f"**{name}**", "", method, f"{value:.2f}", *[""] * (len(COLUMNS) - 4)))
    widths = [max(len(line[index]) for line in lines) for index in range(len(COLUMNS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )


def _line(result: Result) -> tuple[str, ...]:
    quality = result.quality
    figures: tuple[str, ...] = ("diverged", *[""] * 5)
    if quality is not None:
        values = (quality.distance, quality.grid_peak, quality.copying, quality.weakest_window)
        figures = tuple("" if v is None else f"{v:.2f}" for v in (*values, quality.seam, quality.contrast))
    recoveries = "" if result.recoveries is None else str(result.recoveries)
    seconds = "" if result.seconds is None else f"{result.seconds:.0f}"
    healthy = "" if result.warnings is None else "; ".join(result.warnings) or "yes"
    return (result.picture, str(result.seed), result.method, *figures, recoveries, seconds, healthy)


def _brief(result: Result) -> str:
    return f"{result.method} {result.distance:.2f}" + ("" if result.seconds is None else f" in {result.seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
