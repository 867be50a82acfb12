"""Convolutions by oneDNN, PyTorch's library for convolutions on the processor, without autograd.

On one thread oneDNN adds the products of an output in an order that does not depend on the number of rows.
"""

import functools

import torch
from torch import Tensor


def turned_filters(weight: Tensor, stride: int) -> Tensor | None:
    """Return filters (N, C, k, k) turned by 180° as (C, N, k, k): a transposed convolution is a convolution with them.

    None if the layer is not given to oneDNN that way: a layer with a stride, on a GPU, or in another dtype.
    """
    is_square = weight.shape[2] == weight.shape[3]  # an object's filter may not be
    if stride != 1 or not is_square or weight.is_cuda or not has_onednn(weight.dtype):
        return None
    return weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)


def convolution(below: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Convolve with stride 1 by oneDNN, however small the maps are: PyTorch takes other code for small ones."""
    return torch.mkldnn_convolution(below, weight, bias, [padding] * 2, [1, 1], [1, 1], 1)


def fused_convolution(
    below: Tensor, weight: Tensor, bias: Tensor | None, padding: int, stride: int, activation: str
) -> Tensor:
    """Convolve and apply `activation` in one oneDNN pass, an internal operation of PyTorch's compiler."""
    found: Tensor = torch.ops.mkldnn._convolution_pointwise(
        below, weight, bias, [padding] * 2, [stride] * 2, [1, 1], 1, activation, [], ""
    )
    return found


def packed_filters(weight: Tensor, padding: int, stride: int, shape: tuple[int, ...]) -> Tensor:
    """Return a weight in oneDNN's own order for inputs of `shape`: an opaque tensor."""
    found: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, [padding] * 2, [stride] * 2, [1, 1], 1, list(shape)
    )
    return found


@functools.cache
def has_onednn(dtype: torch.dtype) -> bool:
    """Return True if oneDNN has convolutions of this dtype on this processor."""
    if dtype is torch.bfloat16:
        return has_fused_convolution(dtype)
    return dtype is torch.float32 and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


@functools.cache
def has_fused_convolution(dtype: torch.dtype) -> bool:
    """Return True if torch has oneDNN's operators with reordered weights in this dtype on this processor."""
    names = ("_convolution_pointwise", "_reorder_convolution_weight", "_is_mkldnn_bf16_supported")
    if not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return False
    return dtype is torch.float32 or (dtype is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
