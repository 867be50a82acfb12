"""Sums and means over all pixels that are bit-identical on any number of threads.

They are computed line by line: a single sum over all pixels is divided among threads, and its rounding depends on how.
"""

from torch import Tensor


def sums(pictures: Tensor) -> Tensor:
    """Return each channel's sum, (N, C, H, W) -> (N, C, 1, 1)."""
    return pictures.contiguous().sum(dim=3, keepdim=True).sum(dim=2, keepdim=True)


def means(pictures: Tensor) -> Tensor:
    """Return each channel's mean, (N, C, H, W) -> (N, C, 1, 1)."""
    return pictures.contiguous().mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)
