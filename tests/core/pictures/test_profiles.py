"""Profiles lead to sRGB, by closed forms and Little CMS; test_as_in_browsers.py compares them with a browser."""

import numpy as np
import pytest
from support import icc

from core.pictures.icc import read_icc, read_usable
from core.pictures.profiles import (
    SRGB_CURVE,
    SRGB_TO_XYZ,
    Converter,
    HighDynamicRange,
    Profile,
    ProfileUnusable,
    chromaticities_to_xyz,
    coded_profile,
    gamma,
    has_meaning,
    lab_to_xyz,
    matrix_profile,
    merge_black,
    xyz_to_srgb,
)

COLOURS = np.random.default_rng(0).integers(0, 256, (500, 3), np.uint8)
GREYS = np.arange(256, dtype=np.uint8)[:, None]


def _srgb(linear: np.ndarray) -> np.ndarray:
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_srgb_itself_changes_nothing() -> None:
    profile = matrix_profile(SRGB_CURVE, SRGB_TO_XYZ)
    assert np.array_equal(profile.to_srgb(COLOURS), COLOURS)
    assert np.array_equal(coded_profile(1, 13).to_srgb(COLOURS), COLOURS)
    assert np.array_equal(read_icc(icc.matrix(icc.SRGB_CURVE)).to_srgb(COLOURS), COLOURS)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_linear_grey_is_encoded_by_the_formula(kind: type[np.unsignedinteger]) -> None:
    most = np.iinfo(kind).max
    levels = np.linspace(0, most, 256).astype(kind)[:, None]
    found = read_icc(icc.grey(icc.gamma(1))).to_srgb(levels)
    assert np.abs(found - _srgb(levels / most)).max() <= 0.51


def test_the_chromaticities_of_srgb_give_its_matrix() -> None:
    found = chromaticities_to_xyz((0.3127, 0.3290), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
    assert np.abs(found - SRGB_TO_XYZ).max() < 2e-4
    assert np.abs(found.sum(axis=1) - [0.9642, 1, 0.8249]).max() < 2e-4  # white becomes D50


@pytest.mark.parametrize(
    "points", [[(0.3, 0.3)] * 4, [(0.3, 0.3), (0.1, 0.1), (0.2, 0.2), (0.3, 0.3)], [(0.3, 0.0), *[(0.3, 0.3)] * 3]]
)
def test_chromaticities_that_span_no_triangle_are_unusable(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ProfileUnusable):
        chromaticities_to_xyz(*points)


def test_lab_is_that_of_d50() -> None:
    lab = np.array([[100, 0, 0], [0, 0, 0], [53.585, 0, 0]], np.float32)
    assert xyz_to_srgb(lab_to_xyz(lab)).tolist() == [[255] * 3, [0] * 3, [128] * 3]


@pytest.mark.parametrize(("code", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_named(code: int, name: str) -> None:
    with pytest.raises(HighDynamicRange, match=name):
        coded_profile(9, code)
    with pytest.raises(HighDynamicRange, match=name):
        read_usable(icc.matrix(icc.gamma(1), cicp=icc.cicp(9, code)))


def test_code_points_without_a_meaning_count_as_srgb() -> None:
    assert not has_meaning(2, 13)
    assert not has_meaning(1, 3)
    assert has_meaning(12, 16)
    assert np.array_equal(coded_profile(2, 3).to_srgb(COLOURS), COLOURS)


def _with(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


SOUND = icc.matrix(icc.gamma(1))


def _converted(inks: int, profile: Profile | None, samples: np.ndarray) -> np.ndarray:
    return Converter(inks, profile)(samples)


def test_a_profile_that_does_not_fit_is_ignored() -> None:
    grey, inks = read_icc(icc.grey(icc.gamma(1))), read_icc(icc.lut8(b"CMYK", 2, lambda levels: levels[:, :3]))
    for profile in (grey, inks, read_icc(_with(SOUND, 16, b"Lab "))):
        assert np.array_equal(_converted(3, profile, COLOURS), COLOURS)


def test_grey_by_a_profile_of_rgb_stays_grey_if_that_is_what_it_shows() -> None:
    plain, tinted = read_icc(SOUND), read_icc(icc.matrix([icc.gamma(1), icc.gamma(2), icc.gamma(1)]))
    assert Converter(1, plain).channels == 1
    assert np.abs(_converted(1, plain, GREYS) - _srgb(GREYS / 255)).max() <= 1
    assert Converter(1, tinted).channels == 3
    assert _converted(1, tinted, GREYS).shape == (256, 3)


def test_alpha_is_kept_and_16_bits_become_the_nearest_of_8() -> None:
    samples = np.array([[[0, 128], [65535, 65535], [129, 129]]], np.uint16)
    assert _converted(1, None, samples).tolist() == [[[0, 0], [255, 255], [1, 1]]]
    with_alpha = np.concatenate([COLOURS, COLOURS[:, :1]], axis=1)
    found = _converted(3, matrix_profile(gamma(1.0), SRGB_TO_XYZ), with_alpha)
    assert np.array_equal(found[:, 3], with_alpha[:, 3])
    assert np.abs(found[:, :3] - _srgb(COLOURS / 255)).max() <= 1


def test_inks_without_a_profile_are_multiplied_and_black_can_be_merged() -> None:
    inks = np.array([[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 51]], np.uint8)
    assert _converted(4, None, inks).tolist() == [[255] * 3, [0, 255, 255], [0] * 3, [204] * 3]
    profile = read_icc(icc.lut8(b"CMYK", 2, lambda levels: (1 - levels[:, :1]) * [100, 0, 0]))  # cyan darkens
    assert _converted(4, profile, inks)[:, 0].tolist() == [255, 0, 255, 255]
    assert _converted(4, merge_black(profile), inks)[:3, 0].tolist() == [255, 0, 0]
