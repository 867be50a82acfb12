"""Convert an uploaded map of a material to what is stored: a PNG with the bits of the file, 8 or 16 per channel.

The albedo is a picture: it is converted to sRGB. Every other map holds data: its samples are kept as they are.
"""

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from api.datasets.files import DecodedPicture, PictureRefused, UploadedFile
from api.datasets.formats.opened import Opened
from api.datasets.limits import Limits
from api.datasets.picture_reader import PNG_LEVEL, convert_to_srgb, read_upload, reduction_note
from core.pictures.deep_png import write_deep_png
from core.pictures.profiles import Converter, Samples

if TYPE_CHECKING:
    from core.schemas.materials import Role

VALUES: "tuple[Role, ...]" = ("height", "roughness", "metalness", "occlusion")  # maps of one number a pixel


def read_map(upload: UploadedFile, limits: Limits, role: "Role") -> DecodedPicture:
    """Decode, check and convert one file. Raises PictureRefused."""

    def convert(opened: Opened, reduction: int) -> DecodedPicture:
        samples = _as_stored(upload, _samples(opened, role, reduction), role)
        height, width, channels = samples.shape
        bits = 8 * samples.itemsize
        png = write_deep_png(samples) if bits == 16 else _png(samples)
        notes = [*opened.notes, *reduction_note(opened, reduction, width, height)]
        mode = "L" if channels == 1 else "RGB"
        return DecodedPicture(upload.filename, png, width, height, mode, notes, bits)

    return read_upload(upload, limits, convert)


def _samples(opened: Opened, role: "Role", reduction: int) -> Samples:
    """Return the samples (H, W, C) of a file, with its alpha last if it has one."""
    if opened.samples is not None:
        own, profile = opened.samples()
        inks = own.shape[2] - 1 + own.shape[2] % 2  # without alpha
        if role != "albedo" or not Converter(inks, profile).changes:
            return _reduced(own, reduction)
    shown = np.asarray(convert_to_srgb(opened, reduction, as_data=role != "albedo"))
    return shown.reshape(*shown.shape[:2], -1)


def _reduced(samples: Samples, reduction: int) -> Samples:
    """Shrink both sides by a whole factor: each sample is the mean of a block."""
    if reduction == 1:
        return samples
    channels = [
        Image.fromarray(samples[..., one].astype(np.float32)).reduce(reduction) for one in range(samples.shape[2])
    ]
    return np.stack([np.asarray(one) for one in channels], axis=2).round().astype(samples.dtype)


def _as_stored(upload: UploadedFile, samples: Samples, role: "Role") -> Samples:
    """Return the samples without alpha, and with one channel if RGB only repeats it. Raises PictureRefused."""
    if samples.shape[2] in (2, 4):
        if samples[..., -1].min() < np.iinfo(samples.dtype).max:
            raise PictureRefused(422, upload, "has transparent pixels: the maps of a material must be opaque")
        samples = samples[..., :-1]
    if role in VALUES and samples.shape[2] == 3 and (samples == samples[..., :1]).all():
        samples = samples[..., :1]
    if role == "normal" and samples.shape[2] != 3:
        raise PictureRefused(422, upload, "a normal map must be RGB, but the file is grey")
    return samples


def _png(samples: Samples) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    picture.save(buffer, format="PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()
