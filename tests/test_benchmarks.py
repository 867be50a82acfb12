"""The benchmarks run, and what they compare with is what its papers say."""

import itertools
import json
import math
from importlib.util import find_spec
from pathlib import Path

import pytest
import quality
import shards
import speed
import torch
from PIL import Image
from quilting import beyond_the_cut, quilt
from random_phase import periodic_component, random_phase

from core.engine import choose_engine
from core.pictures.images import write_picture
from core.recipe.recovery import LearningDiverged

ROOT = Path(__file__).parents[1]


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def noise(*shape):
    return 128 + 30 * torch.randn(shape, generator=generator(7), dtype=torch.float64)


@pytest.mark.parametrize("sides", [(32, 32), (31, 40)])
def test_random_phase_keeps_the_periodic_components_power_spectrum_and_the_mean(sides):
    picture = noise(3, *sides)
    made = random_phase(picture, generator())
    kept, given = (torch.fft.fft2(one) for one in (made, periodic_component(picture)))
    assert torch.allclose(kept.abs(), given.abs(), rtol=1e-9, atol=1e-9)
    assert torch.allclose(made.mean(dim=(1, 2)), picture.mean(dim=(1, 2)))
    cross = [one[0] * one[1].conj() for one in (kept, given)]
    assert torch.allclose(*cross, rtol=1e-6, atol=1e-6), "the channels turn together"
    assert (made - periodic_component(picture)).abs().mean() > 10
    assert not torch.allclose(made, random_phase(picture, generator(2)))


@pytest.mark.parametrize("sides", [(16, 16), (9, 14)])
def test_the_smooth_component_has_the_pictures_jumps_for_its_laplacian(sides):
    picture = noise(1, *sides)
    smooth = picture - periodic_component(picture)
    neighbours = sum(smooth.roll(shift, axis) for shift in (1, -1) for axis in (1, 2))
    jumps = torch.zeros_like(picture)
    for axis, side in zip((1, 2), sides, strict=True):
        jump = picture.select(axis, side - 1) - picture.select(axis, 0)
        jumps.select(axis, 0).add_(jump)
        jumps.select(axis, side - 1).sub_(jump)
    assert torch.allclose(neighbours - 4 * smooth, jumps, atol=1e-9)
    assert smooth.mean() == pytest.approx(0, abs=1e-9)


def test_quilting_lays_blocks_of_the_picture_that_overlap():
    """Each pixel bears its own number: in a block, beside its overlaps, they follow one another as in the picture."""
    side, block, overlap = 40, 12, 4
    picture = torch.arange(float(side**2)).reshape(1, side, side)
    made = quilt(picture, generator(), block, overlap)[0]
    assert made.shape == (side, side)
    assert set(made.flatten().tolist()) <= set(picture.flatten().tolist())
    steps = torch.arange(overlap)[:, None] * side + torch.arange(overlap)
    for top in range(overlap, side - overlap, block - overlap):
        for left in range(overlap, side - overlap, block - overlap):
            core = made[top : top + overlap, left : left + overlap]
            assert torch.equal(core, core[0, 0] + steps), "no overlap reaches here"


def test_quilting_does_not_copy_the_whole_picture_and_obeys_its_generator():
    picture = noise(3, 64, 64).round().float()
    made = quilt(picture, generator())
    assert made.shape == picture.shape
    assert torch.equal(made, quilt(picture, generator()))
    assert not torch.equal(made, quilt(picture, generator(2)))
    assert (made != picture).float().mean() > 0.5


def test_the_cut_is_the_cheapest_of_all_paths():
    difference = torch.rand(5, 4, generator=generator(3))
    paths = [
        path
        for path in itertools.product(range(4), repeat=5)
        if all(abs(here - there) <= 1 for here, there in itertools.pairwise(path))
    ]
    best = min(paths, key=lambda path: sum(float(difference[row, column]) for row, column in enumerate(path)))
    expected = torch.arange(4) >= torch.tensor(best)[:, None]
    assert torch.equal(beyond_the_cut(difference), expected)


TINY = (
    "iterations=2",
    "num_chains=2",
    "langevin_steps=1",
    "picture_noise=0",
    'layers=[{"filters": 4, "kernel_size": 6, "stride": 3}]',
)


def test_the_quality_benchmark_from_pictures_to_its_report(tmp_path, capsys):
    colour = tmp_path / "colour.png"
    colour.write_bytes(write_picture(noise(3, 50, 60).clamp(0, 255).to(torch.uint8)))
    out = tmp_path / "out"
    pictures = [str(ROOT / "examples" / "texture.png"), str(colour)]
    code = quality.main([*pictures, "--size", "49", "--seed", "2", "--out", str(out), "--set", *TINY])
    printed = capsys.readouterr()
    assert code == 0
    assert printed.out == (out / "quality.md").read_text()
    assert [line.split(":")[0] for line in printed.err.splitlines()] == ["texture, seed 2", "colour, seed 2"]
    report = json.loads((out / "quality.json").read_text())
    assert (report["preset"], report["params"]["image_size"], report["params"]["iterations"]) == ("texture-cpu", 49, 2)
    results = report["results"]
    assert len(results) == 2 * 4
    assert len(printed.out.splitlines()) == 2 + len(results) + 2 * 4
    for result in results:
        assert all(math.isfinite(value) for value in result["quality"].values())
        assert (result["seconds"] is not None) is (result["method"] == "ConvNet")
    assert {len(line) for line in printed.out.splitlines()} == {len(printed.out.splitlines()[0])}
    with Image.open(out / "contact-sheet.png") as sheet:
        assert sheet.size == (8 * 49 + 7 * 2, 2 * 49 + 2)


def test_learning_that_diverges_is_told_and_counts_as_the_worst(tmp_path, capsys, monkeypatch):
    def diverge(*_, **__):
        raise LearningDiverged("again and again")

    monkeypatch.setattr(quality.Learner, "iterate", diverge)
    picture = str(ROOT / "examples" / "texture.png")
    report = tmp_path / "elsewhere.json"
    told = ["--size", "48", "--seed", "1", "2", "--out", str(tmp_path), "--json", str(report)]
    assert quality.main([picture, *told]) == 0
    assert capsys.readouterr().out.count("diverged") == 2 * 2
    results = json.loads(report.read_text())["results"]
    assert [(result["seed"], result["quality"] is None) for result in results if result["method"] == "ConvNet"] == [
        (1, True),
        (2, True),
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--size", "32"), "need 48 pixels"),
        (("--set", "iterations"), "not of the form"),
        (("--set", "iterations=none"), "iterations"),
        (("--set", "filters=3"), "filters"),
        (("--preset", "nonesuch"), "nonesuch"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_learned(arguments, reason, capsys):
    with pytest.raises(SystemExit):
        quality.main(arguments)
    assert reason in capsys.readouterr().err


def test_the_benchmark_of_shards_draws_the_same_pictures_by_every_worker(capsys):
    tiny = ["--preset", "quick", "--workers", "1", "--count", "9", "--size", "32", "--steps", "1", "--repeat", "1"]
    assert shards.main(tiny) == 0
    header, _, *lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert [cell.strip() for cell in lines[0].strip("|").split("|")][::4] == ["1", "yes"]
    assert len(header) == len(lines[0])


def test_the_benchmark_of_speed_tells_every_figure(tmp_path, capsys, monkeypatch):
    """Everything at a small size; what it measures each in a process of its own, here in this one."""

    def growth(device, precision, turns, _):
        cases = [(speed.CHAINS, speed.SIZE), (1, speed.SIZE), (1, 64), (1, 40)]
        return [
            speed.measured(name, *one, str(device), precision, turns) for one in cases for name in ("ours", speed.LOOP)
        ]

    for name, value in {"SIZE": 48, "CHAINS": 2, "MATRIX": 64, "growth": growth}.items():
        monkeypatch.setattr(speed, name, value)
    report = tmp_path / "elsewhere.json"
    with torch.backends.cudnn.flags(enabled=True):
        assert speed.main(["--turns", "1", "--device", "cpu", "--out", str(tmp_path), "--json", str(report)]) == 0
    found = json.loads(report.read_text())
    peers = [name for name in (speed.TORCHEBM, speed.LOOP) if name in found["step_seconds"]]
    ours = ["ours, reference", speed.FLOAT32, "ours, fast, bfloat16", "ours", "noise"]
    assert list(found["step_seconds"]) == [*peers, *ours]
    assert all(seconds > 0 for seconds in found["step_seconds"].values())
    assert (found["ratio_to_torchebm"] is None) == (find_spec("torchebm") is None)
    step = found["step_seconds"]
    assert found["ratio_to_loop"] == pytest.approx(step[speed.LOOP] / step["ours"])
    assert found["share_of_floor"] == pytest.approx(found["floor_seconds"] / step["ours"])
    assert found["noise_share"] == pytest.approx(step["noise"] / step["ours"])
    assert found["iteration_to_its_steps"] > 0
    assert found["precision"] == choose_engine("auto", torch.device("cpu")).precision
    assert found["graphs"] is False
    printed = capsys.readouterr()
    assert (tmp_path / "speed.md").read_text() == printed.out
    assert ("without torchebm" in printed.err) == (find_spec("torchebm") is None)
    with Image.open(tmp_path / "speed.png") as plotted:
        assert plotted.size[0] > plotted.size[1]
