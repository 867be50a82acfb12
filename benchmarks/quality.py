"""How good the learned pictures are, in numbers, beside two older methods of texture synthesis.

    python benchmarks/quality.py [PICTURE ...] [--preset NAME] [--size SIDE] [--seed S ...] [--set name=value ...]

Learns each picture by Algorithm 1 and measures the chains by core.pictures.quality. The same is measured of pictures
that the finished model samples, of random phase textures and of image quilting. Prints one table; writes the table, the
figures and a contact sheet of all pictures to --out. A run that was cut off continues where it stopped: what was
measured lies in --out, by picture and seed, and is measured again only if the parameters changed.
"""

import argparse
import dataclasses
import hashlib
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from methods import LEARNED, OTHER_HALF, SAMPLED, Output, draws, run_methods, to_bytes
from PIL import Image
from pydantic import ValidationError
from report import markdown_table, write_json
from torch import Tensor

from core.pictures.images import read_picture, sheet, write_picture
from core.pictures.quality import COPIED_PATCH, Quality, assess
from core.recipe.presets import PRESETS, with_changes
from core.schemas.geometry import total_stride
from core.schemas.learning import LearningParams

ROOT = Path(__file__).parents[1]
PRESET = "texture-cpu"
MIN_SIZE = 3 * COPIED_PATCH
SHOWN = 3  # chains and sampled pictures on the contact sheet, at most
WHITE = 255

COLUMNS = (
    *("picture", "seed", "method", "SWD ratio", "structure", "spectrum", "grid peak", "copying", "dead patches"),
    *("seam", "std ratio"),
    *("recoveries", "seconds", "healthy"),
)


@dataclass(frozen=True)
class Result:
    """One line of the table. `quality` is None if learning diverged."""

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

    @property
    def structure(self) -> float | None:
        return self.quality.structure if self.quality else math.inf


def main(arguments: Sequence[str] | None = None) -> int:
    options, params = parse_arguments(arguments)
    results: list[Result] = []
    rows: list[Tensor] = []
    for path in options.pictures:
        for seed in options.seed:
            measured, row = measured_before(options.out, path, seed, params) or run(options.out, path, seed, params)
            sys.stderr.write(f"{path.stem}, seed {seed}: {', '.join(map(_summary, measured))}\n")
            results += measured
            rows.append(row)
    sys.stdout.write(markdown(results))
    write_report(options, params, results, rows)
    return 0


def run(out: Path, path: Path, seed: int, params: LearningParams) -> tuple[list[Result], Tensor]:
    """Run and measure all methods on a picture, and keep the results and a row of the contact sheet in `out`."""
    picture = read(path, params.image_size)
    outputs = run_methods(picture, params.seeded(seed))
    measured = measure(path.stem, seed, picture, outputs, params)
    row = sheet(sheet_row(picture, outputs, sheet_columns(params)), columns=sheet_columns(params))
    figures, pixels = _kept(out, path, seed)
    figures.parent.mkdir(parents=True, exist_ok=True)
    pixels.write_bytes(write_picture(row))
    unfinished = figures.with_suffix(".unfinished")
    write_json(unfinished, {**_asked(path, params), "results": [dataclasses.asdict(one) for one in measured]})
    unfinished.replace(figures)  # so that figures that were cut off are never read
    return measured, row


def measured_before(out: Path, path: Path, seed: int, params: LearningParams) -> tuple[list[Result], Tensor] | None:
    """Return what `run` kept of the same picture, seed and parameters; None if there is nothing."""
    figures, pixels = _kept(out, path, seed)
    if not figures.exists():
        return None
    found = json.loads(figures.read_text())
    asked = _asked(path, params)
    if {name: found.get(name) for name in asked} != asked:
        return None
    with Image.open(pixels) as row:
        array = torch.from_numpy(np.array(row.convert("RGB"))).permute(2, 0, 1)
    return [
        Result(**{**one, "quality": one["quality"] and Quality(**one["quality"])}) for one in found["results"]
    ], array


def _kept(out: Path, path: Path, seed: int) -> tuple[Path, Path]:
    """Return where the figures and the pictures of a run are kept."""
    stem = out / "measured" / f"{path.stem}-{seed}"
    return stem.with_suffix(".json"), stem.with_suffix(".png")


def _asked(path: Path, params: LearningParams) -> dict[str, object]:
    """Return what the figures of a run depend on, besides its seed."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"sha256": digest, "torch": torch.__version__, "params": params.model_dump(mode="json", exclude={"seed"})}


def parse_arguments(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, LearningParams]:
    textures = [Path(str(files("skimage"))) / "data" / f"{name}.png" for name in ("brick", "grass", "gravel")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    examples = [*textures, ROOT / "examples" / "texture.png"]
    parser.add_argument("pictures", nargs="*", type=Path, default=examples, help="picture files")
    parser.add_argument("--preset", choices=PRESETS, default=PRESET, help="training preset")
    parser.add_argument("--size", type=int, help=f"side in pixels, at least {MIN_SIZE}; by default the preset's")
    parser.add_argument("--seed", type=int, nargs="+", default=[1], help="each picture is learned once for each seed")
    parser.add_argument("--out", type=Path, default=Path("benchmark-output"), help="output folder")
    parser.add_argument("--json", type=Path, help="path for quality.json instead of --out")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="parameters, in JSON"
    )
    options = parser.parse_args(arguments)
    try:
        changes = dict(map(_parameter, options.set))
        preset = PRESETS[options.preset]
        options.size = options.size or preset.image_size
        if options.size < MIN_SIZE:
            raise ValueError(f"--size {options.size}: the measures need {MIN_SIZE} pixels")
        fixed = {"image_size": options.size, "seed": None}
        params = with_changes(preset, {**changes, **fixed})
        if params.fixed_size:
            raise ValueError(f"--preset {options.preset}: it learns no texture, which is what is measured")
        return options, params
    except (ValidationError, ValueError) as error:
        parser.error(str(error))


def _parameter(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: not of the form name=value")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def read(path: Path, size: int) -> Tensor:
    """Read a picture file as grey levels (C, size, size), C = 1 if the file is grey, else 3."""
    with Image.open(path) as picture:
        channels = 1 if picture.mode in ("L", "LA") else 3
    return read_picture(path.read_bytes(), size, channels)


def measure(
    name: str, seed: int, picture: Tensor, outputs: dict[str, Output | None], params: LearningParams
) -> list[Result]:
    """Measure the output of each method against `picture`, the training picture."""
    stride = total_stride(params.layers)
    results = []
    for method, output in outputs.items():
        if output is None:
            results.append(Result(name, seed, method, None))
            continue
        reference = picture[..., : picture.shape[-1] // 2] if method == OTHER_HALF else picture
        quality = assess(output.pictures.float(), reference, stride)
        results.append(Result(name, seed, method, quality, output.recoveries, output.seconds, output.warnings))
    return results


def sheet_columns(params: LearningParams) -> int:
    """Columns of the contact sheet: training picture, random phase, quilting, chains and sampled pictures."""
    return 3 + min(SHOWN, params.num_chains) + min(SHOWN, draws(params.image_size))


def sheet_row(picture: Tensor, outputs: dict[str, Output | None], columns: int) -> list[Tensor]:
    """Return one row of the contact sheet, all pictures in colour and cut to the size of the training picture."""
    blank = torch.full((1, *picture.shape), WHITE, dtype=torch.uint8)
    row = [to_bytes(picture)]
    for method, output in outputs.items():
        if output is not None and method != OTHER_HALF:
            row += output.pictures[: SHOWN if method in (LEARNED, SAMPLED) else 1, None]
    row += [blank] * (columns - len(row))
    return [_on_blank(one[0], blank[0]) for one in row]


def _on_blank(picture: Tensor, blank: Tensor) -> Tensor:
    """Return a picture in colour, cut or enlarged with white to the size of `blank`."""
    cell = blank.expand(3, -1, -1).clone()
    cut = picture[:, : blank.shape[1], : blank.shape[2]]
    cell[:, : cut.shape[1], : cut.shape[2]] = cut
    return cell


def write_report(
    options: argparse.Namespace, params: LearningParams, results: Sequence[Result], rows: Sequence[Tensor]
) -> None:
    report = {
        "preset": options.preset,
        "params": params.model_dump(mode="json", exclude={"seed"}),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "results": [dataclasses.asdict(result) for result in results],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.json or options.out / "quality.json", report)
    (options.out / "quality.md").write_text(markdown(results))
    (options.out / "contact-sheet.png").write_bytes(write_picture(sheet(rows, columns=1)))


def markdown(results: Sequence[Result]) -> str:
    """Return the table, with the median and the worst distance and structure of each method at its end."""
    rows = [_cells(result) for result in results]
    for method in dict.fromkeys(result.method for result in results):
        of_method = [result for result in results if result.method == method]
        distances, structures = ([one.distance for one in of_method], [one.structure for one in of_method])
        for name, of in (("median", statistics.median), ("worst", max)):
            figures = (f"{of(distances):.2f}", "" if None in structures else f"{of(structures):.2f}")
            rows.append((f"**{name}**", "", method, *figures, *[""] * (len(COLUMNS) - 5)))
    return markdown_table(COLUMNS, rows)


def _cells(result: Result) -> tuple[str, ...]:
    quality = result.quality
    figures: tuple[str, ...] = ("diverged", *[""] * 7)
    if quality is not None:
        values = (quality.distance, quality.structure, quality.spectrum, quality.grid_peak, quality.copying)
        values += (quality.weakest_window,)
        figures = tuple("" if v is None else f"{v:.2f}" for v in (*values, quality.seam, quality.contrast))
    recoveries = "" if result.recoveries is None else str(result.recoveries)
    seconds = "" if result.seconds is None else f"{result.seconds:.0f}"
    healthy = "" if result.warnings is None else "; ".join(result.warnings) or "yes"
    return (result.picture, str(result.seed), result.method, *figures, recoveries, seconds, healthy)


def _summary(result: Result) -> str:
    return f"{result.method} {result.distance:.2f}" + ("" if result.seconds is None else f" in {result.seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
