"""∂f/∂w of a layer (eq. 21): what the filters saw, correlated with the layer's coefficients.

oneDNN has a pass for it. On processors that know AVX2 and not AVX-512 that is slow in float32 (core/engine/README.md):
there it is computed here, as products of matrices.
"""

import functools

import torch
from torch import Tensor

BAND_BYTES = 1 << 20  # of the windows that are laid out at once: they stay in the caches


def layer_gradient(below: Tensor, coefficients: Tensor, weight: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return the gradients of a layer's filters (F, C, k, k) and biases (F,), summed over pictures and positions.

    below: what the filters saw (N, C, H, W). coefficients: of the layer's units (N, F, H', W').
    """
    if prefers_matrix_products(below) and stride == 1:
        kernel = (weight.shape[2], weight.shape[3])
        return by_matrix_products(below, coefficients, kernel), coefficients.sum(dim=(0, 2, 3))
    settings, bias_sizes = ([stride] * 2, [0, 0], [1, 1], False, [0, 0], 1), [len(weight)]
    _, of_filters, of_biases = torch.ops.aten.convolution_backward(
        coefficients, below, weight, bias_sizes, *settings, [False, True, True]
    )
    return of_filters, of_biases


def prefers_matrix_products(below: Tensor) -> bool:
    """Return True if oneDNN's pass is slow here for maps of this dtype, on this device."""
    return not below.is_cuda and below.dtype is torch.float32 and _has_avx2_alone()


def by_matrix_products(below: Tensor, coefficients: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Return the gradient of filters of `kernel` (height, width) pixels and stride 1; see `layer_gradient`.

    Windows of one row are laid out as a matrix. Those of a filter's second row are the same, a line of pixels further
    down, so a band of pixels is copied once for each column of a filter and not for each of its pixels.
    """
    (height, width), (_, channels, _, columns) = kernel, below.shape
    filters, rows, across = coefficients.shape[1:]
    lines, outputs = (values.permute(0, 2, 3, 1).contiguous() for values in (below, coefficients))
    found = below.new_zeros(height, filters, width * channels)
    band = max(height, BAND_BYTES // (across * width * channels * below.element_size()))
    for picture in range(len(below)):
        for first in range(0, rows, band):
            end = min(first + band, rows)
            seen = lines[picture, first : end + height - 1]
            shape = (len(seen), across, width * channels)
            windows = seen.as_strided(shape, (columns * channels, channels, 1)).reshape(-1, width * channels)
            of_band = outputs[picture, first:end].reshape(-1, filters).T
            for row in range(height):
                found[row].addmm_(of_band, windows[row * across : (row + end - first) * across])
    return found.view(height, filters, width, channels).permute(1, 3, 0, 2)


@functools.cache
def _has_avx2_alone() -> bool:
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx2")) and not found.get("avx512_f")
