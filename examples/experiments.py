"""The paper's three experiments (sec. 7), each one command, without the service:

    python examples/experiments.py texture PICTURE...             Experiment 1, each picture a model of its own
    python examples/experiments.py object FOLDER                  Experiment 2, all pictures together
    python examples/experiments.py autoencoder FOLDER             Experiment 3, all pictures together

Each takes the preset of its name with -cpu, minutes on two cores; --preset texture, object or autoencoder has the
paper's own settings, which want a GPU. TrainingSet and figures go to --out.
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
    asked = _arguments()
    params = PRESETS[asked.preset or f"{asked.experiment}-cpu"].model_copy(update={"seed": asked.seed})
    params = LearningParams.model_validate({**params.model_dump(), **dict(asked.set)})
    files = _files(asked.pictures)
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.experiment == "texture":
        figures = [_texture(file, params, asked) for file in files]
    elif asked.experiment == "object":
        figures = [_objects(files, params, asked)]
    else:
        figures = [_scenes(files, params, asked)]
    report = {"experiment": asked.experiment, "params": params.model_dump(mode="json"), "results": figures}
    (asked.out / f"{asked.experiment}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    for result in figures:
        sys.stdout.write(json.dumps(result) + "\n")


def _texture(file: Path, params: LearningParams, asked: argparse.Namespace) -> dict[str, object]:
    """Experiment 1: the picture, and what the chains synthesized."""
    pixels = _read([file], params, asked)
    state, levels, seconds = _learn(pixels, params, asked)
    made = _shown(state, params, levels)
    _save(asked.out / f"texture-{file.stem}.png", [*pixels.to(torch.uint8), *made], columns=1 + len(made))
    near = sum(distance_ratio(one.float(), pixels[0]) for one in made) / len(made)
    learned_from, _ = prepare_for(params, pixels)
    contrast = float(state.chains.square().mean().sqrt() / learned_from.square().mean().sqrt())
    return {"picture": file.name, "distance_ratio": near, "contrast": contrast, **_common(state, seconds)}


def _objects(files: Sequence[Path], params: LearningParams, asked: argparse.Namespace) -> dict[str, object]:
    """Experiment 2: is each synthesized object near a training picture, and are they as different from one another?"""
    if len(files) < 2:
        raise SystemExit("Experiment 2 learns from several aligned pictures of one kind of object; one was given")
    pixels = _read(files, params, asked)
    state, levels, seconds = _learn(pixels, params, asked)
    made = _shown(state, params, levels)
    _save(asked.out / "object.png", [*pixels.to(torch.uint8)[: len(made)], *made], columns=6)
    real, synthesized = pixels.flatten(1), made.float().flatten(1)
    scale = real.shape[1] ** 0.5  # root mean square distances, in grey levels
    nearest = torch.cdist(synthesized, real).min(dim=1).values / scale
    return {
        "nearest_training_picture": nearest.mean().item(),
        "farthest_from_its_nearest": nearest.max().item(),
        "median_between_training_pictures": torch.pdist(real).median().item() / scale,
        "median_between_synthesized": torch.pdist(synthesized).median().item() / scale,
        **_common(state, seconds),
    }


def _scenes(files: Sequence[Path], params: LearningParams, asked: argparse.Namespace) -> dict[str, object]:
    """Experiment 3: the training pictures, reconstructed in one pass."""
    pixels = _read(files, params, asked)
    state, levels, seconds = _learn(pixels, params, asked)
    images = levels.standardize(pixels).to(state.chains.device)
    made = to_pixels(reconstruct(state.net, images, params.boundary), levels)
    _save(asked.out / "autoencoder.png", [*pixels.to(torch.uint8), *made], columns=len(pixels))
    errors = (made.float() - pixels).square().flatten(1).mean(dim=1)
    psnr = 10 * torch.log10(PEAK**2 / errors)
    return {"mean_psnr": psnr.mean().item(), "psnr": psnr.tolist(), **_common(state, seconds)}


def _learn(pixels: Tensor, params: LearningParams, asked: argparse.Namespace) -> tuple[TrainingState, Levels, float]:
    """Algorithm 1, telling of its way on stderr -> what it learned, how to come back to grey levels, seconds."""
    images, levels = prepare_for(params, pixels)
    began_at = time.monotonic()

    def tell(progress: TrainingProgress, _: TrainingState) -> None:
        if progress.step % 50 == 0:
            health = progress.health
            sys.stderr.write(f"\r{progress.fraction:4.0%}  std {health.chain_std:.0f} of {health.data_std:.0f}  ")

    state = learn(TrainingSet.of(images.to(asked.device), levels), params, callback=tell)
    sys.stderr.write("\n")
    return state, levels, time.monotonic() - began_at


def _shown(state: TrainingState, params: LearningParams, levels: Levels) -> Tensor:
    return to_pixels(render_chains(state.net, state.chains, params), levels)[
        ..., : params.image_size, : params.image_size
    ]


def _read(files: Sequence[Path], params: LearningParams, asked: argparse.Namespace) -> Tensor:
    channels = 1 if asked.grey else 3
    return torch.stack([read_picture(file.read_bytes(), params.image_size, channels) for file in files])


def _common(state: TrainingState, seconds: float) -> dict[str, object]:
    return {"recoveries": state.recoveries, "seconds": round(seconds, 1)}


def _save(path: Path, pictures: Sequence[Tensor], columns: int) -> None:
    path.write_bytes(write_picture(sheet(pictures, columns)))


def _files(named: Sequence[Path]) -> list[Path]:
    files = [
        file
        for path in named
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise SystemExit(f"no pictures ({', '.join(SUFFIXES)}) in {', '.join(map(str, named))}")
    return files


def _setting(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    return name, json.loads(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=("texture", "object", "autoencoder"))
    parser.add_argument("pictures", nargs="+", type=Path, help="files or folders")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="default: the experiment's, for two cores")
    parser.add_argument("--set", action="append", default=[], type=_setting, metavar="NAME=JSON", help="a setting")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grey", action="store_true", help="learn grey levels only")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("experiments-output"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
