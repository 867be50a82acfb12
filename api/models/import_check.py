"""Check an uploaded model's file without torch and without loading it whole into memory."""

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from core.schemas.model_file import (
    COLOURS,
    LENGTH_BYTES,
    BrokenFile,
    ModelHeader,
    TensorSpec,
    check_header,
    header_bytes,
    model_header,
)

CHUNK_BYTES = 1 << 20
ORTHONORMAL = 1e-3


def check_model_file(file: BinaryIO) -> ModelHeader:
    """Check a whole model file and return its header. Raises BrokenFile.

    file: a file on the disk. safetensors maps it into memory and checks its layout; the values are read in chunks.
    """
    file.seek(0)
    header = file.read(header_bytes(file.read(LENGTH_BYTES)))
    file.flush()
    try:
        opened: Any = safe_open(f"/dev/fd/{file.fileno()}", framework="numpy")  # Any: its methods are untyped
    except SafetensorError as error:
        raise BrokenFile(f"not a valid safetensors file: {error}") from error
    with opened:
        check_header(header)
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
        specs = {name: TensorSpec(one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}
        found = model_header(opened.metadata() or {}, specs)
        for name, tensor in slices.items():
            if not _is_finite(tensor):
                raise BrokenFile(f"tensor {name!r} holds values that are not finite numbers")
        if not opened.get_tensor("gain") > 0:
            raise BrokenFile("tensor 'gain' is not positive")
        if COLOURS[0] in specs:
            _check_box(*(opened.get_tensor(name).astype(np.float64) for name in COLOURS))
    return found


def _is_finite(tensor: Any) -> bool:
    """Return True if no value of `tensor`, a slice of safetensors, is NaN or infinite.

    Filters and chains, which have four axes, are read in chunks; all others are small.
    """
    shape = tensor.get_shape()
    if len(shape) < 4:
        return bool(np.isfinite(tensor[...]).all())
    count, depth, height, width = shape
    step = max(CHUNK_BYTES // (4 * height * width), 1)
    return all(
        np.isfinite(tensor[index, first : min(first + step, depth)]).all()
        for index in range(count)
        for first in range(0, depth, step)
    )


def _check_box(low: NDArray[np.float64], high: NDArray[np.float64], axes: NDArray[np.float64]) -> None:
    """Check that low <= high and that the rows of `axes` are orthonormal. Raises BrokenFile."""
    if (low > high).any():
        raise BrokenFile(f"tensor {COLOURS[0]!r} is above {COLOURS[1]!r}")
    if not np.allclose(axes @ axes.T, np.eye(len(axes)), atol=ORTHONORMAL):
        raise BrokenFile(f"the rows of tensor {COLOURS[2]!r} are not orthonormal")
