"""Colour profiles: convert samples to sRGB as browsers do. Without torch, because the API imports this.

A profile is an ICC profile embedded in a picture (core.pictures.icc), or is made from the numbers that a format states
instead (gamma, chromaticities, the code points of ITU-T H.273). Little CMS, which Pillow offers, is not used: it adds
black point compensation to perceptual tables, which browsers do not, and takes 8 bits only.

XYZ is the profile connection space: relative to D50, white has Y = 1. References: ICC.1:2022 (section numbers below).
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Curve = Callable[
    [NDArray[np.float64]], NDArray[np.float64]
]  # from 0..1 to linear light, or from one encoding to another
Stage = Callable[[Floats], Floats]  # (N, C) -> (N, C')
Samples = NDArray[np.unsignedinteger[Any]]  # of 8 or 16 bits

D50 = np.array([0.9642, 1.0, 0.8249])
SRGB_TO_XYZ = np.array(
    [
        [0.436065674, 0.385147095, 0.143066406],
        [0.222488403, 0.716873169, 0.060607910],
        [0.013916016, 0.097076416, 0.714096069],
    ]
)
_XYZ_TO_SRGB = np.linalg.inv(SRGB_TO_XYZ)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_HDR = {16: "PQ", 18: "HLG"}
_ENCODE_STEPS = 65535
_ROWS = 1 << 18  # samples converted at once, which bounds the memory


class ProfileUnusable(ValueError):
    """The profile is damaged or of a kind that viewers ignore."""


class HighDynamicRange(ValueError):
    """The picture is high dynamic range; its look on an sRGB screen depends on the viewer."""


@dataclass(frozen=True)
class Profile:
    """How to get from samples to XYZ. channels: 1 grey, 3 RGB, 4 CMYK.

    curves: one for each channel, applied first. to_xyz: (N, channels) -> (N, 3); None for grey, which stays neutral.
    """

    channels: int
    curves: Sequence[Curve]
    to_xyz: Stage | None

    def to_srgb(self, samples: Samples) -> NDArray[np.uint8]:
        """Convert (N, channels) samples to (N, 3) bytes, or (N, 1) from grey. Colours outside of sRGB are clipped."""
        levels = np.linspace(0, 1, np.iinfo(samples.dtype).max + 1)
        tables = [curve(levels).astype(np.float32) for curve in self.curves]
        if self.to_xyz is None:
            return _take(_encode(tables[0]), samples)
        found = np.empty((len(samples), 3), np.uint8)
        for at in range(0, len(samples), _ROWS):
            part = samples[at : at + _ROWS]
            linear = np.stack([table[part[:, channel]] for channel, table in enumerate(tables)], axis=1)
            found[at : at + _ROWS] = xyz_to_srgb(self.to_xyz(linear))
        return found


def xyz_to_srgb(xyz: Floats) -> NDArray[np.uint8]:
    """Convert (N, 3) XYZ relative to D50 to sRGB bytes."""
    return _encode(xyz @ _XYZ_TO_SRGB.T.astype(np.float32))


def lab_to_xyz(lab: Floats) -> Floats:
    """Convert (N, 3) CIE L*a*b*, L from 0 to 100, to XYZ; both relative to D50."""
    middle = (lab[:, 0] + 16) / 116
    f = np.stack([middle + lab[:, 1] / 500, middle, middle - lab[:, 2] / 200], axis=1)
    return np.where(f > 6 / 29, f**3, (f - 4 / 29) * (3 * (6 / 29) ** 2)).astype(np.float32) * D50.astype(np.float32)


def _take(table: NDArray[np.uint8], samples: Samples) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = table[samples]
    return found


def _encode(linear: Floats) -> NDArray[np.uint8]:
    levels: NDArray[np.uint16] = np.rint(np.clip(np.nan_to_num(linear), 0, 1) * _ENCODE_STEPS).astype(np.uint16)
    return _take(_ENCODED, levels)


def _srgb_encode(linear: NDArray[np.float64]) -> NDArray[np.uint8]:
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    levels: NDArray[np.uint8] = np.rint(255 * encoded).astype(np.uint8)
    return levels


_ENCODED = _srgb_encode(np.linspace(0, 1, _ENCODE_STEPS + 1))


def parametric(kind: int, *parameters: float) -> Curve:
    """Return the parametric curve `kind` (10.18): g, a, b, c, d, e, f. Raises ProfileUnusable."""
    g, a, b, c, d, e, f = (*parameters, *(0.0,) * (7 - len(parameters)))
    match kind:
        case 0:
            a = 1.0
        case 1 | 2:
            if a == 0:
                raise ProfileUnusable("a curve without slope")
            d, e, f, c = -b / a, c, c, 0.0
    if not all(np.isfinite(parameters)) or min(g, a, c, d) < 0 or a * d + b < -1e-4:
        raise ProfileUnusable("a curve with impossible parameters")
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


def gamma(exponent: float) -> Curve:
    """Return the curve x -> x ** exponent."""
    return parametric(0, exponent)


SRGB_CURVE = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def curve_of_table(levels: NDArray[np.float64]) -> Curve:
    """Return the curve through levels at equal distances from 0 to 1."""
    positions = np.linspace(0, 1, len(levels))
    return lambda x: np.interp(x, positions, levels)


def matrix_profile(curves: Curve | Sequence[Curve], to_xyz: NDArray[np.float64]) -> Profile:
    """Return the profile of RGB by curves to linear light, then a matrix (3, 3) to XYZ."""
    transposed = to_xyz.T.astype(np.float32)
    return Profile(3, [curves] * 3 if callable(curves) else curves, lambda linear: linear @ transposed)


def chromaticities_to_xyz(white: tuple[float, float], *primaries: tuple[float, float]) -> NDArray[np.float64]:
    """Return the matrix (3, 3) from linear RGB to XYZ for the xy of white, red, green and blue.

    Its white is adapted to D50 by Bradford's method. Raises ProfileUnusable if the primaries span no triangle.
    """
    if min(y for _, y in (white, *primaries)) <= 0:
        raise ProfileUnusable("chromaticities without luminance")
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    light = np.array([white[0] / white[1], 1, (1 - white[0] - white[1]) / white[1]])
    try:
        to_xyz = columns * np.linalg.solve(columns, light)
    except np.linalg.LinAlgError as error:
        raise ProfileUnusable("primaries on one line") from error
    gain = (_BRADFORD @ D50) / (_BRADFORD @ light)
    adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ (gain[:, None] * _BRADFORD) @ to_xyz
    if not np.isfinite(adapted).all():
        raise ProfileUnusable("impossible chromaticities")
    return adapted


_D65, _C, _E = (0.3127, 0.3290), (0.310, 0.316), (1 / 3, 1 / 3)
_THEATRE = (0.314, 0.351)
_SMPTE_C = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_PRIMARIES = {  # ITU-T H.273, table 2: white, red, green, blue
    1: (_D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (_D65, *_SMPTE_C),
    7: (_D65, *_SMPTE_C),
    8: (_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    10: (_E, (1.0, 1e-9), (0.0, 1.0), (0.0, 1e-9)),
    11: (_THEATRE, *_P3),
    12: (_D65, *_P3),
    22: (_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
_REC_709 = gamma(2.4)  # as of a screen (BT.1886), not of a camera
REC_709_CODES = frozenset((1, 6, 11, 14, 15))
_TRANSFERS = {  # ITU-T H.273, table 3
    **dict.fromkeys(REC_709_CODES, _REC_709),
    4: gamma(2.2),
    5: gamma(2.8),
    7: parametric(3, 1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4.0, 0.0912),
    8: gamma(1.0),
    13: SRGB_CURVE,
    17: lambda x: 52.37 / 48 * x**2.6,
}


def has_meaning(primaries: int, transfer: int) -> bool:
    """Return True if both code points of ITU-T H.273 name something."""
    return primaries in _PRIMARIES and (transfer in _TRANSFERS or transfer in _HDR)


def coded_profile(primaries: int, transfer: int, rec_709_codes: Container[int] = REC_709_CODES) -> Profile:
    """Return the profile for code points of ITU-T H.273; those without a meaning count as sRGB.

    rec_709_codes: transfer functions that follow Rec. 709; the others of that family count as sRGB. Which ones browsers
    take literally depends on where they stand. Raises HighDynamicRange.
    """
    if transfer in _HDR:
        raise HighDynamicRange(f"high dynamic range ({_HDR[transfer]}); export it for standard dynamic range")
    curve = _TRANSFERS.get(transfer, SRGB_CURVE)
    if transfer in REC_709_CODES and transfer not in rec_709_codes:
        curve = SRGB_CURVE
    return matrix_profile(curve, chromaticities_to_xyz(*_PRIMARIES.get(primaries, _PRIMARIES[1])))


def merge_black(profile: Profile) -> Profile:
    """Return the profile for what four inks show without it: (1 - C)(1 - K) and so on.

    That is how browsers treat JPEG: they merge black into the other inks before they apply the profile of four.
    """
    curves = [_inverted(curve) for curve in profile.curves[:3]]
    no_black = float(profile.curves[3](np.zeros(1))[0])
    to_xyz = profile.to_xyz
    assert to_xyz is not None
    return Profile(3, curves, lambda inks: to_xyz(np.pad(inks, ((0, 0), (0, 1)), constant_values=no_black)))


def _inverted(curve: Curve) -> Curve:
    return lambda x: curve(1 - x)


class Converter:
    """Converts the samples of one picture to sRGB with 8 bits. channels: of the result, without alpha.

    A profile that does not fit the picture is ignored, as by browsers. A profile of RGB fits grey, and also CMYK, where
    it applies to what the inks show (see `merge_black`).
    """

    def __init__(self, inks: int, profile: Profile | None) -> None:
        """inks: channels of the samples without alpha: 1 grey, 3 RGB, 4 CMYK."""
        self._inks = inks
        self._profile: Profile | None = None
        self.channels = 1 if inks == 1 else 3
        if profile is not None and (profile.channels == inks or (inks, profile.channels) == (4, 3)):
            self._profile = profile
        elif profile is not None and (inks, profile.channels) == (1, 3):
            self._profile = profile
            shown = self._grey_as_rgb(np.arange(256, dtype=np.uint8)[:, None]).astype(int)
            self.channels = 1 if np.ptp(shown, axis=1).max() <= 1 else 3

    @property
    def changes(self) -> bool:
        """False if samples of 8 bits, grey or RGB, stay as they are."""
        return self._profile is not None or self._inks == 4

    def __call__(self, samples: Samples) -> NDArray[np.uint8]:
        """Convert samples (..., inks) or (..., inks + 1) with alpha -> (..., channels) or (..., channels + 1)."""
        colours = samples[..., : self._inks].reshape(-1, self._inks)
        if self._inks == 4 and (self._profile is None or self._profile.channels == 3):
            shown = _inks_to_rgb(to_bytes(colours))
            shown = shown if self._profile is None else self._profile.to_srgb(shown)
        elif self._profile is None:
            shown = to_bytes(colours)
        elif self._inks == 1 and self._profile.channels == 3:
            shown = self._grey_as_rgb(colours)
        else:
            shown = self._profile.to_srgb(colours)
        if shown.shape[1] > self.channels:
            shown = shown[:, 1:2]
        shown = shown.reshape(*samples.shape[:-1], self.channels)
        alpha = samples[..., self._inks :]
        return np.concatenate([shown, to_bytes(alpha)], axis=-1) if alpha.shape[-1] else shown

    def _grey_as_rgb(self, samples: Samples) -> NDArray[np.uint8]:
        assert self._profile is not None
        return self._profile.to_srgb(np.repeat(samples, 3, axis=1))


def to_bytes(samples: Samples) -> NDArray[np.uint8]:
    """Convert samples of 16 bits to the nearest of 8 (65535 = 255 * 257)."""
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _inks_to_rgb(inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert CMYK (N, 4) without a profile: red = (1 - C)(1 - K) and so on."""
    light = 255 - inks.astype(np.uint16)
    return (light[:, :3] * light[:, 3:] // 255).astype(np.uint8)
