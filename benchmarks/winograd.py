"""A layer of 3 x 3 by Winograd's algorithm beside the convolution that the engine uses: docs/experiments/winograd.md.

    python benchmarks/winograd.py [--turns 21]

F(2 x 2, 3 x 3) of Lavin and Gray (2016) in PyTorch's own operations, the filters transformed beforehand, and the same
algorithm in NNPACK, where PyTorch was built with it. float32, one thread.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import torch
from report import markdown_table
from timing import describe_machine, median_seconds
from torch import Tensor
from torch.nn import functional

# Pictures, channels, filters, side: the layers of `quick` after space to depth, the same for four chains, wider ones.
LAYERS = ((1, 27, 96, 46), (1, 96, 48, 46), (1, 48, 32, 46), (4, 96, 48, 46), (1, 128, 128, 66), (16, 64, 32, 68))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=21, help="turns of each measurement")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sys.stdout.write(f"{describe_machine(torch.device('cpu'))}; torch {torch.__version__}\n\n")
    rows = [compare(*layer, options.turns) for layer in LAYERS]
    names = ("pictures, channels, filters, side", "oneDNN, ms", "Winograd, ms", "its products", "NNPACK, ms", "error")
    sys.stdout.write(markdown_table(names, rows))
    return 0


def compare(pictures: int, channels: int, filters: int, side: int, turns: int) -> tuple[str, ...]:
    """Return a row of the table. error: relative to float64, in norm, of the slowest of the three to round."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(pictures, channels, side, side, generator=generator)
    weight = torch.randn(filters, channels, 3, 3, generator=generator)
    innermost, kernel = (one.to(memory_format=torch.channels_last) for one in (images, weight))
    transformed, tiles = transform_filters(weight), (side - 2) // 2
    inputs = torch.randn(16, pictures * tiles**2, channels, generator=generator)
    tasks = {
        "onednn": partial(functional.conv2d, innermost, kernel),
        "winograd": partial(convolve, innermost, transformed),
        "products": partial(torch.bmm, inputs, transformed),
    }
    if torch.backends.nnpack.is_available():
        tasks["nnpack"] = partial(torch._nnpack_spatial_convolution, images, weight, None, [0, 0], [1, 1])
    exact = functional.conv2d(images.double(), weight.double())
    error = max(float((tasks[name]() - exact).norm() / exact.norm()) for name in tasks if name != "products")
    taken = median_seconds(tasks, turns, torch.device("cpu"))
    shown = [
        f"{1e3 * taken[name]:.2f}" if name in taken else "" for name in ("onednn", "winograd", "products", "nnpack")
    ]
    return (f"{pictures}, {channels}, {filters}, {side}", *shown, f"{error:.0e}")


def transform_filters(weight: Tensor) -> Tensor:
    """Return G w Gᵀ of each filter. (K, C, 3, 3) -> (16, C, K)."""
    g = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]]).to(weight)
    return torch.einsum("ai,kcij,bj->abck", g, weight, g).flatten(0, 1).contiguous()


def convolve(images: Tensor, transformed: Tensor) -> Tensor:
    """Return the convolution of pictures (N, C, H, W), H and W even, channels innermost -> (N, K, H - 2, W - 2).

    transformed: see `transform_filters`.
    """
    rows = _combine(images.permute(0, 2, 3, 1), 1)
    tiles = torch.stack([torch.stack(_combine(row, 2)) for row in rows])  # (4, 4, N, H', W', C)
    _, _, count, height, width, channels = tiles.shape
    products = torch.bmm(tiles.view(16, -1, channels), transformed).view(4, 4, count, height, width, -1)
    both = [_collect([_collect(list(line.unbind(0)))[side] for line in products]) for side in range(2)]
    found = torch.stack([torch.stack([both[column][row] for column in range(2)], dim=3) for row in range(2)], dim=2)
    return found.flatten(1, 2).flatten(2, 3).permute(0, 3, 1, 2)


def _combine(lines: Tensor, dim: int) -> list[Tensor]:
    """Return Bᵀ d along one dimension, for each tile of four lines that begins at an even one."""
    even, odd = lines.unflatten(dim, (-1, 2)).unbind(dim + 1)
    count = even.shape[dim] - 1
    d0, d2 = even.narrow(dim, 0, count), even.narrow(dim, 1, count)
    d1, d3 = odd.narrow(dim, 0, count), odd.narrow(dim, 1, count)
    return [d0 - d2, d1 + d2, d2 - d1, d1 - d3]


def _collect(products: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return Aᵀ m: the two lines of a tile's result."""
    m0, m1, m2, m3 = products
    return m0 + m1 + m2, m1 - m2 - m3


if __name__ == "__main__":
    sys.exit(main())
