"""How fast chains move: a Langevin step our ways, our peers' ways and the machine's own limit, side by side in one run.

    python benchmarks/speed.py [--device cuda] [--precision auto] [--json FILE] [--quick]

Prints tables; writes them, a plot and the figures to --out. Times are of one step of 16 chains of 225 x 225 pixels
through the three layers of Experiment 1, unless a table says otherwise. The ways take turns, so that a machine whose
speed drifts drifts for all of them; each figure is the median of its turns.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from peers import Run, autograd_loop, torchebm_sampler
from torch import Tensor
from torch.nn import functional

from core.engine import FastEngine, ReferenceEngine, choose_engine
from core.engine.dynamics import Dynamics
from core.engine.fast import can_capture_graphs
from core.engine.noise import noise_per_picture
from core.engine.parallel import parallel_map
from core.pictures.images import Levels, read_picture, sheet, to_pixels, write_picture
from core.pictures.quality import distance_ratio
from core.pictures.training_set import TrainingSet
from core.recipe.diagnosis import find_warnings
from core.recipe.learner import Learner
from core.recipe.preparation import prepare_for
from core.recipe.presets import PRESETS
from core.recipe.rendering import render_chains
from core.theory.learning import architecture_of
from core.theory.model import Architecture, GenerativeConvNet

TEXTURE = Path(__file__).parents[1] / "examples" / "texture.png"
SIZE, CHAINS, STEP_SIZE = 225, 16, 0.3
CHAIN_COUNTS = (1, 4, 16, 64)
SIZES = (64, 128, 256, 512, 1024)
MATRIX = 4096
TORCHEBM, LOOP, FLOAT32 = "torchebm 0.8.9", "loop of ebm-anatomy", "ours, fast, float32"
FIGURES = (
    *("ratio_to_torchebm", "ratio_to_torchebm_in_float32", "ratio_to_loop", "ratio_to_loop_in_float32"),
    *("share_of_floor", "noise_share", "iteration_to_its_steps"),
)
PLANE = Dynamics(STEP_SIZE, "valid")


@dataclass(frozen=True)
class Row:
    """One line of a table. seconds: of a step; peak_mib: what it needs beyond the process that is ready to begin."""

    name: str
    chains: int
    size: int
    seconds: float
    peak_mib: float | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    asked = read_arguments(arguments)
    device = torch.device(asked.device)
    report: dict[str, Any] = {
        "machine": machine(device),
        "torch": torch.__version__,
        "precision": choose_engine(asked.precision, device).precision,
        "graphs": can_capture_graphs(device),
    }
    report |= compare(device, asked.precision, asked.turns)
    report |= learning(device, asked.precision, asked.turns)
    report["growth"] = [asdict(row) for row in growth(device, asked.precision, asked.turns, asked.quick)]
    if asked.full:
        report["experiment_1"] = experiment_in_full(device, asked.precision, asked.out)
    if report["ratio_to_torchebm"] is None:
        sys.stderr.write("without torchebm, which the extra `bench` installs: nothing is compared with it\n")
    text = markdown(report)
    sys.stdout.write(text)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "speed.md").write_text(text)
    (asked.json or asked.out / "speed.json").write_text(json.dumps(report, indent=1) + "\n")
    plot(report["growth"], asked.out / "speed.png")
    return 0


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="of our engine")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="the smaller half of the sizes alone")
    parser.add_argument("--full", action="store_true", help="also Experiment 1 at the paper's size: 21,000 steps")
    parser.add_argument("--out", type=Path, default=Path("benchmark-output"), help="folder")
    parser.add_argument("--json", type=Path, help="another place for speed.json")
    return parser.parse_args(arguments)


def experiment_1(device: torch.device) -> GenerativeConvNet:
    net = GenerativeConvNet(architecture_of(PRESETS["texture"], 3), torch.Generator().manual_seed(1))
    return net.to(device)


def pictures(chains: int, size: int, device: torch.device) -> Tensor:
    return 30 * torch.randn(chains, 3, size, size, generator=torch.Generator().manual_seed(2)).to(device)


def ways(net: GenerativeConvNet, precision: str) -> dict[str, Run]:
    """Everything that runs chains, by its name; ours under `precision` the last."""
    device = net.weights[0].device
    engines = {
        "ours, reference": ReferenceEngine(),
        FLOAT32: FastEngine(),
        "ours, fast, bfloat16": FastEngine(torch.bfloat16),
    }
    peers = {TORCHEBM: torchebm_sampler(net, STEP_SIZE), LOOP: autograd_loop(net, STEP_SIZE)}
    found = {name: run for name, run in peers.items() if run is not None}
    for name, engine in engines.items():
        found[name] = partial(_run, engine, net, torch.Generator(device).manual_seed(3))
    found["ours"] = partial(_run, choose_engine(precision, device), net, torch.Generator(device).manual_seed(3))
    return found


def _run(engine: Any, net: GenerativeConvNet, generator: torch.Generator, images: Tensor, steps: int) -> Tensor:
    return engine.run(net, images, steps, PLANE, generator)


def operations(architecture: Architecture, chains: int, size: int) -> int:
    """Floating-point operations of B: a multiplication and an addition for every weight and position, up and down."""
    below, count = architecture.channels, 0
    for layer, side in zip(architecture.layers, architecture.map_sizes(size), strict=True):
        count += 2 * layer.filters * below * layer.kernel_size**2 * side**2
        below = layer.filters
    return 2 * chains * count


def in_turns(ways: dict[str, Callable[[], object]], turns: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each, after one turn that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, do in ways.items():
            began_at = time.perf_counter()
            do()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                seconds[name].append(time.perf_counter() - began_at)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def compare(device: torch.device, precision: str, turns: int) -> dict[str, Any]:
    """One step of every way, the draw of its noise alone, and the machine's matrix rates, in one run.

    Recording a CUDA graph is not counted: a turn before the first pays for it. On a GPU peers may use TF32, which is
    PyTorch's own choice for them; ours never does. `noise` is drawn by itself, which the engine does not do: on the
    processor one thread draws while another multiplies, on a GPU it is part of the step's kernel. Its share is an upper
    bound.
    """
    torch.backends.cudnn.benchmark = True  # for the peers; ours chooses no kernel by the clock
    net, images = experiment_1(device), pictures(CHAINS, SIZE, device)
    steps = 100 if device.type == "cuda" else PRESETS["texture"].langevin_steps
    timed: dict[str, Callable[[], object]] = {
        name: partial(run, images, steps) for name, run in ways(net, precision).items()
    }
    timed["noise"] = partial(_times, steps, noise_alone(images))
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        matrix = torch.randn(MATRIX, MATRIX, device=device).to(dtype)
        timed[f"matrix {name}"] = partial(_times, steps, partial(torch.mm, matrix, matrix))
        side = int(MATRIX**0.5)
        maps = matrix.t().reshape(1, MATRIX, side, side).contiguous(memory_format=torch.channels_last)
        timed[f"1 x 1 {name}"] = partial(_times, steps, partial(functional.conv2d, maps, matrix[:, :, None, None]))
    seconds = in_turns(timed, turns, device)
    # The same product by two libraries: on some processors the one for matrices is the slower.
    rates = {
        name: steps * 2 * MATRIX**3 / min(seconds.pop(f"matrix {name}"), seconds.pop(f"1 x 1 {name}"))
        for name in ("float32", "bfloat16")
    }
    step = {name: taken / steps for name, taken in seconds.items()}
    flops = operations(net.architecture, CHAINS, SIZE)
    used = choose_engine(precision, device).precision
    floor = flops / rates[used]
    found = {
        "gflop": flops / 1e9,
        "matrix_gflops": {name: rate / 1e9 for name, rate in rates.items()},
        "step_seconds": step,
        "floor_seconds": floor,
        "share_of_floor": floor / step["ours"],
        "noise_share": step["noise"] / step["ours"],
    }
    for name, peer in (("torchebm", TORCHEBM), ("loop", LOOP)):  # None where that is not installed
        found[f"ratio_to_{name}"] = step[peer] / step["ours"] if peer in step else None
        found[f"ratio_to_{name}_in_float32"] = step[peer] / step[FLOAT32] if peer in step else None
    return found


def noise_alone(images: Tensor) -> Callable[[], object]:
    """The draw of one step's noise, as fast as the device draws it."""
    drawn, generator = torch.empty_like(images), torch.Generator(images.device).manual_seed(4)
    if images.is_cuda:
        return partial(drawn.normal_, generator=generator)
    noises = noise_per_picture(generator, len(images))
    return lambda: parallel_map(lambda noise, one: noise.fill(one.flatten()), noises, drawn)


def _times(count: int, do: Callable[[], object]) -> None:
    for _ in range(count):
        do()


def learning(device: torch.device, precision: str, turns: int) -> dict[str, Any]:
    """An iteration of Algorithm 1 (ten steps and the update) beside its ten steps alone."""
    params = PRESETS["texture"].model_copy(
        update={"layerwise": False, "seed": 1, "precision": precision, "boundary": "valid", "image_size": SIZE}
    )
    learner = Learner(TrainingSet.of(pictures(1, SIZE, device), Levels(torch.full((3,), 127.0))), params)
    for _ in range(2):
        learner.update()
    chains, state = learner.state.chains, learner.state
    dynamics = Dynamics(params.step_size, params.boundary)

    def ten_steps() -> None:
        learner.engine.run(state.net, chains, params.langevin_steps, dynamics, state.generator)

    seconds = in_turns({"iteration": learner.update, "steps": ten_steps}, max(turns // 2, 1), device)
    return {"iteration_to_its_steps": seconds["iteration"] / seconds["steps"]}


def growth(device: torch.device, precision: str, turns: int, quick: bool) -> list[Row]:
    """Time and memory of a step over chains and sizes, ours beside the loop, and at the size above all ways.

    Each in a process of its own.
    """
    counts, sizes = (CHAIN_COUNTS[:3], SIZES[:3]) if quick else (CHAIN_COUNTS, SIZES)
    cases = [(count, SIZE) for count in counts] + [(1, size) for size in sizes]
    rows = []
    every = list(ways(experiment_1(device), precision))
    for chains, size in cases:
        for name in every if (chains, size) == (CHAINS, SIZE) else ("ours", LOOP):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows.append(pool.apply(measured, (name, chains, size, str(device), precision, turns)))
    return rows


def experiment_in_full(device: torch.device, precision: str, out: Path) -> dict[str, Any]:
    """Experiment 1 as printed: 16 chains of 224 x 224, three layers grown, 700 iterations of ten steps for each.

    Of examples/texture.png; what its chains held in the end goes to `out`.
    """
    params = PRESETS["texture"].model_copy(update={"seed": 1, "precision": precision})
    picture = read_picture(TEXTURE.read_bytes(), params.image_size, 3)[None].to(device)
    images, levels = prepare_for(params, picture)
    learner = Learner(TrainingSet.of(images, levels), params)
    before, began_at = bytes_now(device), time.perf_counter()
    for progress in learner.iterate():
        if progress.step % 100 == 0:
            sys.stderr.write(
                f"{progress.fraction:4.0%} after {time.perf_counter() - began_at:.0f} s, {progress.health}\n"
            )
    seconds, peak_mib = time.perf_counter() - began_at, (peak_bytes(device) - before) / 2**20
    made = to_pixels(render_chains(learner.state.net, learner.state.chains, params), levels)
    out.mkdir(parents=True, exist_ok=True)
    (out / "experiment-1.png").write_bytes(write_picture(sheet([*picture.cpu().to(torch.uint8), *made])))
    return {
        "seconds": seconds,
        "peak_mib": peak_mib,
        "recoveries": learner.state.recoveries,
        "remarks": find_warnings(learner.measure_health()),
        "distance_ratio": distance_ratio(made.float(), picture[0].cpu()),
    }


def measured(name: str, chains: int, size: int, device_name: str, precision: str, turns: int) -> Row:
    torch.backends.cudnn.benchmark = True
    device = torch.device(device_name)
    net, images = experiment_1(device), pictures(chains, size, device)
    run = ways(net, precision)[name]
    run(pictures(1, 64, device), 1)
    before = bytes_now(device)
    seconds = in_turns({name: partial(run, images, 2)}, max(turns // 2, 1), device)[name] / 2
    return Row(name, chains, size, seconds, (peak_bytes(device) - before) / 2**20)


def peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _of_status("VmHWM")  # not getrusage's: a new process begins with its parent's


def bytes_now(device: torch.device) -> int:
    """What is held now; the peak counts from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path("/proc/self/clear_refs").write_text("5")  # which resets VmHWM
    return _of_status("VmRSS")


def _of_status(field: str) -> int:
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(found.split()[1]) * 1024


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    found = torch.cpu.get_capabilities()
    units = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if found.get(name)]
    return f"{found.get('cpu_name', found.get('architecture'))}, {torch.get_num_threads()} threads, {' '.join(units)}"


def markdown(report: dict[str, Any]) -> str:
    step = report["step_seconds"]
    rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in report["matrix_gflops"].items())
    full = report.get("experiment_1")
    recorded = " Steps are recorded as CUDA graphs." if report["graphs"] else ""
    lines = [
        f"{report['machine']}; torch {report['torch']}; `ours` computes in {report['precision']}.{recorded}",
        f"{CHAINS} chains of {SIZE} x {SIZE}: {report['gflop']:.1f} GFLOP a step. Matrix rates, GFLOP/s: {rates}.",
        "",
        *table(
            ("way", "ms a step", "ours is times as fast"),
            [(name, f"{1e3 * seconds:.2f}", f"{seconds / step['ours']:.2f}") for name, seconds in step.items()],
        ),
        "",
        *table(
            ("what", "figure"),
            [(name, f"{report[name]:.3f}") for name in FIGURES if report[name] is not None],
        ),
        "",
        *table(
            ("chains", "size", "way", "ms a step", "peak MiB"),
            [
                (row["chains"], row["size"], row["name"], f"{1e3 * row['seconds']:.1f}", f"{row['peak_mib']:.0f}")
                for row in report["growth"]
            ],
        ),
    ]
    if full is not None:
        went = f"{full['recoveries']} recoveries, SWD ratio {full['distance_ratio']:.2f}, "
        went += "; ".join(full["remarks"]) or "healthy"
        lines += ["", f"Experiment 1 in full: {full['seconds']:.0f} s, {full['peak_mib']:.0f} MiB at its peak, {went}."]
    return "\n".join(lines) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows)]


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, what, of in zip(axes, ("chains", "size"), (SIZE, 1), strict=True):
        fixed = "size" if what == "chains" else "chains"
        for name in ("ours", LOOP):
            points = sorted((row[what], row["seconds"]) for row in rows if row["name"] == name and row[fixed] == of)
            axis.loglog(*zip(*points, strict=True), marker="o", label=name)
        axis.set(xlabel=what, ylabel="seconds a step")
        axis.legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
