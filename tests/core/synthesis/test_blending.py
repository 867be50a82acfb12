"""Several models on one canvas (core/synthesis/blending.py, blend_weights.py)."""

import pytest
import torch
from nets import random_net
from PIL import Image
from support.finished_models import noise_png
from support.pictures import encoded

from core.engine import FastEngine, ReferenceEngine, tiling
from core.pictures.colour_box import ColourBox
from core.pictures.images import read_covering
from core.recipe.denoising import denoise
from core.schemas.sampling import BlendedModel, ResolvedSampleParams
from core.synthesis.blend_weights import Canvas, read_weights
from core.synthesis.blending import Blend, Boxes, Expert
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet

SIGMA, OTHER_SIGMA, EPSILON, SIDE = 2.0, 3.0, 0.6, 48
NET = random_net(Architecture((ConvLayer(4, 5, 3), ConvLayer(2, 3)), 1, SIGMA), seed=1)
OTHER = random_net(Architecture((ConvLayer(3, 6, 2),), 1, OTHER_SIGMA, top="category"), seed=2)


def rand(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def expert(net: GenerativeConvNet, seed: int, **changes) -> Expert:
    weight = rand(2, 1, SIDE, SIDE)[[seed]]
    mask = rand(4, 1, SIDE, SIDE)[[2 + seed]] * (rand(5, 1, SIDE, 1)[[4]] > 0.3)
    return Expert(net, net.architecture.reference_std / SIGMA, mask, weight, **changes)


def masked_score(expert: Expert, canvas: torch.Tensor, phase: tuple[int, int]) -> torch.Tensor:
    """Return Σ_x mask(x) f(x), x the pixel in the middle of what a top unit sees on the canvas rolled by `phase`."""
    net = expert.net
    top = net.feature_maps((expert.scale * canvas).roll(phase, (2, 3)), "torus")[-1]
    weights = top.new_ones(top.shape[1]) if net.category_weights is None else net.category_weights
    scores = (top * weights[:, None, None]).sum(dim=1)[0]
    stride, centre = net.architecture.total_stride, (net.architecture.receptive_field - 1) // 2
    total = canvas.new_zeros(())
    for down in range(scores.shape[0]):
        for right in range(scores.shape[1]):
            row, column = down * stride + centre - phase[0], right * stride + centre - phase[1]
            total = total + expert.mask[0, 0, row % SIDE, column % SIDE] * scores[down, right]
    return total


@pytest.mark.parametrize("in_tiles", [False, True])
@pytest.mark.parametrize("engine", [ReferenceEngine(), FastEngine()], ids=["reference", "fast"])
def test_the_drift_is_the_gradient_of_the_sum_of_the_masked_scores(engine, in_tiles, monkeypatch):
    if in_tiles:
        for limits in (tiling.MAX_UNTILED_BYTES, tiling.TILE_BYTES):
            monkeypatch.setitem(limits, "cpu", 1)
    canvas = torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    experts, phases, found = (expert(NET, 0), expert(OTHER, 1)), ((2, 1), (0, 1)), torch.zeros_like(canvas)
    for one, phase in zip(experts, phases, strict=True):
        one.add_basis(engine, canvas, phase, found)
    at = canvas.clone().requires_grad_()
    score = sum(masked_score(one, at, phase) for one, phase in zip(experts, phases, strict=True))
    torch.testing.assert_close(found, torch.autograd.grad(score, at)[0], rtol=1e-9, atol=1e-9)


def test_eq19_a_step_moves_by_the_sum_of_all_drifts(monkeypatch):
    monkeypatch.setattr("core.synthesis.blending.Noise.fill", lambda _, flat, _std: flat.zero_())
    canvas, experts = 4 * rand(1, 1, SIDE, SIDE), (expert(NET, 0), expert(OTHER, 1))
    fractions: list[float] = []
    blend = Blend(experts, ReferenceEngine(), SIGMA)
    found = blend.step(EPSILON, canvas, torch.Generator(), fractions.append)
    basis = torch.zeros_like(canvas)
    for one in experts:
        one.add_basis(ReferenceEngine(), canvas, (0, 0), basis)
    torch.testing.assert_close(found, canvas - EPSILON**2 / 2 * (canvas / SIGMA**2 - basis), rtol=1e-12, atol=1e-12)


def test_a_model_that_has_all_is_denoised_and_confined_as_alone():
    whole, canvas = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64), 20 * rand(1, 1, SIDE, SIDE) - 10
    box = ColourBox(torch.full((1, 1, 1), -3.0), torch.full((1, 1, 1), 6.0))
    scale = OTHER_SIGMA / SIGMA
    alone = Expert(OTHER, scale, whole, whole, True, (0, 1), 1.5, box)
    none = Expert(NET, 1.0, 0 * whole, 0 * whole, noise_std=0.7)
    found = scale * Blend((none, alone), ReferenceEngine(), SIGMA).denoised(canvas)
    torch.testing.assert_close(found, denoise(OTHER, scale * canvas, 1.5, "torus", True), rtol=1e-10, atol=1e-10)
    confined = Boxes((none, alone)).constrain(canvas, torch.Generator())
    torch.testing.assert_close(scale * confined, (scale * canvas).clamp(-3, 6), rtol=1e-12, atol=1e-12)


def halves(left: int, right: int) -> bytes:
    picture = Image.new("L", (64, 32), left)
    picture.paste(right, (32, 0, 64, 32))
    return encoded(picture, "PNG")


def test_weights_follow_the_masks_and_sum_to_one():
    params = ResolvedSampleParams(width=64, height=32, step_size=1.0, seed=1, tileable=True)
    canvas = Canvas.of(params, stride=4, window=8)
    entries = [BlendedModel(model_id="m", mask_dataset_id="d"), BlendedModel(model_id="m", weight=0.25)]
    first, masked, everywhere = read_weights(entries, [halves(0, 255), None], canvas, 8)
    torch.testing.assert_close(first + masked + everywhere, torch.ones(1, 1, 32, 64))
    assert [one[0, 0, 9, 16].item() for one in (first, masked, everywhere)] == [0.75, 0.0, 0.25]
    assert [one[0, 0, 9, 48].item() for one in (first, masked, everywhere)] == [0.0, 1.0, 0.0]
    assert 0.3 < masked[0, 0, 9, 31] < 0.5 < masked[0, 0, 9, 32] < 0.7
    twice = [BlendedModel(model_id="m", mask_dataset_id="d")] * 2
    found = read_weights(twice, [halves(255, 255), halves(255, 255)], canvas, 8)
    assert [one.unique().tolist() for one in found] == [[0.0], [0.5], [0.5]], "never more than one in all"
    black = read_weights(entries[:1], [halves(0, 0)], canvas, 8)
    assert [one.unique().tolist() for one in black] == [[1.0], [0.0]]


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


def test_a_mask_is_softened_in_parts_as_it_is_whole(monkeypatch):
    canvas, entry = Canvas(32, 64, (32, 64)), [BlendedModel(model_id="m", mask_dataset_id="d")]
    masks = [noise_png(1, size=64)]
    whole = read_weights(entry, masks, canvas, 20)[1]
    monkeypatch.setattr("core.synthesis.blend_weights.BLURRED_PIXELS", 3 * 64)
    assert torch.equal(read_weights(entry, masks, canvas, 20)[1], whole)
    sharp = read_covering(masks[0], 32, 64, 1).double() / 255
    gains = [torch.exp(-((2 * torch.pi * torch.fft.fftfreq(side) * 0.25 * 20) ** 2) / 2) for side in (32, 64)]
    blurred = torch.fft.ifft2(torch.fft.fft2(sharp) * gains[0][:, None] * gains[1]).real
    torch.testing.assert_close(whole[0].double(), blurred, rtol=0, atol=2e-3)  # the blur ends at three deviations


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
    params = ResolvedSampleParams(width=30, height=20, step_size=1.0, seed=1)
    canvas = Canvas.of(params, stride=6, window=9)
    assert (canvas.size, canvas.sides) == ((20, 30), (30, 42))
    picture = torch.arange(600.0).view(1, 1, 20, 30)
    found = canvas.extend(picture)
    assert torch.equal(found[..., :20, :30], picture)
    assert torch.equal(found[..., 24, :30], picture[..., 19, :])
    assert torch.equal(found[..., 25, :30], picture[..., 0, :])
    assert torch.equal(found[..., :20, 41], picture[..., 0])
