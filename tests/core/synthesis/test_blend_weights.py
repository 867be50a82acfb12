"""How much of each pixel is whose, by masks and weights."""

import pytest
import torch
from PIL import Image
from support.finished_models import noise_png
from support.pictures import encoded

from core.pictures.images import read_covering
from core.schemas.blending import DEFAULT_SOFTNESS, BlendedModel
from core.schemas.sampling import ResolvedSampleParams
from core.synthesis.blend_weights import Canvas, read_weights


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
