"""Reads ICC profiles of versions 2 and 4, by curves, matrix or table. References: sections of ICC.1:2022."""

import math
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.pictures.profiles import (
    D50,
    Curve,
    Floats,
    Profile,
    ProfileUnusable,
    Stage,
    coded_profile,
    curve_of_table,
    gamma,
    has_meaning,
    lab_to_xyz,
    matrix_profile,
    parametric,
)

_CHANNELS = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}
_MAX_TAGS = 100


def read_icc(content: bytes) -> Profile:
    """Read an ICC profile. Raises ProfileUnusable, or HighDynamicRange."""
    try:
        return _read_icc(content)
    except (struct.error, IndexError) as error:
        raise ProfileUnusable("ends too soon") from error


def read_usable(content: bytes | None) -> Profile | None:
    """Read an ICC profile; return None if there is none, or one that viewers ignore. Raises HighDynamicRange."""
    try:
        return read_icc(content) if content else None
    except ProfileUnusable:
        return None


def _read_icc(content: bytes) -> Profile:
    size, version = struct.unpack_from(">I", content)[0], content[8]
    colours, pcs, signature = content[16:20], content[20:24], content[36:40]
    illuminant = np.array(struct.unpack_from(">3i", content, 68)) / 65536
    if size > len(content) or signature != b"acsp" or version > 4 or np.abs(illuminant - D50).max() > 0.01:
        raise ProfileUnusable("not an ICC profile of version 2 or 4")
    if pcs not in (b"XYZ ", b"Lab "):
        raise ProfileUnusable("a profile that leads to no colours")
    if colours not in _CHANNELS:
        return Profile(0, (), None)  # it fits no picture, but counts as one
    tags = _tags(content[:size])
    coded = _read_cicp(tags.get(b"cicp", b""))
    if coded is not None and colours == b"RGB ":
        return coded
    if colours == b"GRAY" and b"kTRC" in tags and pcs == b"XYZ ":
        return Profile(1, [_read_curve(tags[b"kTRC"])[0]], None)
    for name in (b"A2B0", b"A2B1"):
        if name in tags:
            return _read_lut(tags[name], _CHANNELS[colours], pcs)
    if colours != b"RGB " or not {b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"} <= tags.keys():
        raise ProfileUnusable("a profile without curves and matrix")
    columns = [np.array(struct.unpack_from(">3i", tags[name], 8)) / 65536 for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    curves = [_read_curve(tags[name])[0] for name in (b"rTRC", b"gTRC", b"bTRC")]
    return matrix_profile(curves, np.stack(columns, axis=1))


def _tags(content: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", content, 128)
    if not 0 < count <= _MAX_TAGS:
        raise ProfileUnusable("no tags, or too many")
    tags: dict[bytes, bytes] = {}
    for name, at, size in struct.iter_unpack(">4sII", content[132 : 132 + 12 * count]):
        if size < 4 or at + size > len(content):
            raise ProfileUnusable("a tag outside of the profile")
        tags.setdefault(name, content[at : at + size])
    if len(content) < 132 + 12 * count:
        raise ProfileUnusable("ends too soon")
    return tags


def _read_cicp(content: bytes) -> Profile | None:
    """Read the code points that a profile may name (9.2.17); browsers prefer them. Raises HighDynamicRange."""
    if content[:4] != b"cicp" or len(content) < 12 or tuple(content[10:12]) != (0, 1):
        return None
    return coded_profile(content[8], content[9], (14, 15)) if has_meaning(content[8], content[9]) else None


def _read_curve(content: bytes) -> tuple[Curve, int]:
    """Read a curve (10.6, 10.18); return it and its length in bytes."""
    kind = content[:4]
    if kind == b"curv":
        (count,) = struct.unpack_from(">I", content, 8)
        if count > (len(content) - 12) // 2:
            raise ProfileUnusable("a curve that ends too soon")
        levels = np.frombuffer(content, ">u2", count, 12).astype(np.float64)
        curve = gamma(1.0) if count == 0 else gamma(levels[0] / 256) if count == 1 else curve_of_table(levels / 65535)
        return curve, 12 + 2 * count
    if kind == b"para":
        (function,) = struct.unpack_from(">H", content, 8)
        if function > 4:
            raise ProfileUnusable("a curve of an unknown kind")
        count = (1, 3, 4, 5, 7)[function]
        parameters = [value / 65536 for value in struct.unpack_from(f">{count}i", content, 12)]
        return parametric(function, *parameters), 12 + 4 * count
    raise ProfileUnusable("a curve of an unknown kind")


def _read_curves(content: bytes, count: int) -> list[Curve]:
    curves, at = [], 0
    for _ in range(count):
        curve, length = _read_curve(content[at:])
        curves.append(curve)
        at += (length + 3) // 4 * 4
    return curves


def _read_lut(content: bytes, channels: int, pcs: bytes) -> Profile:
    kind, inputs, outputs = content[:4], content[8], content[9]
    if inputs != channels or outputs != 3:
        raise ProfileUnusable("a table for another number of channels")
    if kind in (b"mft1", b"mft2"):
        curves, stages = _read_mft(content, kind == b"mft1", channels)
    elif kind == b"mAB ":
        curves, stages = _read_mab(content, channels)
    else:
        raise ProfileUnusable("a table of an unknown kind")
    decode = _decode_lab if pcs == b"Lab " else _decode_xyz if kind == b"mAB " else _keep_xyz

    def to_xyz(values: Floats) -> Floats:
        for stage in stages:
            values = stage(np.clip(values, 0, 1))
        return decode(values)

    return Profile(channels, curves, to_xyz)


def _decode_lab(values: Floats) -> Floats:
    return lab_to_xyz(values * np.array([100, 255, 255], np.float32) - np.array([0, 128, 128], np.float32))


def _decode_xyz(values: Floats) -> Floats:
    return values * np.float32(65535 / 32768)


def _keep_xyz(values: Floats) -> Floats:
    return values


def _read_mft(content: bytes, bytewise: bool, channels: int) -> tuple[list[Curve], list[Stage]]:
    """Read a table of 8 or 16 bits (10.10, 10.11): curves, a grid, curves."""
    if bytewise:
        entries, at, kind, most = (256, 256), 48, "u1", 255
    else:
        entries, at, kind, most = struct.unpack_from(">HH", content, 48), 52, ">u2", 65535
    points = content[10]
    if points < 2 or min(entries) < 2 or max(entries) > 4096:
        raise ProfileUnusable("a table of an impossible size")
    counts = (channels * entries[0], points**channels * 3, 3 * entries[1])
    if at + sum(counts) * np.dtype(kind).itemsize > len(content):
        raise ProfileUnusable("a table that ends too soon")
    levels = np.frombuffer(content, kind, sum(counts), at).astype(np.float64) / most
    first, grid, last = np.split(levels, np.cumsum(counts)[:2])
    curves = [curve_of_table(row) for row in first.reshape(channels, -1)]
    output = [curve_of_table(row) for row in last.reshape(3, -1)]
    return curves, [_interpolation((points,) * channels, grid), _per_channel(output)]


def _read_mab(content: bytes, channels: int) -> tuple[list[Curve], list[Stage]]:
    """Read a table of version 4 (10.12): A curves, a grid, M curves, a matrix, B curves; some may be missing."""
    b_at, matrix_at, m_at, grid_at, a_at = struct.unpack_from(">5I", content, 12)
    if not b_at or (matrix_at == 0) != (m_at == 0) or (grid_at == 0) != (a_at == 0) or (channels != 3 and not a_at):
        raise ProfileUnusable("a table without its parts")
    stages: list[Stage] = []
    if a_at:
        curves = _read_curves(content[a_at:], channels)
        shape = tuple(content[grid_at : grid_at + channels])
        kind, most = ("u1", 255) if content[grid_at + 16] == 1 else (">u2", 65535)
        if len(shape) < channels or min(shape) < 2 or content[grid_at + 16] not in (1, 2):
            raise ProfileUnusable("a table of an impossible size")
        count = math.prod(shape) * 3
        if grid_at + 20 + count * np.dtype(kind).itemsize > len(content):
            raise ProfileUnusable("a table that ends too soon")
        levels = np.frombuffer(content, kind, count, grid_at + 20).astype(np.float64) / most
        stages.append(_interpolation(shape, levels))
    if m_at:
        middle = _read_curves(content[m_at:], 3)
        if a_at:
            stages.append(_per_channel(middle))
        else:
            curves = middle
        numbers_of = np.array(struct.unpack_from(">12i", content, matrix_at)) / 65536
        matrix, offset = numbers_of[:9].reshape(3, 3).T.astype(np.float32), numbers_of[9:].astype(np.float32)
        stages.append(lambda values: values @ matrix + offset)
    last = _read_curves(content[b_at:], 3)
    if stages:
        stages.append(_per_channel(last))
    else:
        curves = last
    return curves, stages


def _per_channel(curves: Sequence[Curve]) -> Stage:
    return lambda values: np.stack(
        [curve(values[:, channel].astype(np.float64)) for channel, curve in enumerate(curves)], axis=1
    ).astype(np.float32)


def _interpolation(shape: tuple[int, ...], levels: NDArray[np.float64]) -> Stage:
    """Return multilinear interpolation in a grid of `shape`, whose first axis varies slowest."""
    grid = levels.astype(np.float32).reshape(-1, 3)
    strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]

    def interpolate(values: Floats) -> Floats:
        corners = [(np.zeros(len(values), np.intp), np.ones(len(values), np.float32))]
        for axis, (points, stride) in enumerate(zip(shape, strides, strict=True)):
            position = values[:, axis] * np.float32(points - 1)
            lower = np.minimum(position.astype(np.intp), points - 2)
            share = (position - lower).astype(np.float32)
            corners = [
                corner
                for index, weight in corners
                for corner in (
                    (index + lower * stride, weight * (1 - share)),
                    (index + (lower + 1) * stride, weight * share),
                )
            ]
        found = np.zeros((len(values), 3), np.float32)
        for index, weight in corners:
            found += grid[index] * weight[:, None]
        return found

    return interpolate
