"""The demo learns, samples and downloads."""

import runpy
import subprocess
import sys
from pathlib import Path

from PIL import Image
from support.service import Service

from core.recipe.presets import PRESETS
from core.schemas.learning import LearningParams

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_the_demo_leaves_tiles_and_a_model(service: Service, tmp_path: Path) -> None:
    smallest = ("--preset", "quick", "--size", "48")
    command = [sys.executable, DEMO, "--url", str(service.http.base_url), "--out", tmp_path, *smallest]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    tiles = [tmp_path / "sampled" / f"synthesized-00{index}.png" for index in range(2)]
    for tile in tiles:
        with Image.open(tile) as picture:
            assert picture.size == (48, 48)
    assert (tmp_path / "learned" / "synthesized-000.png").exists()
    assert len(list(tmp_path.glob("model_*.safetensors"))) == 1


def test_the_demo_shortens_every_stage_of_its_preset() -> None:
    shortened = runpy.run_path(str(DEMO))["SHORT"]
    photo = PRESETS["photo"].model_dump()
    assert all(0 < iterations < photo[name] for name, iterations in shortened.items())
    assert LearningParams.model_validate({**photo, "image_size": 256, **shortened}).stages == 3
