"""Run the paper's three experiments (sec. 7), one command each, without the service:

    python examples/experiments.py texture PICTURE...             Experiment 1, one model for each picture
    python examples/experiments.py object FOLDER                  Experiment 2, one model of all pictures
    python examples/experiments.py autoencoder FOLDER             Experiment 3, one model of all pictures

Each uses the preset of its name with the suffix -cpu, which takes minutes on two cores. The presets texture, object and
autoencoder are the paper's own settings and need a GPU. Pictures and figures are written to --out.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from core.pictures.images import Levels, read_picture, sheet, to_pixels, write_picture
from core.pictures.quality import distance_ratio
from core.pictures.training_set import TrainingSet
from core.recipe.learner import TrainingProgress, learn
from core.recipe.preparation import prepare_for
from core.recipe.presets import PRESETS
from core.recipe.rendering import render_chains
from core.recipe.state import TrainingState
from core.schemas.learning import LearningParams
from core.theory.decoding import reconstruct

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
PEAK = 255.0


def main() -> None:
    options = _arguments()
    params = PRESETS[options.preset or f"{options.experiment}-cpu"].model_copy(update={"seed": options.seed})
    params = LearningParams.model_validate({**params.model_dump(), **dict(options.set)})
    files = _picture_files(options.pictures)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.experiment == "texture":
        figures = [_texture(file, params, options) for file in files]
    elif options.experiment == "object":
        figures = [_objects(files, params, options)]
    else:
        figures = [_scenes(files, params, options)]
    report = {"experiment": options.experiment, "params": params.model_dump(mode="json"), "results": figures}
    (options.out / f"{options.experiment}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    for result in figures:
        sys.stdout.write(json.dumps(result) + "\n")


def _texture(file: Path, params: LearningParams, options: argparse.Namespace) -> dict[str, object]:
    """Experiment 1: learn one texture and save it beside the synthesized pictures. Return the figures."""
    pixels = _read([file], params, options)
    state, levels, seconds = _learn(pixels, params, options)
    synthesized = _synthesized(state, params, levels)
    _save(
        options.out / f"texture-{file.stem}.png", [*pixels.to(torch.uint8), *synthesized], columns=1 + len(synthesized)
    )
    ratio = distance_ratio(synthesized.float(), pixels[0])
    learned_from, _ = prepare_for(params, pixels)
    contrast = float(state.chains.square().mean().sqrt() / learned_from.square().mean().sqrt())
    return {"picture": file.name, "distance_ratio": ratio, "contrast": contrast, **_run_figures(state, seconds)}


def _objects(files: Sequence[Path], params: LearningParams, options: argparse.Namespace) -> dict[str, object]:
    """Experiment 2: learn aligned objects and measure how near and how varied the synthesized ones are.

    Distances are root mean squares over pixels, in grey levels. Return the figures.
    """
    if len(files) < 2:
        raise SystemExit("Experiment 2 needs several aligned pictures of one kind of object; only one was given")
    pixels = _read(files, params, options)
    state, levels, seconds = _learn(pixels, params, options)
    synthesized = _synthesized(state, params, levels)
    _save(options.out / "object.png", [*pixels.to(torch.uint8)[: len(synthesized)], *synthesized], columns=6)
    real, drawn = pixels.flatten(1), synthesized.float().flatten(1)
    scale = real.shape[1] ** 0.5
    distances = torch.cdist(drawn, real).min(dim=1).values / scale
    return {
        "nearest_training_picture": distances.mean().item(),
        "farthest_from_its_nearest": distances.max().item(),
        "median_between_training_pictures": torch.pdist(real).median().item() / scale,
        "median_between_synthesized": torch.pdist(drawn).median().item() / scale,
        **_run_figures(state, seconds),
    }


def _scenes(files: Sequence[Path], params: LearningParams, options: argparse.Namespace) -> dict[str, object]:
    """Experiment 3: learn scenes and reconstruct each in one pass (eq. 20). Return the figures, PSNR in dB."""
    pixels = _read(files, params, options)
    state, levels, seconds = _learn(pixels, params, options)
    images = levels.standardize(pixels).to(state.chains.device)
    rebuilt = to_pixels(reconstruct(state.net, images, params.boundary), levels)
    _save(options.out / "autoencoder.png", [*pixels.to(torch.uint8), *rebuilt], columns=len(pixels))
    errors = (rebuilt.float() - pixels).square().flatten(1).mean(dim=1)
    psnr = 10 * torch.log10(PEAK**2 / errors)
    return {"mean_psnr": psnr.mean().item(), "psnr": psnr.tolist(), **_run_figures(state, seconds)}


def _learn(pixels: Tensor, params: LearningParams, options: argparse.Namespace) -> tuple[TrainingState, Levels, float]:
    """Run Algorithm 1 on grey levels (N, C, H, W), printing progress to stderr.

    Return the final state, the levels that turn its chains into grey levels, and the seconds it took.
    """
    images, levels = prepare_for(params, pixels)
    began_at = time.monotonic()

    def print_progress(progress: TrainingProgress, _: TrainingState) -> None:
        if progress.step % 50 == 0:
            health = progress.health
            sys.stderr.write(f"\r{progress.fraction:4.0%}  std {health.chain_std:.0f} of {health.data_std:.0f}  ")

    state = learn(TrainingSet.of(images.to(options.device), levels), params, callback=print_progress)
    sys.stderr.write("\n")
    return state, levels, time.monotonic() - began_at


def _synthesized(state: TrainingState, params: LearningParams, levels: Levels) -> Tensor:
    """Return the chains as pictures (N, C, S, S), uint8."""
    pixels = to_pixels(render_chains(state.net, state.chains, params), levels)
    return pixels[..., : params.image_size, : params.image_size]


def _read(files: Sequence[Path], params: LearningParams, options: argparse.Namespace) -> Tensor:
    """Read picture files as grey levels (N, C, S, S)."""
    channels = 1 if options.grey else 3
    return torch.stack([read_picture(file.read_bytes(), params.image_size, channels) for file in files])


def _run_figures(state: TrainingState, seconds: float) -> dict[str, object]:
    return {"recoveries": state.recoveries, "seconds": round(seconds, 1)}


def _save(path: Path, pictures: Sequence[Tensor], columns: int) -> None:
    path.write_bytes(write_picture(sheet(pictures, columns)))


def _picture_files(paths: Sequence[Path]) -> list[Path]:
    """Return the picture files among `paths` and in the folders among them."""
    files = [
        file
        for path in paths
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise SystemExit(f"no pictures ({', '.join(SUFFIXES)}) in {', '.join(map(str, paths))}")
    return files


def _parameter(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    return name, json.loads(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=("texture", "object", "autoencoder"))
    parser.add_argument("pictures", nargs="+", type=Path, help="files or folders")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="default: the experiment's preset for two cores")
    parser.add_argument(
        "--set", action="append", default=[], type=_parameter, metavar="NAME=JSON", help="change one parameter"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grey", action="store_true", help="learn grey levels only")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("experiments-output"), help="folder for pictures and figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
