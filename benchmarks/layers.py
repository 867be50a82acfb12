"""Each layer of `quick` and `photo` on a processor: a pass up, one down, and ∂f/∂w in two ways.

    python benchmarks/layers.py [--turns 9] [--threads 1]

`core.engine.weight_gradient` chooses between the two by what was measured with this: benchmarks/README.md.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from report import markdown_table
from timing import describe_machine, median_seconds
from torch import Tensor

from core.engine.onednn import convolution, turned_filters
from core.engine.precision import bfloat16_instructions
from core.engine.weight_gradient import by_matrix_products

WAYS = ("up", "down", "∂f/∂w by oneDNN", "as matrix products")
# Channels, filters, kernel, side of the map below: `quick` at 96 pixels, windows and the canvas of `photo`.
LAYERS = (
    *((27, 96, 3, 38), (96, 48, 3, 36), (48, 32, 3, 34)),
    *((27, 128, 3, 49), (128, 64, 1, 47), (64, 64, 3, 47), (64, 32, 3, 45)),
    *((27, 128, 3, 177), (128, 64, 1, 175), (64, 64, 3, 175), (64, 32, 3, 173)),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=9, help="turns of each measurement")
    parser.add_argument("--threads", type=int, default=1, help="threads that an operation is shared among")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    sys.stdout.write(f"{describe_machine(torch.device('cpu'))}; torch {torch.__version__}\n")
    for dtype in (torch.float32, torch.bfloat16) if bfloat16_instructions() else (torch.float32,):
        rows = [measure(*layer, dtype, options.turns) for layer in LAYERS]
        sys.stdout.write(f"\n{dtype}, milliseconds (GFLOP/s)\n\n")
        sys.stdout.write(markdown_table(("channels, filters, kernel, side", *WAYS), rows))
    return 0


def measure(channels: int, filters: int, kernel: int, side: int, dtype: torch.dtype, turns: int) -> tuple[str, ...]:
    """Return a row of the table."""
    units = side - kernel + 1
    operations = 2 * filters * channels * (kernel * units) ** 2
    taken = median_seconds(tasks_of(channels, filters, kernel, side, dtype), turns, torch.device("cpu"))
    shown = (f"{1e3 * taken[way]:.2f} ({operations / taken[way] / 1e9:.0f})" for way in WAYS)
    return (f"{channels}, {filters}, {kernel}, {side}", *shown)


def tasks_of(
    channels: int, filters: int, kernel: int, side: int, dtype: torch.dtype
) -> Mapping[str, Callable[[], object]]:
    """Return each of WAYS for one picture, its map below of `side` x `side`."""
    generator, units = torch.Generator().manual_seed(1), side - kernel + 1

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype, memory_format=torch.channels_last)

    below, coefficients = numbers(1, channels, side, side), numbers(1, filters, units, units)
    weight, bias = numbers(filters, channels, kernel, kernel), torch.zeros(filters, dtype=dtype)
    turned = turned_filters(weight, 1)
    assert turned is not None
    settings = ([1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, True])
    return {
        "up": partial(convolution, below, weight, bias, 0),
        "down": partial(convolution, coefficients, turned, None, kernel - 1),
        "∂f/∂w by oneDNN": partial(
            torch.ops.aten.convolution_backward, coefficients, below, weight, [filters], *settings
        ),
        "as matrix products": partial(by_matrix_products, below, coefficients, (kernel, kernel)),
    }


if __name__ == "__main__":
    sys.exit(main())
