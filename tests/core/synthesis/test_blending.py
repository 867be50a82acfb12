"""Several models on one canvas (core/synthesis/blending.py, blend_weights.py)."""

import weakref
from dataclasses import replace
from functools import partial

import pytest
import torch
from nets import random_net
from PIL import Image
from support.finished_models import learning_params, levels_of, noise_png
from support.pictures import encoded

from core.engine import FastEngine, ReferenceEngine, tiling
from core.pictures.colour_box import ColourBox
from core.pictures.images import read_covering, to_pixels
from core.recipe.denoising import denoise
from core.recipe.fine_detail import filtered
from core.schemas.blending import DEFAULT_SOFTNESS, BlendedModel
from core.schemas.sampling import ResolvedSampleParams
from core.synthesis import blend_sampler
from core.synthesis.blend_sampler import BlendSampler, open_sampler
from core.synthesis.blend_weights import Canvas, read_weights, strengths
from core.synthesis.blending import Agreement, Blend, Boxes, Expert, SeenGuide
from core.synthesis.conditions import Guide, run_steps
from core.synthesis.trained_model import TrainedModel
from core.theory.learning import architecture_of
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


def test_where_a_picture_begins_is_not_kept_during_its_steps(monkeypatch):
    """Of a large canvas it takes as much memory as the canvases themselves."""
    params = learning_params(boundary="torus")
    model = TrainedModel(
        random_net(architecture_of(params, 1), 3).float(), levels_of(1), torch.zeros(1, 1, 16, 16), params
    )
    blend = [BlendedModel(model_id="m", weight=0.5)]
    asked = ResolvedSampleParams(width=32, height=32, steps=3, step_size=0.8, seed=1, blend=blend)
    sampler = open_sampler([model, model], asked, [None])
    begun, begin = [], BlendSampler._begin

    def watched(*given):
        begun.append(weakref.ref(found := begin(*given)))
        return found

    monkeypatch.setattr(BlendSampler, "_begin", watched)
    alive = {}
    sampler.run(0, torch.Generator(), lambda done: alive.update({done: begun and begun[0]() is not None}))
    assert not any(is_alive for done, is_alive in alive.items() if done > 1)
    assert max(alive) == 3


def test_each_part_of_a_blend_has_its_models_fine_detail(monkeypatch):
    """As the model's own pictures have it, also across the rows that are computed at once."""
    params = learning_params(boundary="torus")
    kernel = torch.randn(5, 5, generator=seeded(1)) / 5
    plain = TrainedModel(
        random_net(architecture_of(params, 1), 3).float(), levels_of(1), torch.zeros(1, 1, 16, 16), params
    )
    sharp = replace(plain, detail_filter=kernel)
    asked = ResolvedSampleParams(
        width=32,
        height=40,
        steps=1,
        step_size=0.8,
        seed=1,
        tileable=True,
        blend=[BlendedModel(model_id="m", mask_dataset_id="d")],
    )
    canvas = 20 * torch.randn(2, 1, 40, 32, generator=seeded(2))
    monkeypatch.setattr(blend_sampler, "PROJECTED_ROWS", 16)
    mask = halves(0, 255)
    unfiltered, found = (
        open_sampler([plain, other], asked, [mask]).render(canvas, lambda _: None).float() for other in (plain, sharp)
    )
    assert torch.equal(found[..., 6:10], unfiltered[..., 6:10])
    expected = to_pixels(filtered(canvas[1:], kernel), plain.levels)[0].float()
    torch.testing.assert_close(found[..., 22:26], expected[..., 22:26], rtol=0, atol=1)


def halves(left: int, right: int) -> bytes:
    picture = Image.new("L", (64, 32), left)
    picture.paste(right, (32, 0, 64, 32))
    return encoded(picture, "PNG")


def test_weights_follow_the_masks_and_sum_to_one():
    params = ResolvedSampleParams(width=64, height=32, steps=1, step_size=1.0, seed=1, tileable=True)
    canvas = Canvas.of(params, stride=4, window=8)
    entries = [BlendedModel(model_id="m", mask_dataset_id="d"), BlendedModel(model_id="m", weight=0.25)]
    first, masked, everywhere = read_weights(entries, [halves(0, 255), None], canvas, 8)
    torch.testing.assert_close(first + masked + everywhere, torch.ones(1, 1, 32, 64))
    assert [one[0, 0, 9, 16].item() for one in (first, masked, everywhere)] == [0.75, 0.0, 0.25]
    assert [one[0, 0, 9, 48].item() for one in (first, masked, everywhere)] == [0.0, 1.0, 0.0]
    assert 0.2 < masked[0, 0, 9, 31] < 0.5 < masked[0, 0, 9, 32] < 0.8
    twice = [BlendedModel(model_id="m", mask_dataset_id="d")] * 2
    found = read_weights(twice, [halves(255, 255), halves(255, 255)], canvas, 8)
    assert [one.unique().tolist() for one in found] == [[0.0], [0.5], [0.5]], "never more than one in all"
    black = read_weights(entries[:1], [halves(0, 0)], canvas, 8)
    assert [one.unique().tolist() for one in black] == [[1.0], [0.0]]


def test_a_model_with_next_to_nothing_has_nothing():
    """Else it would take a canvas of its own and its part of each step, unseen. 0.7 + 0.2 + 0.1 < 1 in floats."""
    canvas = Canvas(32, 64, (32, 64))
    entries = [BlendedModel(model_id="m", weight=weight) for weight in (0.7, 0.2, 0.1)]
    first, *others = read_weights(entries, [None] * 3, canvas, 8)
    assert not first.any()
    torch.testing.assert_close(sum(others), torch.ones(1, 1, 32, 64))
    found = read_weights([BlendedModel(model_id="m", weight=1e-5)], [None], canvas, 8)
    assert [one.unique().tolist() for one in found] == [[1.0], [0.0]]


def test_what_is_transparent_in_a_mask_counts_as_black():
    """Painted in white on a transparent layer, whatever colour lies hidden under the transparency."""
    canvas = Canvas(32, 64, (32, 64))
    entry = [BlendedModel(model_id="m", mask_dataset_id="d")]
    for mode, hidden in (("RGBA", (255, 255, 255, 0)), ("RGBA", (0, 0, 0, 0)), ("LA", (255, 0))):
        layer = Image.new(mode, (64, 32), hidden)
        layer.paste((255,) * len(hidden), (32, 0, 64, 32))
        found = read_weights(entry, [encoded(layer, "PNG")], canvas, 8)
        expected = read_weights(entry, [halves(0, 255)], canvas, 8)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("softness", [None, 0.25])
def test_a_mask_is_softened_in_parts_as_it_is_whole(monkeypatch, softness):
    canvas, entry = Canvas(32, 64, (32, 64)), [BlendedModel(model_id="m", mask_dataset_id="d", softness=softness)]
    masks = [noise_png(1, size=64)]
    whole = read_weights(entry, masks, canvas, 20)[1]
    monkeypatch.setattr("core.synthesis.blend_weights.BLURRED_PIXELS", 3 * 64)
    assert torch.equal(read_weights(entry, masks, canvas, 20)[1], whole)
    sharp = read_covering(masks[0], 32, 64, 1).double() / 255
    std = 20 * (softness or DEFAULT_SOFTNESS)
    gains = [torch.exp(-((2 * torch.pi * torch.fft.fftfreq(side) * std) ** 2) / 2) for side in (32, 64)]
    blurred = torch.fft.ifft2(torch.fft.fft2(sharp) * gains[0][:, None] * gains[1]).real
    torch.testing.assert_close(whole[0].double(), blurred, rtol=0, atol=2e-3)  # the blur ends at three deviations


@pytest.mark.parametrize("softness", [0.25, 0.5, 1.0])
def test_a_soft_mask_does_not_bleed_across_the_seam_unless_the_picture_tiles(softness):
    entry = [BlendedModel(model_id="m", mask_dataset_id="d", softness=softness)]
    for tileable in (False, True):
        params = ResolvedSampleParams(width=256, height=128, steps=1, step_size=1.0, seed=1, tileable=tileable)
        canvas = Canvas.of(params, stride=3, window=41)
        one, other = read_weights(entry, [halves(0, 255)], canvas, 41)
        assert one.shape == other.shape == (1, 1, *canvas.sides)
        column = other[0, 0, :128]
        if tileable:
            assert column[:, 0].min() > 0.4
        else:
            assert (column[:, 0].max(), column[:, 255].min()) == (0, 1)
            assert (column[:, :256].diff() >= 0).all()


def test_a_stop_is_seen_while_a_mask_is_softened(monkeypatch):
    monkeypatch.setattr("core.synthesis.blend_weights.BLURRED_PIXELS", 64)
    seen = []

    def check_stop():
        seen.append(None)
        if len(seen) == 10:
            raise KeyboardInterrupt

    entry = [BlendedModel(model_id="m", mask_dataset_id="d")]
    with pytest.raises(KeyboardInterrupt):
        read_weights(entry, [halves(0, 255)], Canvas(32, 64, (32, 64)), 8, check_stop)


def test_a_picture_that_need_not_tile_lies_on_a_larger_canvas_continued_by_its_edges():
    params = ResolvedSampleParams(width=30, height=20, steps=1, step_size=1.0, seed=1)
    canvas = Canvas.of(params, stride=6, window=9)
    assert (canvas.size, canvas.sides) == ((20, 30), (30, 42))
    picture = torch.arange(600.0).view(1, 1, 20, 30)
    found = canvas.extend(picture)
    assert torch.equal(found[..., :20, :30], picture)
    assert torch.equal(found[..., 24, :30], picture[..., 19, :])
    assert torch.equal(found[..., 25, :30], picture[..., 0, :])
    assert torch.equal(found[..., :20, 41], picture[..., 0])
