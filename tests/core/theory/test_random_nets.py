"""The identities that must hold for any net and picture, on nets and pictures that Hypothesis chooses."""

import torch
from hypothesis import given, settings
from nets import Case, random_cases

from core.theory.decoding import basis, decode
from core.theory.langevin import langevin_step

EXACT = {"rtol": 1e-9, "atol": 1e-9}

any_case = given(case=random_cases())
without_deadline = settings(deadline=None, max_examples=60)


@without_deadline
@any_case
def test_eq16_eq17_the_score_is_offset_plus_inner_product_with_its_gradient(case: Case) -> None:
    images = case.images.clone().requires_grad_()
    score = case.net.score(images, case.boundary)
    (gradient,) = torch.autograd.grad(score.sum(), images)
    decoding = decode(case.net, case.images, case.boundary)
    torch.testing.assert_close(decoding.basis, gradient, **EXACT)
    inner = (case.images * gradient).sum(dim=(1, 2, 3))
    torch.testing.assert_close(decoding.offset + inner, score.detach(), **EXACT)
    torch.testing.assert_close(basis(case.net, case.images, case.boundary), gradient, **EXACT)


@without_deadline
@any_case
def test_eq19_a_step_goes_down_the_energy_that_autograd_finds(case: Case) -> None:
    images = case.images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(case.net.energy(images, case.boundary).sum(), images)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step = langevin_step(case.net, case.images, 0.4, noise=noise, boundary=case.boundary)
    torch.testing.assert_close(step, case.images - 0.4**2 / 2 * gradient + 0.4 * noise, **EXACT)
