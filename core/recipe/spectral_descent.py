"""Stochastic spectral descent (Carlson, Cevher and Carin 2015, there for restricted Boltzmann machines).

A layer's filters move by U Vᵀ, where U S Vᵀ is the singular value decomposition of their gradient: by the same length
in each of its directions, also where the gradient is small. Adam hardly learns those. With momentum the method is
known as Muon; here momentum does harm, because the chains lag behind the weights already. What it gains:
docs/experiments/spectral-descent.md.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from core.engine.parallel import parallel_map
from core.recipe.adam import Adam
from core.theory.model import GenerativeConvNet

SMALLEST = 1e-7  # squared singular values, relative to the largest: smaller ones are rounding, and count as this


class SpectralDescent(Adam):
    """Moves filters by the directions of their gradient, a weight by `rate` times its scale in root mean square.

    Biases, and the weights of a category, move as by Adam.
    """

    def __init__(self, net: GenerativeConvNet, scales: Sequence[float]) -> None:
        super().__init__(net, scales)
        self._by_moments = {index: one for index, one in self._by_moments.items() if one.ndim != 4}

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters along their `.grad`, which all of them must have.

        On a processor layers are moved side by side, one thread each, so rounding does not depend on their number.
        """
        if self._parameters[0].is_cuda:
            super().step()
        else:
            parallel_map(self._move, range(len(self._parameters)), threads_each=1)

    def _move(self, index: int) -> None:
        if index in self._by_moments:
            super()._move(index)
        else:
            parameter, gradient, rate = self._move_of(index)
            parameter.sub_(rate * with_equal_singular_values(gradient))


def with_equal_singular_values(gradient: Tensor) -> Tensor:
    """Return U Vᵀ of a gradient U S Vᵀ (filters, ...), as a matrix with a row for each filter; the shape stays.

    It is scaled to a root mean square of one if the gradient has full rank. Not finite if the gradient is not.
    """
    matrix = gradient.flatten(1).double()
    rows, columns = matrix.shape
    wide = matrix if rows <= columns else matrix.T
    squared = wide @ wide.T  # U S² Uᵀ: smaller than the matrix, and so decomposed sooner
    if not squared.isfinite().all():
        return torch.full_like(gradient, torch.nan)
    values, vectors = torch.linalg.eigh(squared)
    least = (SMALLEST * values[-1]).clamp(min=torch.finfo(values.dtype).tiny)
    equal: Tensor = (vectors * values.maximum(least).rsqrt()) @ vectors.T @ wide
    equal = equal if rows <= columns else equal.T
    return (math.sqrt(max(rows, columns)) * equal).to(gradient).view_as(gradient)
