"""The gradient of a layer's filters and biases (core/engine/weight_gradient.py) against autograd."""

import pytest
import torch
from engines import relative
from nets import seeded
from torch.nn import functional

from core.engine import weight_gradient
from core.engine.weight_gradient import by_matrix_products, layer_gradient, prefers_matrix_products

SIZES = {
    "one picture": (1, 27, 96, (3, 3), (20, 23)),
    "several pictures": (3, 5, 7, (3, 3), (9, 6)),
    "one pixel": (2, 8, 4, (1, 1), (7, 5)),
    "a filter that covers the map": (4, 3, 1, (6, 9), (6, 9)),
    "not square": (2, 3, 5, (2, 4), (8, 9)),
}


def by_autograd(below, coefficients, kernel):
    """∂/∂w of the sum over all units of a response times its coefficient."""
    weight = torch.zeros(coefficients.shape[1], below.shape[1], *kernel, dtype=below.dtype, requires_grad=True)
    (functional.conv2d(below, weight) * coefficients).sum().backward()
    return weight.grad


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("band_bytes", [1, weight_gradient.BAND_BYTES])
def test_eq21_matrix_products_are_the_gradient_of_the_filters(name, band_bytes, monkeypatch):
    """In one band, and in bands as low as they may be, of which the last is lower."""
    monkeypatch.setattr(weight_gradient, "BAND_BYTES", band_bytes)
    count, channels, filters, kernel, (height, width) = SIZES[name]
    generator = seeded(1)
    units = (height - kernel[0] + 1, width - kernel[1] + 1)
    below = torch.randn(count, channels, height, width, generator=generator, dtype=torch.float64)
    coefficients = torch.randn(count, filters, *units, generator=generator, dtype=torch.float64)
    expected = by_autograd(below, coefficients, kernel)
    for memory_format in (torch.channels_last, torch.contiguous_format):
        given = (one.contiguous(memory_format=memory_format) for one in (below, coefficients))
        found = by_matrix_products(*given, kernel)
        assert found.shape == expected.shape
        assert relative(found, expected) <= 1e-14


@pytest.mark.parametrize("has_avx2_alone", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_filters_and_biases_are_the_same_on_every_processor(has_avx2_alone, stride, monkeypatch):
    monkeypatch.setattr(weight_gradient, "_has_avx2_alone", lambda: has_avx2_alone)
    generator = seeded(2)
    below = torch.randn(2, 6, 11, 13, generator=generator)
    weight = torch.randn(5, 6, 3, 3, generator=generator, requires_grad=True)
    bias = torch.zeros(5, requires_grad=True)
    responses = functional.conv2d(below, weight, bias, stride)
    coefficients = torch.randn(responses.shape, generator=generator)
    (responses * coefficients).sum().backward()
    of_filters, of_biases = layer_gradient(below, coefficients, weight.detach(), stride)
    assert relative(of_filters, weight.grad) <= 1e-5
    assert relative(of_biases, bias.grad) <= 1e-5


def test_only_single_precision_with_avx2_alone_is_computed_as_matrix_products(monkeypatch):
    below = torch.zeros(1, 1, 2, 2)
    for has_avx2_alone in (False, True):
        monkeypatch.setattr(weight_gradient, "_has_avx2_alone", lambda known=has_avx2_alone: known)
        assert prefers_matrix_products(below) is has_avx2_alone
        assert not prefers_matrix_products(below.double())
        assert not prefers_matrix_products(below.bfloat16())
