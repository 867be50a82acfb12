"""ICC profiles made of given curves, matrices and tables."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Columns = tuple[tuple[float, float, float], ...]
SRGB: Columns = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
P3: Columns = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
SWAPPED: Columns = (SRGB[1], SRGB[0], SRGB[2])
D50 = (0.9642, 1.0, 0.8249)


def _fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def gamma(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256))


def table(levels: Any) -> bytes:
    """Return a curve through levels of 16 bits."""
    levels = np.asarray(levels)
    return b"curv" + bytes(4) + struct.pack(">I", len(levels)) + levels.astype(">u2").tobytes()


def parametric(kind: int, *parameters: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + _fixed(*parameters)


SRGB_CURVE = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def matrix(curve: bytes | Sequence[bytes], columns: Columns = SRGB, **further: bytes) -> bytes:
    """Return a profile of RGB. further: tags by name."""
    curves = [curve] * 3 if isinstance(curve, bytes) else curve
    tags = {name: _xyz(*column) for name, column in zip(("rXYZ", "gXYZ", "bXYZ"), columns, strict=True)}
    tags |= dict(zip(("rTRC", "gTRC", "bTRC"), curves, strict=True)) | further
    return profile(b"RGB ", b"XYZ ", **tags)


def grey(curve: bytes) -> bytes:
    return profile(b"GRAY", b"XYZ ", kTRC=curve)


def lut8(colour_space: bytes, points: int, to_lab: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """Return a profile by a table of 8 bits. to_lab: (N, channels) in 0..1 -> (N, 3) L*a*b*."""
    channels = {b"RGB ": 3, b"CMYK": 4}[colour_space]
    lab = to_lab(_grid(points, channels))
    levels = np.stack([lab[:, 0] * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], axis=1).round().clip(0, 255)
    identity = bytes(range(256))
    head = b"mft1" + bytes(4) + bytes([channels, 3, points, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    content = head + identity * channels + levels.astype(np.uint8).tobytes() + identity * 3
    return profile(colour_space, b"Lab ", A2B0=content)


def m_ab(points: int, to_xyz: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """Return a profile of RGB by a table of version 4: curves of gamma 1.2, a grid, curves, a matrix, curves.

    to_xyz: (N, 3) in 0..1 -> (N, 3) XYZ.
    """
    levels = (to_xyz(_grid(points, 3)) * 32768).round().clip(0, 65535).astype(">u2").tobytes()
    grid = bytes([points] * 3 + [0] * 13 + [2, 0, 0, 0]) + levels
    straight, bent = table([]) * 3, parametric(0, 1.2) * 3
    parts = [straight, _fixed(1, 0, 0, 0, 0.95, 0, 0, 0, 1, 0, 0.01, 0), bent, grid + bytes(-len(grid) % 4), bent]
    places = np.cumsum([32, *(len(part) for part in parts[:-1])])
    head = b"mAB " + bytes(4) + bytes([3, 3, 0, 0]) + struct.pack(">5I", *places)
    return profile(b"RGB ", b"XYZ ", A2B0=head + b"".join(parts))


def cicp(primaries: int, transfer: int) -> bytes:
    return b"cicp" + bytes(4) + bytes([primaries, transfer, 0, 1])


def profile(colour_space: bytes, connection: bytes, version: int = 4, **tags: bytes) -> bytes:
    place = 132 + 12 * len(tags)
    directory, contents = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        directory += name.encode() + struct.pack(">II", place + len(contents), len(content))
        contents += content + bytes(-len(content) % 4)
    head = (
        struct.pack(">I", place + len(contents))
        + bytes(4)
        + bytes([version, 0, 0, 0])
        + b"mntr"
        + colour_space
        + connection
    )
    head = head.ljust(36, b"\0") + b"acsp" + bytes(28) + _fixed(*D50)
    return head.ljust(128, b"\0") + directory + contents


def _grid(points: int, dimensions: int) -> np.ndarray:
    axes = np.meshgrid(*[np.linspace(0, 1, points)] * dimensions, indexing="ij")
    return np.stack(axes, axis=-1).reshape(-1, dimensions)


def _xyz(*numbers: float) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(*numbers)
