"""The maps of a material are stored with all their bits."""

import numpy as np
import pytest
from support.png import gama, png
from support.tiff import tiff

from api.datasets.files import DecodedPicture, PictureRefused, UploadedFile
from api.datasets.limits import Limits
from api.datasets.map_reader import read_map
from api.settings import ApiSettings
from core.pictures.deep_png import read_samples
from core.schemas.materials import Role

SIDE = 12
RGB16 = np.random.default_rng(1).integers(0, 65536, (SIDE, SIDE, 3), dtype=np.uint16)
RGB8, GREY16, GREY8 = (RGB16 >> 8).astype(np.uint8), RGB16[..., :1], (RGB16[..., :1] >> 8).astype(np.uint8)
OPAQUE, CLEAR = np.full((SIDE, SIDE, 1), 65535, np.uint16), np.full((SIDE, SIDE, 1), 65534, np.uint16)
DARK = gama(100_000)  # linear light: as a picture its levels are raised


def _read(content: bytes, role: Role, **limits: int) -> DecodedPicture:
    return read_map(UploadedFile("images[0]", "a.png", content), Limits.of(ApiSettings(**limits)), role)


KEPT: dict[str, tuple[bytes, Role, np.ndarray]] = {
    "PNG of 16 bits, RGB": (png(RGB16, 16), "normal", RGB16),
    "PNG of 16 bits, grey": (png(GREY16, 16), "height", GREY16),
    "PNG of 16 bits, opaque alpha": (png(np.concatenate([RGB16, OPAQUE], axis=2), 16), "normal", RGB16),
    "PNG of 16 bits, RGB that repeats grey": (png(np.repeat(GREY16, 3, axis=2), 16), "height", GREY16),
    "PNG of 16 bits in linear light, as data": (png(RGB16, 16, before=[DARK]), "other", RGB16),
    "PNG of 8 bits in linear light, as data": (png(GREY8, before=[DARK]), "roughness", GREY8),
    "PNG of 8 bits, an albedo": (png(RGB8), "albedo", RGB8),
    "TIFF of 16 bits, RGB": (tiff(RGB16, 16, 2), "normal", RGB16),
    "TIFF of 16 bits, grey": (tiff(GREY16, 16, 1, order=">"), "height", GREY16),
}


@pytest.mark.parametrize(("content", "role", "expected"), KEPT.values(), ids=KEPT.keys())
def test_the_samples_of_a_map_are_stored_as_they_are(content: bytes, role: Role, expected: np.ndarray) -> None:
    found = _read(content, role)
    samples = read_samples(found.png)
    assert np.array_equal(samples, expected)
    assert (found.bits, found.mode) == (8 * expected.itemsize, "RGB" if expected.shape[2] == 3 else "L")


def test_an_albedo_of_another_profile_is_converted_to_srgb_with_8_bits() -> None:
    found = _read(png(RGB16, 16, before=[DARK]), "albedo")
    assert found.bits == 8
    assert read_samples(found.png).mean() > RGB8.mean() + 20


def test_a_large_map_is_scaled_down_with_all_its_bits() -> None:
    found = _read(png(GREY16, 16), "height", max_stored_pixels=SIDE * SIDE // 4)
    means = GREY16[..., 0].reshape(SIDE // 2, 2, SIDE // 2, 2).mean(axis=(1, 3))
    assert np.abs(read_samples(found.png)[..., 0] - means).max() <= 1
    assert found.notes == [f"scaled down from {SIDE} x {SIDE} to {SIDE // 2} x {SIDE // 2} pixels"]


@pytest.mark.parametrize(
    ("content", "role", "reason"),
    [
        (png(GREY8), "normal", "must be RGB"),
        (png(np.concatenate([RGB16, CLEAR], axis=2), 16), "albedo", "must be opaque"),
        (png(np.concatenate([GREY16, OPAQUE], axis=2), 16), "height", "16 bits a channel in grey with alpha"),
    ],
)
def test_a_map_that_cannot_be_used_is_refused(content: bytes, role: Role, reason: str) -> None:
    with pytest.raises(PictureRefused, match=reason) as refused:
        _read(content, role)
    assert refused.value.status == 422
