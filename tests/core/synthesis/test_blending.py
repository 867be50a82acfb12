"""Steps of several models on one canvas."""

from functools import partial

import pytest
import torch
from nets import random_net

from core.engine import FastEngine, ReferenceEngine, tiling
from core.pictures.colour_box import ColourBox
from core.recipe.denoising import denoise
from core.synthesis.blend_weights import strengths
from core.synthesis.blending import Agreement, Blend, Boxes, Expert, SeenGuide
from core.synthesis.conditions import Guide, run_steps
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet

SIGMA, OTHER_SIGMA, EPSILON, SIDE = 2.0, 3.0, 0.6, 48
NET = random_net(Architecture((ConvLayer(4, 5, 3), ConvLayer(2, 3)), 1, SIGMA), seed=1)
OTHER = random_net(Architecture((ConvLayer(3, 6, 2),), 1, OTHER_SIGMA, top="category"), seed=2)


def rand(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_of(count: int) -> torch.Tensor:
    """Return canvases that differ everywhere."""
    return torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def expert(net: GenerativeConvNet, weight: torch.Tensor, **changes) -> Expert:
    return Expert(net, net.architecture.reference_std / SIGMA, weight, strengths(weight), **changes)


def two(weight: torch.Tensor, **changes) -> tuple[Expert, Expert]:
    return expert(NET, weight, **changes), expert(OTHER, 1 - weight, **changes)


def columns(*weights: float) -> torch.Tensor:
    """Return weights of pixels: equal parts of a canvas, from the left to the right."""
    parts = torch.tensor(weights, dtype=torch.float64).repeat_interleave(SIDE // len(weights))
    return parts.expand(1, 1, SIDE, SIDE).clone()


def in_tiles(monkeypatch):
    for limits in (tiling.MAX_UNTILED_BYTES, tiling.TILE_BYTES):
        monkeypatch.setitem(limits, "cpu", 1)


def without_noise(monkeypatch):
    monkeypatch.setattr("core.synthesis.blending.Noise.fill", lambda _, flat, _std: flat.zero_())


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("engine", [ReferenceEngine(), FastEngine()], ids=["reference", "fast"])
def test_the_basis_is_the_gradient_of_the_score_of_the_rolled_canvas(engine, tiled, monkeypatch):
    if tiled:
        in_tiles(monkeypatch)
    canvas, phase = noise_of(1), (2, 1)
    one, found = expert(OTHER, columns(0.5)), torch.zeros_like(canvas)
    for part in one.basis(one.prepare(engine), canvas, phase):
        part.of(found).copy_(part.basis)
    at = canvas.clone().requires_grad_()
    score = OTHER.score((one.scale * at).roll(phase, (2, 3)), "torus").sum()
    torch.testing.assert_close(found, torch.autograd.grad(score, at)[0], rtol=1e-9, atol=1e-9)


def test_eq19_each_canvas_moves_as_of_its_model_alone_where_no_other_has_a_part(monkeypatch):
    without_noise(monkeypatch)
    canvases, experts = noise_of(2), two(columns(1, 0))
    fractions: list[float] = []
    found = Blend(experts, ReferenceEngine(), SIGMA).step(EPSILON, canvases, torch.Generator(), fractions.append)
    found = Agreement(experts).constrain(found)
    for one, canvas, moved in zip(experts, canvases[:, None], found[:, None], strict=True):
        basis = one.scale * ReferenceEngine().basis(one.net, one.scale * canvas, "torus")
        expected = canvas - EPSILON**2 / 2 * (canvas / SIGMA**2 - basis)
        torch.testing.assert_close(moved, expected, rtol=1e-12, atol=1e-12)
    assert fractions == [0.5, 1.0]


def test_eq19_a_shared_pixel_moves_by_the_sum_of_all_drifts_each_to_its_strength(monkeypatch):
    without_noise(monkeypatch)
    canvases, weight = noise_of(2), columns(1, 0.75, 0.25, 0)
    experts = two(weight)
    canvases = Agreement(experts).constrain(canvases)
    shared = (weight > 0) & (weight < 1)
    assert torch.equal(canvases[:1][shared], canvases[1:][shared])
    moved = Blend(experts, ReferenceEngine(), SIGMA).step(EPSILON, canvases, torch.Generator())
    moved = Agreement(experts).constrain(moved)
    assert torch.equal(moved[:1][shared], moved[1:][shared])
    drift = -canvases[:1] / SIGMA**2
    for one, canvas in zip(experts, canvases[:, None], strict=True):
        drift += one.weight**0.7 * one.scale * ReferenceEngine().basis(one.net, one.scale * canvas, "torus")
    expected = canvases[:1] + EPSILON**2 / 2 * drift
    torch.testing.assert_close(moved[:1][shared], expected[shared], rtol=1e-11, atol=1e-11)


def test_the_drift_of_a_mixture_is_the_gradient_of_one_log_density(monkeypatch):
    without_noise(monkeypatch)
    experts, at = two(columns(0.3)), noise_of(1).requires_grad_()
    density = -at.square().sum() / (2 * SIGMA**2)
    for one in experts:
        density = density + one.weight[0, 0, 0, 0] ** 0.7 * one.net.score(one.scale * at, "torus").sum()
    gradient = torch.autograd.grad(density, at)[0]
    canvases = at.detach().repeat(2, 1, 1, 1)
    moved = Blend(experts, ReferenceEngine(), SIGMA).step(EPSILON, canvases, torch.Generator())
    moved = Agreement(experts).constrain(moved)
    torch.testing.assert_close(moved, canvases + EPSILON**2 / 2 * gradient, rtol=1e-11, atol=1e-11)


def test_all_canvases_have_the_same_noise():
    experts = two(columns(1, 0))
    still = Blend(experts, ReferenceEngine(), SIGMA).step(EPSILON, torch.zeros_like(noise_of(2)), torch.Generator())
    basis = [one.scale * ReferenceEngine().basis(one.net, torch.zeros_like(noise_of(1)), "torus") for one in experts]
    first, second = (canvas - EPSILON**2 / 2 * one for canvas, one in zip(still[:, None], basis, strict=True))
    assert first.std() > EPSILON / 2
    torch.testing.assert_close(first, second)


def test_tiles_that_nothing_seen_depends_on_are_not_computed_and_stay(monkeypatch):
    in_tiles(monkeypatch)
    side, weight = 240, torch.zeros(1, 1, 240, 240, dtype=torch.float64)
    weight[..., 100:110, 100:110] = 1.0
    one, canvas = expert(NET, weight), torch.ones(2, 1, side, side, dtype=torch.float64)
    parts = list(one.basis(one.prepare(ReferenceEngine()), canvas[:1], (0, 0)))
    computed = [part for part in parts if part.basis is not None]
    assert 0 < len(computed) < len(parts) / 2
    moved = Blend((one, expert(OTHER, 1 - weight)), ReferenceEngine(), SIGMA).step(EPSILON, canvas, torch.Generator())
    unmoved = moved[0, 0] == 1
    assert unmoved[:20].all()
    assert not unmoved[100 - 10 : 110 + 10, 100 - 10 : 110 + 10].any()


def test_a_guide_holds_the_picture_that_is_seen_on_all_canvases_alike():
    """Uniform canvases and guides are their own blur, so the drift is known."""
    experts, strength, light, wanted = two(columns(1, 0.5, 0)), 0.4, 3.0, 7.0
    guide = Guide(torch.full((1, 1, SIDE, SIDE), wanted, dtype=torch.float64), strength, SIGMA, blur=2.0)
    drift = SeenGuide(experts, guide).drift(torch.full((2, 1, SIDE, SIDE), light, dtype=torch.float64))
    middle = SIDE // 2
    pulled = strength * (wanted - light) / SIGMA**2
    amplified = 2 * 0.5**0.7 - 1
    expected = torch.tensor([pulled, pulled - amplified * light / SIGMA**2, pulled], dtype=torch.float64)
    torch.testing.assert_close(drift[:, 0, 0, [0, middle, SIDE - 1]], expected.expand(2, 3))


def test_a_guide_neither_moves_nor_heeds_what_nothing_seen_depends_on(monkeypatch):
    """So tiles that are not computed stay under a guide too."""
    in_tiles(monkeypatch)
    side, weight = 240, torch.zeros(1, 1, 240, 240, dtype=torch.float64)
    weight[..., 100:110, 100:110] = 1.0
    experts = expert(NET, weight), expert(OTHER, 1 - weight)
    guide = SeenGuide(experts, Guide(torch.full((1, 1, side, side), 9.0, dtype=torch.float64), 1.0, SIGMA, blur=30.0))
    canvases = torch.ones(2, 1, side, side, dtype=torch.float64)
    step = partial(Blend(experts, ReferenceEngine(), SIGMA).step, EPSILON)
    moved = run_steps(step, canvases, 1, EPSILON, torch.Generator(), (guide,))
    assert (moved[0, 0, :20] == 1).all()
    unseen = torch.where(torch.cat([weight, 1 - weight]) > 0, canvases, 50.0)
    torch.testing.assert_close(guide.drift(unseen), guide.drift(canvases), rtol=0, atol=0)


def test_a_model_that_has_all_is_denoised_and_confined_as_alone():
    whole, canvases = columns(1.0), 20 * noise_of(2)
    box = ColourBox(torch.full((1, 1, 1), -3.0), torch.full((1, 1, 1), 6.0))
    alone = expert(OTHER, whole, random_lattice=True, phases=(0, 1), noise_std=1.5, box=box)
    none = expert(NET, 0 * whole, noise_std=0.7)
    found = alone.scale * Blend((none, alone), ReferenceEngine(), SIGMA).denoised(canvases)
    expected = denoise(OTHER, alone.scale * canvases[1:], 1.5, "torus", True)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    confined = Boxes((none, alone)).constrain(canvases.clone(), torch.Generator())
    assert torch.equal(confined[0], canvases[0])
    torch.testing.assert_close(
        alone.scale * confined[1], (alone.scale * canvases[1]).clamp(-3, 6), rtol=1e-12, atol=1e-12
    )
