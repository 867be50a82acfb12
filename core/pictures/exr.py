"""OpenEXR files of heights: floating point, so that nothing is rounded."""

import io

import numpy as np
import OpenEXR
from torch import Tensor

MEDIA_TYPE = "image/x-exr"


def write_exr(values: Tensor) -> bytes:
    """Encode values (1, H, W) as an OpenEXR file with one channel, Y, in float32; compressed without loss."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    written = io.BytesIO()
    OpenEXR.File(header, {"Y": np.ascontiguousarray(values[0].float().numpy())}).write(written)
    return written.getvalue()
