import pytest
import torch

from core.theory.boundary import crop, mirror, unwrap, wrap

SHAPES = [(4, 5, 0), (4, 5, 1), (4, 5, 4), (4, 5, 5), (4, 5, 9), (5, 3, 4), (1, 1, 7), (2, 7, 6), (3, 2, 23)]


def random_like(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("height", "width", "halo"), SHAPES)
def test_wrapped_pixel_is_the_pixel_modulo_the_picture(height, width, halo):
    images = random_like(2, 3, height, width, seed=0)
    wrapped = wrap(images, halo)
    assert wrapped.shape == (2, 3, height + halo, width + halo)
    for row in range(height + halo):
        for column in range(width + halo):
            assert torch.equal(wrapped[..., row, column], images[..., row % height, column % width])


@pytest.mark.parametrize(("height", "width", "halo"), SHAPES)
def test_unwrap_is_the_adjoint_of_wrap(height, width, halo):
    images = random_like(2, 3, height, width, seed=1)
    other = random_like(2, 3, height + halo, width + halo, seed=2)
    torch.testing.assert_close(
        (wrap(images, halo) * other).sum(), (images * unwrap(other, halo)).sum(), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(("height", "width", "halo"), SHAPES)
def test_unwrap_is_the_gradient_that_autograd_finds_through_wrap(height, width, halo):
    images = random_like(1, 2, height, width, seed=3).requires_grad_()
    other = random_like(1, 2, height + halo, width + halo, seed=4)
    (gradient,) = torch.autograd.grad((wrap(images, halo) * other).sum(), images)
    torch.testing.assert_close(unwrap(other, halo), gradient, rtol=1e-12, atol=1e-12)


def test_unwrap_of_ones_counts_how_often_each_pixel_is_repeated():
    counts = unwrap(torch.ones(1, 1, 5, 5, dtype=torch.float64), halo=3)
    torch.testing.assert_close(counts[0, 0], torch.tensor([[9.0, 6.0], [6.0, 4.0]], dtype=torch.float64))


def test_unwrap_does_not_change_its_argument():
    wrapped = random_like(1, 1, 5, 5, seed=5)
    before = wrapped.clone()
    unwrap(wrapped, 2)
    assert torch.equal(wrapped, before)


@pytest.mark.parametrize("margin", [0, 1, 3])
def test_mirror_continues_the_picture_and_crop_undoes_it(margin):
    images = random_like(2, 3, 4, 5, seed=1)
    around = mirror(images, margin)
    assert around.shape == (2, 3, 4 + 2 * margin, 5 + 2 * margin)
    assert torch.equal(crop(around, margin), images)
    for step in range(1, margin + 1):
        assert torch.equal(around[:, :, margin - step], around[:, :, margin + step])
        assert torch.equal(around[..., -1 - margin + step], around[..., -1 - margin - step])
