"""The benchmarks run to the end, and the methods they compare with match their papers. No test measures time."""

import json
import math
import re
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import conditions
import in_full
import layers
import methods
import operations
import peers
import processes
import pytest
import quality
import real_jobs
import samplers
import shards
import speed
import speed_report
import torch
import winograd
from PIL import Image
from quilting import quilt
from random_phase import periodic_component, random_phase
from samplers import noise_pictures

from core.engine import choose_engine, has_bfloat16
from core.pictures.images import write_picture
from core.recipe.presets import PRESETS
from core.recipe.recovery import LearningDiverged
from core.runtime.processes import core_count
from core.schemas.learning import LearningParams
from core.theory.learning import architecture_of
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet

ROOT = Path(__file__).parents[1]


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def noise(*shape):
    return 128 + 30 * torch.randn(shape, generator=generator(7), dtype=torch.float64)


@pytest.mark.parametrize("sides", [(32, 32), (31, 40)])
def test_random_phase_keeps_the_periodic_components_power_spectrum_and_the_mean(sides):
    picture = noise(3, *sides)
    texture = random_phase(picture, generator())
    kept, given = (torch.fft.fft2(one) for one in (texture, periodic_component(picture)))
    assert torch.allclose(kept.abs(), given.abs(), rtol=1e-9, atol=1e-9)
    assert torch.allclose(texture.mean(dim=(1, 2)), picture.mean(dim=(1, 2)))
    cross = [one[0] * one[1].conj() for one in (kept, given)]
    assert torch.allclose(*cross, rtol=1e-6, atol=1e-6), "all channels get the same phase"
    assert (texture - periodic_component(picture)).abs().mean() > 10
    assert not torch.allclose(texture, random_phase(picture, generator(2)))


@pytest.mark.parametrize("sides", [(16, 16), (9, 14)])
def test_the_laplacian_of_the_smooth_component_equals_the_jumps(sides):
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


def test_quilting_copies_overlapping_blocks_of_the_picture():
    """Each pixel is its own number. Inside a block, away from its overlaps, the numbers run on as in the picture."""
    side, block, overlap = 40, 12, 4
    picture = torch.arange(float(side**2)).reshape(1, side, side)
    quilted = quilt(picture, generator(), block, overlap)[0]
    assert quilted.shape == (side, side)
    assert set(quilted.flatten().tolist()) <= set(picture.flatten().tolist())
    steps = torch.arange(overlap)[:, None] * side + torch.arange(overlap)
    for top in range(overlap, side - overlap, block - overlap):
        for left in range(overlap, side - overlap, block - overlap):
            core = quilted[top : top + overlap, left : left + overlap]
            assert torch.equal(core, core[0, 0] + steps), "no overlap reaches here"


def test_quilting_does_not_copy_the_whole_picture_and_depends_on_its_generator():
    picture = noise(3, 64, 64).round().float()
    quilted = quilt(picture, generator())
    assert quilted.shape == picture.shape
    assert torch.equal(quilted, quilt(picture, generator()))
    assert not torch.equal(quilted, quilt(picture, generator(2)))
    assert (quilted != picture).float().mean() > 0.5


TINY = (
    "iterations=2",
    "num_chains=2",
    "langevin_steps=1",
    "picture_noise=0",
    'layers=[{"filters": 4, "kernel_size": 6, "stride": 3}]',
)


def test_quality_runs_from_pictures_to_report(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(methods, "MAX_DRAWS", 3)  # as many as the contact sheet shows
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
        measured = dict(result["quality"])
        assert measured.pop("structure") is None, "the pictures are too small for it"
        assert all(math.isfinite(value) for value in measured.values())
        assert (result["seconds"] is not None) is (result["method"] == "ConvNet")
    assert {len(line) for line in printed.out.splitlines()} == {len(printed.out.splitlines()[0])}
    with Image.open(out / "contact-sheet.png") as sheet:
        assert sheet.size == (8 * 49 + 7 * 2, 2 * 49 + 2)


def test_quality_continues_where_it_was_cut_off(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(methods, "MAX_DRAWS", 1)
    picture = str(ROOT / "examples" / "texture.png")
    options = [picture, "--size", "49", "--out", str(tmp_path), "--set", *TINY]
    assert quality.main([*options, "--seed", "1"]) == 0
    first = capsys.readouterr().out
    learn, learned = methods.learn, []
    monkeypatch.setattr(methods, "learn", lambda picture, params: learned.append(params.seed) or learn(picture, params))
    assert quality.main([*options, "--seed", "1", "2"]) == 0
    both = capsys.readouterr().out
    assert learned == [2]
    assert both.splitlines()[2:6] == first.splitlines()[2:6]
    assert quality.main([*options, "langevin_steps=2", "--seed", "1"]) == 0
    assert learned == [2, 1], "other parameters are other figures"


def test_quality_reports_learning_that_diverges_and_counts_it_as_the_worst(tmp_path, capsys, monkeypatch):
    def diverge(*_, **__):
        raise LearningDiverged("again and again")

    monkeypatch.setattr(methods.Learner, "iterate", diverge)
    monkeypatch.setattr(methods, "MAX_DRAWS", 1)
    picture = str(ROOT / "examples" / "texture.png")
    report = tmp_path / "elsewhere.json"
    options = ["--size", "48", "--seed", "1", "2", "--out", str(tmp_path), "--json", str(report)]
    assert quality.main([picture, *options]) == 0
    printed = capsys.readouterr().out
    assert printed.count("diverged") == 2 * 2
    assert printed.count("inf") == 2 * 2 * 2, (
        "median and worst distance and structure, of the chains and of sampled pictures"
    )
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
def test_quality_refuses_invalid_options_before_it_learns(arguments, reason, capsys):
    with pytest.raises(SystemExit):
        quality.main(arguments)
    assert reason in capsys.readouterr().err


def test_shards_compares_the_pictures_of_all_workers(capsys, monkeypatch, service):
    monkeypatch.setattr(shards, "ITERATIONS", 1)
    monkeypatch.setattr(shards, "running_service", lambda *_: nullcontext(service.http))
    tiny = ["--preset", "quick", "--workers", "1", "--count", "9", "--size", "32", "--steps", "1", "--repeat", "1"]
    assert shards.main(tiny) == 0
    header, _, *lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[::4] for row in cells] == [["1", "yes"]] * 2
    assert [row[1] for row in cells] == [str(core_count()), "shared"]
    assert {len(line) for line in lines} == {len(header)}


def small_yardsticks():
    small = {"image_size": 48, "layers": [{"filters": 4, "kernel_size": 9, "stride": 3}]}
    return {"quick": LearningParams.model_validate({**real_jobs.YARDSTICKS["quick"].model_dump(), **small})}


def test_the_peers_iteration_sees_as_many_places_as_ours():
    """Their energy on the torus is that of our net: the same gradient, the chains' and the training pictures'."""
    params = small_yardsticks()["quick"]
    net = GenerativeConvNet(architecture_of(params, 3), generator()).double()
    chains, images = noise(2, 3, 48, 48) - 128, noise(1, 3, 48, 48) - 128
    score = -peers.PlainNet(net, periodic=True)(chains) + 0.5 * (chains / 10).square().sum(dim=(1, 2, 3))
    assert torch.allclose(score, net.score(chains, "torus"), rtol=1e-9)
    learner = peers.PeerLearner(net, images, chains, params, peers.peer_samplers()[speed.LOOP])
    before = learner.energy.layers[0].weight.detach().clone()
    learner.update()
    assert not torch.equal(learner.chains, chains)
    assert not torch.equal(learner.energy.layers[0].weight, before)


def test_an_iteration_costs_its_steps_and_two_gradients():
    params = small_yardsticks()["quick"]
    position = 2 * 4 * 3 * 81  # one layer: nothing goes down past its responses
    chain, picture = position * 16**2, position * 14**2  # on the torus, and on the plane
    found = operations.of_iteration(architecture_of(params, 3), params, chains=5, pictures=7)
    assert found == 5 * (2 * 2 * chain + 2 * chain) + 7 * 2 * picture


def test_speed_reports_every_figure(tmp_path, capsys, monkeypatch):
    """All code runs once, at a small size, but times are made up: 1 s for the first task, 2 s for the second."""

    def made_up_seconds(tasks, *_):
        for task in tasks.values():
            task()
        return {name: float(index) for index, name in enumerate(tasks, start=1)}

    def growth_in_this_process(device, precision, turns, _):
        cases = [(speed.CHAINS, speed.SIZE), (1, speed.SIZE), (1, 64), (1, 40)]
        return [
            speed.measure_step(name, *case, str(device), precision, turns)
            for case in cases
            for name in ("ours", speed.LOOP)
        ]

    replaced = {"SIZE": 48, "CHAINS": 2, "MATRIX": 64, "measure_growth": growth_in_this_process}
    demo = {"measure_demo": lambda _: {"sampling, download": 5.0}}  # tests/acceptance/test_demo.py runs it
    for name, value in {**replaced, **demo, "median_seconds": made_up_seconds}.items():
        monkeypatch.setattr(speed, name, value)
    for name, value in {"CANVAS": 48, "YARDSTICKS": small_yardsticks(), "median_seconds": made_up_seconds}.items():
        monkeypatch.setattr(real_jobs, name, value)
    report = tmp_path / "elsewhere.json"
    with torch.backends.cudnn.flags(enabled=True):
        assert speed.main(["--turns", "1", "--device", "cpu", "--out", str(tmp_path), "--json", str(report)]) == 0
    found = json.loads(report.read_text())
    others = [name for name in (speed.TORCHEBM, speed.LOOP) if name in found["step_seconds"]]
    fast = [speed.FLOAT32, samplers.BFLOAT16] if has_bfloat16(torch.device("cpu")) else [speed.FLOAT32]
    ours = ["ours, reference", *fast, "ours", "noise"]
    assert list(found["step_seconds"]) == [*others, *ours]
    assert (found["ratio_to_torchebm"] is None) == (find_spec("torchebm") is None)
    # The loop comes after torchebm, `ours` after the reference and the fast ways, then the noise and the products.
    loop, steps, mine = len(others), speed.STEPS, len(others) + len(fast) + 2
    assert found["step_seconds"]["ours"] == pytest.approx(mine / steps)
    assert found["ratio_to_loop"] == pytest.approx(loop / mine)
    assert found["ratio_to_loop_in_float32"] == pytest.approx(loop / (loop + 2))
    assert found["noise_share"] == pytest.approx((mine + 1) / mine)
    precision = choose_engine("auto", torch.device("cpu")).precision
    product_seconds = {"float32": mine + 2, "bfloat16": mine + 4}[precision]
    floor = found["gflop"] * 1e9 / (speed.PRODUCTS * 2 * 64**3) * product_seconds
    assert found["floor_seconds"] == pytest.approx(floor)
    assert found["share_of_floor"] == pytest.approx(floor / found["step_seconds"]["ours"])
    assert found["iteration_to_its_steps"] == 1 / 2
    assert [row["seconds"] for row in found["growth"]] == [1 / 2] * 8
    assert found["precision"] == precision
    for jobs in found["jobs"].values():
        assert list(jobs) == ["quick"]
        assert list(jobs["quick"]["seconds"]) == ["ours", *others]
        assert jobs["quick"]["ratios"][speed.LOOP] == pytest.approx(len(others) + 1)
    assert found["canvas"]["ratios"][speed.LOOP] == 2
    assert found["demo"] == {"sampling, download": 5.0}
    assert found["graphs"] is False
    printed = capsys.readouterr()
    assert (tmp_path / "speed.md").read_text() == printed.out
    assert ("torchebm is not installed" in printed.err) == (find_spec("torchebm") is None)
    with Image.open(tmp_path / "speed.png") as plotted:
        assert plotted.size[0] > plotted.size[1]


def test_whole_jobs_are_run_and_profiled(tmp_path, monkeypatch):
    small = {"image_size": 24, "iterations": 2, "num_chains": 2, "layers": PRESETS["quick"].layers[:1]}
    monkeypatch.setitem(PRESETS, "texture", PRESETS["texture"].model_copy(update=small))
    short = {"quick": small_yardsticks()["quick"].model_copy(update={"iterations": 2})}
    monkeypatch.setattr(in_full, "YARDSTICKS", short)
    for name, value in {"LARGE_CANVAS": 60, "DEFAULT_STEPS": 2, "PROFILED_STEPS": 1, "PROFILED_ITERATIONS": 1}.items():
        monkeypatch.setattr(in_full, name, value)
    monkeypatch.setattr(in_full, "noise_pictures", lambda *_: noise_pictures(1, 48, torch.device("cpu")))
    found = in_full.run_in_full(torch.device("cpu"), "float32", tmp_path)
    assert found["quick"]["equal"]
    assert found["canvas"]["side"] == 60
    assert [Path(path).name for path in found["profiles"]] == ["profile-steps.txt", "profile-iterations.txt"]
    assert all("convolution" in Path(path).read_text() for path in found["profiles"])
    with Image.open(tmp_path / "experiment-1.png") as chains:
        assert min(chains.size) >= 24
    text = speed_report.in_full(found)
    assert "the same chains" in text
    assert "A canvas of 60 x 60 in 2 steps" in text


def test_winograds_algorithm_is_the_convolution():
    images = noise(2, 3, 12, 10) - 128
    weight = noise(5, 3, 3, 3) - 128
    found = winograd.convolve(images.contiguous(memory_format=torch.channels_last), winograd.transform_filters(weight))
    assert torch.allclose(found, torch.nn.functional.conv2d(images, weight), rtol=1e-10)
    row = winograd.compare(1, 3, 4, 8, turns=1)
    assert row[0] == "1, 3, 4, 8"
    assert float(row[-1]) < 1e-5


def test_layers_times_each_way_through_a_layer():
    row = layers.measure(3, 4, 3, 8, torch.float32, turns=1)
    assert row[0] == "3, 4, 3, 8"
    assert len(row) == 1 + len(layers.WAYS)
    assert all(re.fullmatch(r"\d+\.\d\d \(\d+\)", cell) for cell in row[1:])


def test_step_operations_are_counted_by_hand():
    """One layer, 2 filters of 3 x 3 on one channel, stride 2: of 7 x 7 pixels a map of 3 x 3."""
    architecture = Architecture((ConvLayer(filters=2, kernel_size=3, stride=2),), channels=1, reference_std=1.0)
    assert operations.of_step(architecture, size=7) == 2 * 2 * (2 * 9 * 9)


def test_processes_estimates_bytes_and_operations_from_the_net():
    params = PRESETS["texture"]
    alone, eight = (processes.Estimate.of(params, count, pictures=1) for count in (1, 8))
    weights = 100 * 3 * 15**2 + 100 + 64 * 100 * 5**2 + 64 + 30 * 64 * 3**2 + 30
    assert eight.gradients == 3 * 4 * weights
    assert alone.pictures == 0
    assert eight.pictures == pytest.approx(7 / 8 * 4 * 3 * 225**2 * (3 * 16 + 1))
    layers = [100 * 3 * 15**2, 64 * 100 * 5**2, 30 * 64 * 3**2]
    step, gradient = (2 * 75**2 * passes for passes in (2 * sum(layers), 2 * sum(layers) + sum(layers[1:])))
    picture = operations.of_gradient(architecture_of(params, 3), 224)
    assert picture < gradient, "on the plane"
    assert alone.largest_share == alone.whole == 16 * (10 * step + gradient) + picture
    assert eight.largest_share == 2 * (10 * step + gradient) + picture
    assert processes.main(["--estimate", "8"]) == 0


def test_conditions_reports_a_step_under_each(capsys):
    conditions.main(["--side", "48", "--turns", "1", "--threads", "1"])
    lines = capsys.readouterr().out.splitlines()[4:]
    ratios = {name.strip(): float(ratio) for _, name, _, ratio, _ in (line.split("|") for line in lines)}
    assert ratios["no condition"] == 1
    assert list(ratios)[2:] == ["known pixels", "a guide", "two models, each half"]
    assert all(ratio > 0 for ratio in ratios.values())
