"""How fast chains move: a Langevin step of our engines beside other implementations and the machine's own limit.

    python benchmarks/speed.py [--device cuda] [--precision auto] [--json FILE] [--quick]

First the jobs that people begin with (real_jobs.py): an iteration of `quick` and of `texture-cpu`, on one thread and on
all; a canvas of 1024 x 1024 pixels; the demo by phase. Then one step of 16 chains of 225 x 225 pixels through the three
layers of Experiment 1, unless a table says otherwise. Prints tables, and writes them, a plot and the figures to --out.
bfloat16 is left out where the device would emulate it, which takes many times as long. What is compared takes turns, so
that a machine whose speed drifts drifts for all of it; each figure is the median of its turns.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import operations
import torch
from in_full import run_in_full
from peers import LOOP, TORCHEBM
from real_jobs import compare_canvas, compare_iterations, measure_demo
from report import write_json
from samplers import FLOAT32, experiment_1_net, noise_pictures, samplers
from speed_report import markdown, plot
from timing import MEBIBYTE, describe_machine, median_seconds, peak_bytes, start_memory_peak
from torch import Tensor
from torch.nn import functional

from core.engine import choose_engine, has_bfloat16
from core.engine.dynamics import Dynamics
from core.engine.fast import can_capture_graphs
from core.engine.noise import noise_per_picture
from core.engine.parallel import parallel_map
from core.pictures.images import Levels
from core.pictures.training_set import TrainingSet
from core.recipe.learner import Learner
from core.recipe.presets import PRESETS

SIZE, CHAINS = 225, 16
CHAIN_COUNTS, GPU_CHAIN_COUNTS = (1, 4, 16), (1, 4, 16, 64)
SIZES = (64, 128, 256, 512, 1024)
MATRIX = 4096  # side of the matrices whose product gives the machine's limit
MATRIX_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
STEPS, GPU_STEPS = 4, 100  # of a turn
PRODUCTS, GPU_PRODUCTS = 1, 100


@dataclass(frozen=True)
class Row:
    """One line of the growth table: seconds of a step, and the peak memory beyond that of the idle process."""

    name: str
    chains: int
    size: int
    seconds: float
    peak_mib: float | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    device = torch.device(options.device)
    report: dict[str, Any] = {
        "machine": describe_machine(device),
        "torch": torch.__version__,
        "precision": choose_engine(options.precision, device).precision,
        "graphs": can_capture_graphs(device),
        "chains": CHAINS,
        "size": SIZE,
        "left_out": [] if has_bfloat16(device) else ["bfloat16"],
    }
    report |= compare(device, options.precision, options.turns)
    report |= compare_iteration(device, options.precision, options.turns)
    counts = sorted({1, torch.get_num_threads()}) if device.type == "cpu" else [torch.get_num_threads()]
    report["jobs"] = {count: compare_iterations(device, options.precision, options.turns, count) for count in counts}
    report["canvas"] = compare_canvas(device, options.precision, max(options.turns // 2, 1))
    if not options.quick:
        report["demo"] = measure_demo(options.out / "demo")
    report["growth"] = [asdict(row) for row in measure_growth(device, options.precision, options.turns, options.quick)]
    if options.full:
        report["in_full"] = run_in_full(device, options.precision, options.out)
    if report["ratio_to_torchebm"] is None:
        sys.stderr.write("torchebm is not installed (it is in the extra `bench`), so nothing is compared with it\n")
    text = markdown(report)
    sys.stdout.write(text)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "speed.md").write_text(text)
    write_json(options.json or options.out / "speed.json", report)
    plot(report["growth"], ("ours", LOOP), SIZE, options.out / "speed.png")
    return 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="torch device")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="of `ours`")
    parser.add_argument("--turns", type=int, default=5, help="turns of each measurement")
    parser.add_argument("--quick", action="store_true", help="leave out the larger sizes and the demo")
    parser.add_argument("--full", action="store_true", help="also run whole jobs and profile them: in_full.py")
    parser.add_argument("--out", type=Path, default=Path("benchmark-output"), help="output folder")
    parser.add_argument("--json", type=Path, help="path for speed.json instead of --out")
    return parser.parse_args(arguments)


def compare(device: torch.device, precision: str, turns: int) -> dict[str, Any]:
    """Compare a step of all samplers, the draw of its noise alone, and the machine's matrix rates, in one run.

    The capture of a CUDA graph is not counted: it happens in the uncounted first turn. On a GPU the peers may use TF32,
    which is PyTorch's default; ours never does. `noise` is an upper bound of the share that noise has in a step: the
    engine draws it in another thread than it multiplies, or in the kernel of the step on a GPU.
    """
    torch.backends.cudnn.benchmark = True  # for the peers; our engine does not choose kernels by timing
    net, images = experiment_1_net(device), noise_pictures(CHAINS, SIZE, device)
    steps, repeats = (GPU_STEPS, GPU_PRODUCTS) if device.type == "cuda" else (STEPS, PRODUCTS)
    tasks: dict[str, Callable[[], object]] = {
        name: partial(sampler, images, steps) for name, sampler in samplers(net, precision).items()
    }
    tasks["noise"] = partial(_repeat, steps, noise_draw(images))
    types = {name: dtype for name, dtype in MATRIX_TYPES.items() if name == "float32" or has_bfloat16(device)}
    products = {name: matrix_products(dtype, device) for name, dtype in types.items()}
    for name, ways in products.items():
        tasks |= {f"{way} {name}": partial(_repeat, repeats, product) for way, product in ways.items()}
    seconds = median_seconds(tasks, turns, device)
    rates = {
        name: repeats * 2 * MATRIX**3 / min(seconds.pop(f"{way} {name}") for way in ways)
        for name, ways in products.items()
    }
    step = {name: taken / steps for name, taken in seconds.items()}
    flops = CHAINS * operations.of_step(net.architecture, SIZE)
    floor = flops / rates[choose_engine(precision, device).precision]
    return {
        "gflop": flops / 1e9,
        "matrix_gflops": {name: rate / 1e9 for name, rate in rates.items()},
        "step_seconds": step,
        "floor_seconds": floor,
        "share_of_floor": floor / step["ours"],
        "noise_share": step["noise"] / step["ours"],
        **ratios_to_peers(step),
    }


def ratios_to_peers(step: Mapping[str, float]) -> dict[str, float | None]:
    """Return how many times as long as ours each peer takes for a step; None if the peer is not installed."""
    ratios: dict[str, float | None] = {}
    for name, peer in (("torchebm", TORCHEBM), ("loop", LOOP)):
        ratios[f"ratio_to_{name}"] = step[peer] / step["ours"] if peer in step else None
        ratios[f"ratio_to_{name}_in_float32"] = step[peer] / step[FLOAT32] if peer in step else None
    return ratios


def matrix_products(dtype: torch.dtype, device: torch.device) -> dict[str, Callable[[], Tensor]]:
    """Return the product of two large matrices by two libraries: on some processors the one for matrices is slower."""
    matrix = torch.randn(MATRIX, MATRIX, device=device).to(dtype)
    side = int(MATRIX**0.5)
    maps = matrix.t().reshape(1, MATRIX, side, side).contiguous(memory_format=torch.channels_last)
    return {
        "matrix": partial(torch.mm, matrix, matrix),
        "1 x 1": partial(functional.conv2d, maps, matrix[:, :, None, None]),
    }


def noise_draw(images: Tensor) -> Callable[[], object]:
    """Return a function that draws the noise of one step, as fast as the device can."""
    drawn, generator = torch.empty_like(images), torch.Generator(images.device).manual_seed(4)
    if images.is_cuda:
        return partial(drawn.normal_, generator=generator)
    noises = noise_per_picture(generator, len(images))
    return lambda: parallel_map(lambda noise, one: noise.fill(one.flatten()), noises, drawn)


def _repeat(count: int, task: Callable[[], object]) -> None:
    for _ in range(count):
        task()


def compare_iteration(device: torch.device, precision: str, turns: int) -> dict[str, Any]:
    """Compare an iteration of Algorithm 1 (ten steps and the update) with its ten steps alone."""
    params = PRESETS["texture"].model_copy(
        update={"layerwise": False, "seed": 1, "precision": precision, "boundary": "valid", "image_size": SIZE}
    )
    learner = Learner(TrainingSet.of(noise_pictures(1, SIZE, device), Levels(torch.full((3,), 127.0))), params)
    for _ in range(2):
        learner.update()
    chains, state = learner.state.chains, learner.state
    dynamics = Dynamics(params.step_size, params.boundary)

    def ten_steps() -> None:
        learner.engine.run(state.net, chains, params.langevin_steps, dynamics, state.generator)

    seconds = median_seconds({"iteration": learner.update, "steps": ten_steps}, max(turns // 2, 1), device)
    return {"iteration_to_its_steps": seconds["iteration"] / seconds["steps"]}


def measure_growth(device: torch.device, precision: str, turns: int, quick: bool) -> list[Row]:
    """Measure a step for several numbers and sizes of chains, each in a process of its own.

    Compares ours with the loop; at CHAINS chains of SIZE pixels all samplers.
    """
    counts = GPU_CHAIN_COUNTS if device.type == "cuda" and not quick else CHAIN_COUNTS
    sizes = SIZES[:3] if quick else SIZES
    cases = [(count, SIZE) for count in counts] + [(1, size) for size in sizes]
    rows = []
    every = list(samplers(experiment_1_net(device), precision))
    for chains, size in cases:
        for name in every if (chains, size) == (CHAINS, SIZE) else ("ours", LOOP):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows.append(pool.apply(measure_step, (name, chains, size, str(device), precision, turns)))
    return rows


def measure_step(name: str, chains: int, size: int, device_name: str, precision: str, turns: int) -> Row:
    """Measure the time and memory of one sampler's step in this process."""
    torch.backends.cudnn.benchmark = True
    device = torch.device(device_name)
    net, images = experiment_1_net(device), noise_pictures(chains, size, device)
    sampler = samplers(net, precision)[name]
    sampler(noise_pictures(1, 64, device), 1)
    before = start_memory_peak(device)
    seconds = median_seconds({name: partial(sampler, images, 2)}, max(turns // 2, 1), device)[name] / 2
    return Row(name, chains, size, seconds, (peak_bytes(device) - before) / MEBIBYTE)


if __name__ == "__main__":
    sys.exit(main())
