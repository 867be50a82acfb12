"""A model's file as it was uploaded: looked at piece by piece, never loaded whole, and by no torch."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from core.schemas.model_file import (
    COLOURS,
    DTYPE_BYTES,
    LENGTH_BYTES,
    BrokenFile,
    ModelHeader,
    Stored,
    header_bytes,
    model_header,
    read_header,
)

PIECE_BYTES = 1 << 20
NUMPY = {"F32": "<f4", "F64": "<f8"}
ORTHONORMAL = 1e-3


def inspect(file: BinaryIO) -> ModelHeader:
    """What the file says of itself, once all of it was found true. Raises BrokenFile."""
    file.seek(0, 2)
    whole = file.tell()
    file.seek(0)
    size = header_bytes(file.read(LENGTH_BYTES))
    header = model_header(read_header(file.read(size), whole - LENGTH_BYTES - size))
    for name, one in header.tensors.items():
        for piece in _pieces(file, header.bytes, one):
            if not np.isfinite(piece).all():
                raise BrokenFile(f"tensor {name!r} holds values that are not finite numbers")
    if not _whole(file, header, "gain") > 0:
        raise BrokenFile("tensor 'gain' is not positive")
    if COLOURS[0] in header.tensors:
        _check_box(*(_whole(file, header, name) for name in COLOURS))
    return header


def _check_box(low: NDArray[np.float64], high: NDArray[np.float64], axes: NDArray[np.float64]) -> None:
    if (low > high).any():
        raise BrokenFile(f"tensor {COLOURS[0]!r} is above {COLOURS[1]!r}")
    if not np.allclose(axes @ axes.T, np.eye(len(axes)), atol=ORTHONORMAL):
        raise BrokenFile(f"tensor {COLOURS[2]!r} has no orthonormal rows")


def _whole(file: BinaryIO, header: ModelHeader, name: str) -> NDArray[np.float64]:
    one = header.tensors[name]
    return np.concatenate(list(_pieces(file, header.bytes, one))).astype(np.float64).reshape(one.shape)


def _pieces(file: BinaryIO, after: int, one: Stored) -> Iterator[NDArray[np.float64]]:
    file.seek(after + one.begin)
    left = one.end - one.begin
    while left:
        piece = file.read(min(left, PIECE_BYTES))
        assert len(piece) % DTYPE_BYTES[one.dtype] == 0 and piece  # noqa: PT018
        left -= len(piece)
        yield np.frombuffer(piece, NUMPY[one.dtype])
