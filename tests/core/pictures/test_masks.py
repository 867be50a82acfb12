"""Which pixels of a picture are known, and reading masked pictures (core/pictures/masks.py and images.py)."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from core.pictures.images import Levels, read_masked_picture, read_picture, to_pixels
from core.pictures.masks import KNOWN_ALPHA, middle_square, read_known, with_mask


def png(levels, alpha):
    """Encode grey or colour levels and an alpha of the same (H, W) as a PNG file."""
    levels, alpha = np.asarray(levels, dtype=np.uint8), np.asarray(alpha, dtype=np.uint8)
    bands = levels[..., None] if levels.ndim == 2 else levels
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate([bands, alpha[..., None]], axis=2)).save(buffer, format="PNG")
    return buffer.getvalue()


def random_bytes(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def holed(height, width, rows, columns):
    alpha = np.full((height, width), 255)
    alpha[rows, columns] = 0
    return alpha


@pytest.mark.parametrize(("alpha", "known"), [(0, False), (127, False), (128, True), (255, True)])
def test_alpha_below_128_is_unknown(alpha, known):
    assert (read_known(png(random_bytes(20, 20), np.full((20, 20), alpha)), 20) == known).all()


def test_every_pixel_of_a_picture_without_alpha_is_known():
    buffer = io.BytesIO()
    Image.fromarray(random_bytes(20, 30)).save(buffer, format="PNG")
    assert read_known(buffer.getvalue(), 16).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_the_requested_size_is_read_pixel_by_pixel(channels):
    levels = random_bytes(24, 24, 3) if channels == 3 else random_bytes(24, 24)
    alpha = holed(24, 24, slice(3, 9), slice(10, 20))
    masked = read_masked_picture(png(levels, alpha), 24, channels)
    assert masked.pixels.dtype == torch.float32
    assert torch.equal(masked.known, torch.tensor(alpha == 255))
    expected = torch.tensor(levels.reshape(24, 24, channels)).permute(2, 0, 1).float()
    assert torch.equal(masked.pixels[:, masked.known], expected[:, masked.known])
    assert (masked.pixels[:, ~masked.known] == 255).all()


@pytest.mark.parametrize("shape", [(20, 50), (50, 20)])
def test_the_mask_is_cropped_as_the_picture_is(shape):
    alpha = np.full(shape, 255)
    alpha[17:19, 17:19] = 0
    masked = read_masked_picture(png(random_bytes(*shape), alpha), 20, 1)
    left, top, *_ = middle_square(shape[1], shape[0])
    assert torch.equal(masked.known, torch.tensor(alpha[top : top + 20, left : left + 20] == 255))
    assert (~masked.known).any()


@pytest.mark.parametrize("hole", [(8, 12), (9, 12), (9, 11), (8, 13)])
def test_a_scaled_pixel_is_known_only_if_all_of_its_parts_are(hole):
    """Scaled down by 4: one unknown pixel makes its block of 4 x 4 unknown."""
    first, end = hole
    alpha = holed(64, 64, slice(first, end), slice(first, end))
    known = read_known(png(random_bytes(64, 64), alpha), 16)
    expected = np.ones((16, 16), dtype=bool)
    expected[first // 4 : -(-end // 4), first // 4 : -(-end // 4)] = False
    assert np.array_equal(known, expected)


def test_one_unknown_pixel_of_a_large_picture_is_kept():
    alpha = holed(1600, 1600, 50, 50)
    assert (~read_known(png(np.zeros((1600, 1600)), alpha), 16)).sum() == 1


@pytest.mark.parametrize("size", [16, 24, 40, 100])
@pytest.mark.parametrize("hidden", [0, 255])
def test_unknown_pixels_do_not_change_known_ones(size, hidden):
    levels = np.full((40, 40), 77)
    alpha = holed(40, 40, slice(11, 23), slice(7, 30))
    levels[alpha == 0] = hidden
    masked = read_masked_picture(png(levels, alpha), size, 1)
    assert (masked.pixels[:, masked.known] == 77).all()


def test_away_from_unknown_pixels_the_picture_is_read_as_for_learning():
    levels, alpha = random_bytes(64, 64, 3), holed(64, 64, slice(0, 8), slice(0, 64))
    masked = read_masked_picture(png(levels, alpha), 16, 3)
    assert torch.equal(masked.pixels[:, 6:], read_picture(png(levels, alpha), 16, 3)[:, 6:])


def test_to_pixels_inverts_standardize():
    pictures = torch.tensor(random_bytes(2, 3, 8, 8)).float()
    levels = Levels(torch.tensor([10.5, 100.25, 200.0]), 1.7)
    standardized = levels.standardize(pictures)
    assert torch.allclose(standardized[:, 1], (pictures[:, 1] - 100.25) * 1.7)
    assert torch.equal(to_pixels(standardized, levels).float(), pictures)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_a_mask_becomes_the_alpha_of_a_picture(mode):
    picture = Image.fromarray(random_bytes(2, 3, 3)).convert(mode)
    if "A" in mode:
        picture.putalpha(Image.fromarray(np.array([[255, 9, 255], [255, 255, 255]], dtype=np.uint8)))
    mask = Image.fromarray(np.array([[255, 255, 0], [200, 255, 255]], dtype=np.uint8)).convert("RGBA")
    mask.putpixel((1, 1), (255, 255, 255, 0))
    masked = with_mask(picture, mask)
    own = 9 if "A" in mode else 255
    assert np.asarray(masked.getchannel("A")).tolist() == [[255, own, 0], [200, 0, 255]]
    shown, given = masked.convert("RGB"), picture.convert("RGB")
    assert np.array_equal(np.asarray(shown), np.asarray(given))


def test_a_mask_is_held_against_the_picture_upright():
    picture = Image.fromarray(random_bytes(2, 3, 3))
    picture.getexif()[0x0112] = 6  # is shown turned clockwise
    mask = Image.new("L", (2, 3), 255)
    mask.putpixel((1, 0), 0)
    masked = with_mask(picture, mask)
    assert np.array_equal(np.asarray(masked.convert("RGB")), np.rot90(np.asarray(picture), -1))
    assert np.asarray(masked.getchannel("A")).tolist() == [[255, 0], [255, 255], [255, 255]]


@pytest.mark.parametrize(
    ("mode", "size", "message"), [("L", (3, 3), "but have 3 x 2 and 3 x 3 pixels"), ("I;16", (3, 2), "of 8 bits")]
)
def test_a_mask_of_another_size_or_depth_is_refused(mode, size, message):
    with pytest.raises(ValueError, match=message):
        with_mask(Image.fromarray(random_bytes(2, 3, 3)), Image.new(mode, size))


def test_a_mask_that_leaves_nothing_of_the_middle_square_is_refused():
    picture, mask = Image.fromarray(random_bytes(2, 6, 3)), Image.new("L", (6, 2), KNOWN_ALPHA - 1)
    mask.paste(255, (0, 0, 2, 2))
    with pytest.raises(ValueError, match="leaves nothing"):
        with_mask(picture, mask)
    mask.putpixel((3, 1), KNOWN_ALPHA)
    assert with_mask(picture, mask).getchannel("A").getpixel((3, 1)) == KNOWN_ALPHA
