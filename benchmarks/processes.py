"""How much faster several processes learn than one, by contrastive divergence from many small pictures.

    python benchmarks/processes.py [--processes 2] [--pictures 2000] [--size 32] [--batch 64] [--turns 3]
    python benchmarks/processes.py --estimate 8 [--teraflops 20] [--gigabytes 200] [--exchange-ms 0.5]

Learns windows of examples/texture.png with the net of the preset `autoencoder-cpu`: with one process that uses all
cores, with one that uses a share of them, and with several that use a share each. They take turns; a turn is one pass
over the pictures. Prints the best turn of each, and the largest difference of a weight after the first update.

With --estimate it learns nothing: it computes from the sizes of the presets' nets what several GPUs would do, if each
did so many TFLOP/s and sent so many gigabytes a second, and if an exchange with the others took so long besides.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from operations import of_iteration
from report import markdown_table
from timing import describe_machine

from core.engine import choose_engine
from core.engine.distributed import distributed_engine
from core.pictures.images import read_picture
from core.pictures.training_set import TrainingSet, cut_patches
from core.recipe.learner import Learner
from core.recipe.presets import PRESETS
from core.runtime.processes import core_count
from core.schemas.geometry import chain_side
from core.schemas.learning import LearningParams
from core.theory.learning import architecture_of, precision_of
from core.theory.model import GenerativeConvNet

TEXTURE = Path(__file__).parents[1] / "examples/texture.png"
READ_SIDE = 256  # pixels of the texture that windows are cut out of
MEASURED = ("processes", "threads each", "ms an update", "times the first")
ESTIMATED = (
    "preset",
    "chains / pictures",
    "GFLOP",
    "MB all-reduced",
    "MB of pictures",
    "ms, one GPU",
    "ms, all: arithmetic",
    "ms, all: transfers",
    "times as fast",
)
ESTIMATED_PRESETS = {"texture": 1, "object": 10, "autoencoder": 2000, "autoencoder-cpu": 2000}  # training pictures
EXCHANGES = 3  # an update: the Langevin steps, H_obs, H_syn


@dataclass(frozen=True)
class Estimate:
    """What an update of `params` takes on `processes` GPUs, each with its share: bytes and operations (operations.py).

    gradients: bytes of H_obs and H_syn, each summed over all GPUs, and of the weights, which all GPUs get.
    pictures: bytes of the chains, sent and returned, and of the training pictures; but for rank 0's own share.
    whole, largest_share: floating point operations of one GPU that does all, and of the one with the largest share.
    """

    params: LearningParams
    chains: int
    batch: int
    gradients: float
    pictures: float
    whole: float
    largest_share: float

    @classmethod
    def of(cls, params: LearningParams, processes: int, pictures: int) -> "Estimate":
        architecture = architecture_of(params, channels=3)
        weights = sum(one.numel() for one in GenerativeConvNet(architecture).parameters())
        batch = params.model_copy(update={"contrastive": True}).most_processes(pictures)
        chains = batch if params.contrastive else params.num_chains
        side = chain_side(params.layers, params.side, params.boundary)
        elsewhere = 1 - 1 / processes
        return cls(
            params,
            chains,
            batch,
            gradients=3 * 4 * weights,
            pictures=elsewhere * 4 * 3 * side**2 * (3 * chains + batch),
            whole=of_iteration(architecture, params, chains, batch),
            largest_share=of_iteration(
                architecture, params, math.ceil(chains / processes), math.ceil(batch / processes)
            ),
        )

    def seconds(self, flops: float, bandwidth: float, exchange: float) -> tuple[float, float, float]:
        """Return the seconds of one GPU, and of all: arithmetic, and transfers, which do not overlap with it."""
        transfers = (self.gradients + self.pictures) / bandwidth + EXCHANGES * exchange
        return self.whole / flops, self.largest_share / flops, transfers


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    table = estimated(options) if options.estimate else measured(options)
    sys.stdout.write(table)
    return 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2, help="processes that are compared with one")
    parser.add_argument("--pictures", type=int, default=2000, help="training pictures")
    parser.add_argument("--size", type=int, default=32, help="side of a picture in pixels")
    parser.add_argument("--batch", type=int, default=64, help="pictures of an update")
    parser.add_argument("--turns", type=int, default=3, help="passes over the pictures, of each; the best one counts")
    parser.add_argument("--estimate", type=int, default=0, metavar="GPUS", help="compute, learn nothing")
    parser.add_argument("--teraflops", type=float, default=20.0, help="of one GPU, reached")
    parser.add_argument("--gigabytes", type=float, default=200.0, help="a second between two GPUs, reached")
    parser.add_argument("--exchange-ms", type=float, default=0.5, help="of an exchange, besides its bytes")
    return parser.parse_args(arguments)


def measured(options: argparse.Namespace) -> str:
    """Learn with one process and with several, in turns, and return the table."""
    cores, processor = core_count(), torch.device("cpu")
    params = PRESETS["autoencoder-cpu"].model_copy(
        update={"image_size": options.size, "batch_size": options.batch, "seed": 1}
    )
    pictures = windows(options.pictures, options.size)
    engine = choose_engine(precision_of(params), processor)
    with distributed_engine(engine, [processor] * options.processes) as several:
        one, other = Learner(pictures, params), Learner(pictures, params, engine=several)
        one.update()  # these also warm up
        other.update()
        difference = largest_difference(one.state.net, other.state.net)
        share = max(1, cores // several.size)
        lines = {(1, cores): one, (1, share): one, (several.size, share): other}
        seconds: dict[tuple[int, int], list[float]] = {line: [] for line in lines}
        updates = math.ceil(options.pictures / options.batch)
        for turn in range(options.turns):
            for (size, threads), learner in lines.items():
                torch.set_num_threads(threads)
                began_at = time.perf_counter()
                for _ in range(updates):
                    learner.update()
                taken = (time.perf_counter() - began_at) / updates
                seconds[size, threads].append(taken)
                sys.stderr.write(f"turn {turn + 1}, {size} x {threads}: {1000 * taken:.1f} ms an update\n")
    torch.set_num_threads(cores)
    best = {line: min(taken) for line, taken in seconds.items()}
    rows = [
        (str(size), str(threads), f"{1000 * taken:.1f}", f"{best[1, cores] / taken:.2f}")
        for (size, threads), taken in best.items()
    ]
    asked = f"{options.pictures} pictures of {options.size} x {options.size}, {options.batch} an update"
    agree = f"Largest difference of a weight after one update, relative to the largest of its layer: {difference:.1e}"
    return f"{markdown_table(MEASURED, rows)}\n{describe_machine(processor)}; {asked}.\n{agree}\n"


def largest_difference(one: GenerativeConvNet, other: GenerativeConvNet) -> float:
    """Return the largest difference of a parameter, relative to the largest number of its layer's."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(((here - there).abs().max() / here.abs().max()).item() for here, there in pairs)


def windows(count: int, side: int) -> TrainingSet:
    """Cut windows out of the example texture, about their mean."""
    texture = read_picture(TEXTURE.read_bytes(), READ_SIDE, 3)[None]
    texture = texture - texture.mean(dim=(0, 2, 3), keepdim=True)
    return TrainingSet.of(cut_patches(texture, side, count, torch.Generator().manual_seed(1)))


def estimated(options: argparse.Namespace) -> str:
    """Compute the table of what `options.estimate` GPUs would do."""
    rows = []
    for name, pictures in ESTIMATED_PRESETS.items():
        found = Estimate.of(PRESETS[name], options.estimate, pictures)
        alone, arithmetic, transfers = found.seconds(
            1e12 * options.teraflops, 1e9 * options.gigabytes, options.exchange_ms / 1000
        )
        rows.append(
            (
                name,
                f"{found.chains} / {found.batch}",
                f"{found.whole / 1e9:,.0f}",
                f"{found.gradients / 1e6:.1f}",
                f"{found.pictures / 1e6:.1f}",
                f"{1000 * alone:.2f}",
                f"{1000 * arithmetic:.2f}",
                f"{1000 * transfers:.2f}",
                f"{alone / (arithmetic + transfers):.1f}",
            )
        )
    return markdown_table(ESTIMATED, rows)


if __name__ == "__main__":
    sys.exit(main())
