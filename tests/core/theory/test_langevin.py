import pytest
import torch
from nets import blank_net, case, every_case, seeded

from core.theory.langevin import LangevinCoefficients, langevin_coefficients, langevin_step


@every_case
def test_eq19_step_with_given_noise_is_the_formula(case):
    noise = torch.randn(case.images.shape, generator=seeded(), dtype=case.images.dtype)
    images = case.images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(case.net.score(images, case.boundary).sum(), images)
    for step_size in (0.1, 0.9):
        expected = case.images - step_size**2 / 2 * (case.images / case.variance - gradient) + step_size * noise
        step = langevin_step(case.net, case.images, step_size, noise=noise, boundary=case.boundary)
        torch.testing.assert_close(step, expected, rtol=1e-9, atol=1e-9)


def test_eq19_by_hand_on_one_pixel():
    """f(x) = max(0, 2x + 1), σ = 2, x = 3, ε = 0.5, Z = -1: 3 - 0.125 (3/4 - 2) - 0.5."""
    net = blank_net(reference_std=2.0, bias=1.0)
    with torch.no_grad():
        net.weights[0].fill_(2.0)
    pixel = torch.full((1, 1, 1, 1), 3.0, dtype=torch.float64)
    step = langevin_step(net, pixel, 0.5, noise=-torch.ones_like(pixel))
    assert step.item() == pytest.approx(3 - 0.125 * (0.75 - 2) - 0.5, rel=1e-12)


def test_eq19_coefficients_by_hand():
    """ε = 0.5, σ = 2: 1 - 0.125 / 4, 0.125 and 0.5."""
    assert langevin_coefficients(0.5, 2.0) == LangevinCoefficients(image=0.96875, basis=0.125, noise=0.5)


@pytest.mark.parametrize("boundary", ["valid", "torus"])
def test_the_generator_determines_the_noise_and_advances(boundary):
    one = case("one", [(3, 3, 2)], (8, 8), boundary)
    generator, same = seeded(3), seeded(3)
    first = langevin_step(one.net, one.images, 0.3, generator, boundary=boundary)
    assert torch.equal(first, langevin_step(one.net, one.images, 0.3, same, boundary=boundary))
    assert torch.equal(generator.get_state(), same.get_state())
    assert not torch.equal(generator.get_state(), seeded(3).get_state())
    assert not torch.equal(first, langevin_step(one.net, one.images, 0.3, generator, boundary=boundary))


def test_given_noise_does_not_advance_the_generator():
    one = case("one", [(3, 3, 2)], (9, 9), "valid")
    generator = seeded(3)
    langevin_step(one.net, one.images, 0.3, generator, noise=torch.zeros_like(one.images))
    assert torch.equal(generator.get_state(), seeded(3).get_state())
