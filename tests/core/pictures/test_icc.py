"""ICC profiles lead to sRGB as Little CMS has it; a damaged one is recognised."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from support import icc

from core.pictures.icc import read_icc, read_usable
from core.pictures.profiles import (
    Converter,
    HighDynamicRange,
    ProfileUnusable,
)

COLOURS = np.random.default_rng(0).integers(0, 256, (500, 3), np.uint8)
GREYS = np.arange(256, dtype=np.uint8)[:, None]


def _srgb(linear: np.ndarray) -> np.ndarray:
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _by_little_cms(profile: bytes) -> np.ndarray:
    picture = Image.fromarray(COLOURS[None])
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None
    return np.asarray(converted)[0].astype(int)


@pytest.mark.parametrize(
    "profile",
    [
        icc.matrix(icc.gamma(1.8)),
        icc.matrix(icc.gamma(2.2), icc.P3),
        icc.matrix([icc.gamma(1), icc.gamma(2.2), icc.gamma(1.8)]),
        icc.matrix(icc.table([0, 2000, 10_000, 30_000, 65_535])),
        icc.matrix(icc.SRGB_CURVE, icc.SWAPPED),
    ],
    ids=["gamma", "P3", "three curves", "table", "parametric"],
)
def test_curves_and_a_matrix_agree_with_little_cms(profile: bytes) -> None:
    assert np.abs(read_icc(profile).to_srgb(COLOURS) - _by_little_cms(profile)).max() <= 1


def test_a_table_is_interpolated_between_its_points() -> None:
    """One that is linear in the lightness of grey is exact everywhere."""
    profile = read_icc(icc.lut8(b"RGB ", 2, lambda levels: levels.mean(axis=1)[:, None] * [100, 0, 0]))
    lightness = GREYS[:, 0] / 2.55
    luminance = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    found = profile.to_srgb(np.repeat(GREYS, 3, axis=1))
    assert np.abs(found - _srgb(luminance)[:, None]).max() <= 1


def _with(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


SOUND = icc.matrix(icc.gamma(1))
UNUSABLE = {
    "empty": b"",
    "short": SOUND[:100],
    "cut": SOUND[:-5],
    "no signature": _with(SOUND, 36, b"xxxx"),
    "version 5": _with(SOUND, 8, b"\5"),
    "another illuminant": _with(SOUND, 68, struct.pack(">i", 65536)),
    "many tags": _with(SOUND, 128, struct.pack(">I", 2**31)),
    "a tag outside": _with(SOUND, 136, struct.pack(">I", 2**31)),
    "no curves": icc.profile(b"RGB ", b"XYZ "),
    "an unknown curve": icc.matrix(b"abcd" + bytes(20)),
    "a long curve": icc.matrix(b"curv" + bytes(4) + struct.pack(">I", 2**31)),
    "a curve of infinite slope": icc.matrix(icc.parametric(1, 2.2, 0, 1)),
    "a falling curve": icc.matrix(icc.parametric(0, -2.2)),
    "a table of one point": icc.profile(b"RGB ", b"Lab ", A2B0=b"mft1" + bytes(4) + bytes([3, 3, 1, 0]) + bytes(900)),
    "a table cut short": icc.profile(b"RGB ", b"Lab ", A2B0=b"mft2" + bytes(4) + bytes([3, 3, 255, 0]) + bytes(90)),
    "a table of another kind": icc.profile(b"RGB ", b"Lab ", A2B0=b"mpet" + bytes(4) + bytes([3, 3, 2, 0]) + bytes(90)),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_damaged_profile_is_unusable(name: str) -> None:
    with pytest.raises(ProfileUnusable):
        read_icc(UNUSABLE[name])
    assert read_usable(UNUSABLE[name]) is None


@pytest.mark.parametrize("seed", range(20))
def test_no_damaged_profile_raises_anything_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inks = icc.lut8(b"CMYK", 2, lambda levels: levels[:, :3])
    for sound in (SOUND, icc.m_ab(3, lambda levels: levels), inks):
        for _ in range(20):
            damaged = np.frombuffer(sound, np.uint8).copy()
            damaged[rng.integers(0, min(len(damaged), 600), 4)] = rng.integers(0, 256, 4)
            try:
                profile = read_icc(damaged.tobytes())
            except (ProfileUnusable, HighDynamicRange):
                continue
            with np.errstate(all="ignore"):
                Converter(max(profile.channels, 1), profile)(COLOURS[:, :1].repeat(max(profile.channels, 1), axis=1))
