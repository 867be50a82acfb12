import io

import numpy as np
import pytest
import torch
from PIL import Image

from core.pictures.images import (
    SHEET_GAP,
    Levels,
    filter_sheet,
    read_picture,
    resize_periodic,
    sheet,
    standardize,
    to_pixels,
    write_picture,
)


def png(array, mode=None):
    buffer = io.BytesIO()
    picture = Image.fromarray(np.asarray(array, dtype=np.uint8))
    (picture.convert(mode) if mode else picture).save(buffer, format="PNG")
    return buffer.getvalue()


def random_bytes(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("channels", "shape"), [(3, (24, 24, 3)), (1, (24, 24))])
def test_a_picture_of_the_requested_size_is_read_pixel_by_pixel(channels, shape):
    array = random_bytes(*shape)
    picture = read_picture(png(array), 24, channels)
    assert picture.dtype == torch.float32
    assert picture.shape == (channels, 24, 24)
    assert np.array_equal(picture.permute(1, 2, 0).numpy(), array.reshape(24, 24, channels))


@pytest.mark.parametrize("shape", [(20, 50, 3), (50, 20, 3)])
def test_a_long_picture_is_cropped_to_its_middle(shape):
    array = random_bytes(*shape)
    middle = array[15:35] if shape[0] == 50 else array[:, 15:35]
    assert torch.equal(read_picture(png(array), 20, 3), torch.tensor(middle).permute(2, 0, 1).float())


@pytest.mark.parametrize("size", [16, 100])
def test_scaling_keeps_a_uniform_grey_and_stays_between_0_and_255(size):
    assert torch.equal(read_picture(png(np.full((40, 60), 77)), size, 1), torch.full((1, size, size), 77.0))
    checks = np.kron(np.indices((10, 10)).sum(0) % 2 * 255, np.ones((4, 4)))
    scaled = read_picture(png(checks), size, 1)
    assert scaled.shape == (1, size, size)
    assert scaled.min() >= 0
    assert scaled.max() <= 255


def test_scaling_a_large_picture_down_averages_it():
    ramp = np.tile(np.linspace(0, 255, 256), (256, 1))
    scaled = read_picture(png(ramp), 16, 1)[0]
    expected = torch.tensor(ramp.reshape(256, 16, 16).mean(axis=2)[:16])
    assert (scaled - expected)[:, 2:-2].abs().max() < 2


def test_grey_is_read_as_colour_with_equal_channels_and_colour_as_its_luminance():
    grey = random_bytes(16, 16)
    colour = read_picture(png(grey), 16, 3)
    assert all(torch.equal(colour[channel], torch.tensor(grey).float()) for channel in range(3))
    red = np.zeros((16, 16, 3))
    red[..., 0] = 255
    assert read_picture(png(red), 16, 1).unique().tolist() == [76]  # ITU-R 601: 0.299 x 255


@pytest.mark.parametrize("mode", ["P", "1", "L", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_of_png_is_read(mode, channels):
    picture = read_picture(png(random_bytes(16, 20, 3), mode), 16, channels)
    assert picture.shape == (channels, 16, 16)


@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_parts_are_laid_on_white(channels):
    array = np.zeros((16, 16, 4))
    array[:, :8, 3] = 255  # left half opaque black
    array[:, 12:, 3] = 51  # right quarter a fifth black
    picture = read_picture(png(array), 16, channels)
    assert picture[..., :8].unique().tolist() == [0]
    assert picture[..., 8:12].unique().tolist() == [255]
    assert picture[..., 12:].unique().tolist() == [204]


def test_transparent_parts_of_a_grey_picture_are_laid_on_white():
    array = np.zeros((16, 16, 2), dtype=np.uint8)
    array[:, 8:, 1] = 255
    assert read_picture(png(array), 16, 1)[0, 0].tolist() == [255.0] * 8 + [0.0] * 8


def test_sec7_the_mean_is_subtracted_from_each_channel():
    images = torch.tensor(random_bytes(4, 3, 8, 8)).double()
    centred, levels = standardize(images)
    mean = levels.mean
    assert levels.gain == 1
    assert mean.shape == (3,)
    torch.testing.assert_close(mean[1], images[:, 1].mean())
    torch.testing.assert_close(centred.mean(dim=(0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(centred + mean[:, None, None], images)


def test_to_pixels_adds_the_mean_again():
    images = torch.tensor(random_bytes(2, 3, 8, 8))
    assert torch.equal(to_pixels(*standardize(images.float())), images)


def test_to_pixels_rounds_and_clamps():
    images = torch.tensor([-300.0, -100.4, 0.4, 0.6, 100.0, 1000.0]).view(1, 1, 1, 6)
    assert to_pixels(images, Levels(torch.tensor([100.0]))).flatten().tolist() == [0, 0, 100, 101, 200, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_written_picture_is_read_back_byte_by_byte(channels):
    pixels = torch.tensor(random_bytes(channels, 16, 16))
    content = write_picture(pixels)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert Image.open(io.BytesIO(content)).mode == ("L" if channels == 1 else "RGB")
    assert torch.equal(read_picture(content, 16, channels).to(torch.uint8), pixels)


def test_a_picture_that_is_not_square_can_be_written():
    assert Image.open(io.BytesIO(write_picture(torch.zeros(3, 4, 9, dtype=torch.uint8)))).size == (9, 4)


def test_a_sheet_shows_every_picture_in_its_cell_on_white():
    pictures = [torch.full((1, 3, 4), value, dtype=torch.uint8) for value in (10, 20, 30)]
    whole = sheet(pictures, columns=2)
    assert whole.shape == (1, 2 * 3 + SHEET_GAP, 2 * 4 + SHEET_GAP)
    assert (whole[0, :3, :4] == 10).all()
    assert (whole[0, :3, 4 + SHEET_GAP :] == 20).all()
    assert (whole[0, 3 + SHEET_GAP :, :4] == 30).all()
    assert (whole == 255).sum() == whole.numel() - 3 * 12


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (16, 4)])
def test_a_sheet_is_about_square_by_default(count, columns):
    whole = sheet([torch.zeros(3, 5, 5, dtype=torch.uint8)] * count)
    assert whole.shape[2] == columns * (5 + SHEET_GAP) - SHEET_GAP


def test_every_cell_of_a_sheet_has_the_size_of_the_largest_picture():
    large, small = torch.full((1, 4, 6), 1, dtype=torch.uint8), torch.full((1, 2, 3), 2, dtype=torch.uint8)
    whole = sheet([large, small], columns=2)
    assert whole.shape == (1, 4, 6 + SHEET_GAP + 6)
    place = whole[0, :, 6 + SHEET_GAP :]
    assert (place[:2, :3] == 2).all()
    assert (place[2:] == 255).all()
    assert (place[:, 3:] == 255).all()


def test_a_sheet_can_be_magnified():
    whole = sheet([torch.tensor([[[1, 2]]], dtype=torch.uint8)], magnify=2)
    assert whole[0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_each_filter_is_scaled_about_mid_grey_to_its_own_range(channels):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, channels, 15, 15, generator=generator) * torch.tensor([1e-3, 1.0, 1e3]).view(3, 1, 1, 1)
    weight[2] = 0
    whole = filter_sheet(weight)
    assert whole.shape[0] == (channels if channels in (1, 3) else 1)
    side = 3 * 15
    corners = [(0, 0), (0, side + SHEET_GAP), (side + SHEET_GAP, 0)]
    shown = [whole[:, row : row + side, column : column + side] for row, column in corners]
    for part in shown[:2]:
        assert max(part.max().item() - 128, 128 - part.min().item()) == 127
    assert (shown[2] == 128).all()


def test_filters_that_require_gradients_can_be_shown():
    assert filter_sheet(torch.nn.Parameter(torch.ones(1, 1, 3, 3))).dtype == torch.uint8


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((3, 24, 24), (20, 22)),
        ((1, 24, 18), (20, 20)),
        ((3, 8, 8), (13, 5)),
        ((1, 6, 6), (11, 12)),
        ((3, 60, 60), (8, 8)),
    ],
)
def test_a_resized_periodic_picture_is_a_part_of_the_resized_tiling(shape, size):
    pixels = torch.tensor(random_bytes(*shape) // 4 + 96)  # far from black and white: nothing is cut off between passes
    fitted = resize_periodic(pixels, *size)
    assert fitted.shape == (shape[0], *size)
    around = 5
    plane = pixels.repeat(1, around, around).permute(1, 2, 0).numpy()
    plane = Image.fromarray(plane.squeeze(2) if shape[0] == 1 else plane)
    whole = np.asarray(plane.resize((around * size[1], around * size[0]), Image.Resampling.LANCZOS))
    whole = torch.tensor(whole).reshape(around * size[0], around * size[1], shape[0]).permute(2, 0, 1)
    expected = whole[:, 2 * size[0] : 3 * size[0], 2 * size[1] : 3 * size[1]]
    assert (fitted.int() - expected.int()).abs().max() <= 1


def test_a_periodic_picture_of_the_requested_size_is_returned_unchanged():
    pixels = torch.tensor(random_bytes(3, 12, 12))
    assert torch.equal(resize_periodic(pixels, 12, 12), pixels)


def test_standardizing_to_a_contrast_can_be_inverted():
    images = 100 + 3 * torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    stretched, levels = standardize(images, contrast=50.0)
    torch.testing.assert_close(stretched.square().mean().sqrt(), torch.tensor(50.0, dtype=torch.float64))
    torch.testing.assert_close(stretched / levels.gain + levels.mean[:, None, None], images)
    assert torch.equal(to_pixels(stretched, levels), images.round().to(torch.uint8))


def test_a_flat_picture_is_not_scaled_up_to_noise():
    flat = torch.full((1, 1, 8, 8), 77.0)
    flat[..., 0, 0] = 78
    stretched, levels = standardize(flat, contrast=50.0)
    assert levels.gain == 50
    assert stretched.abs().max() <= 50
