"""AVIF by Pillow, HEIC by pillow-heif. Browsers ignore an orientation in the EXIF of such files."""

import io
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from api.datasets.formats import av1, exif, hevc, isobmff
from api.datasets.formats.deep import deep_picture
from api.datasets.formats.opened import FIRST_FRAME, Decoded, NotSupported, Opened
from core.pictures.icc import read_usable
from core.pictures.profiles import Profile, coded_profile

AVIF_BRANDS = {b"avif", b"avis"}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
UNREADABLE_MATRICES = (3, 10, 11, 12, 13, 14)  # libavif does not read them, or not as browsers do
MEANINGLESS_TRANSFERS = (9, 10, 11, 12)  # browsers show no picture that states them
UNSPECIFIED = 2
INKS = {"L": 1, "I": 1, "LA": 1, "RGB": 3, "RGBA": 3}
SRGB_CODES = {(primaries, transfer) for primaries in (1, 2) for transfer in (1, 2, 6, 13, 14, 15)}

pillow_heif.options.DECODE_THREADS = 1
pillow_heif.options.THUMBNAILS = False


def open_avif(content: bytes) -> Opened:
    """Read the header. Raises NotSupported."""
    primaries, transfer, matrix = _code_points(content)
    if matrix in UNREADABLE_MATRICES:
        raise NotSupported(f"AVIF with matrix coefficients {matrix} of ITU-T H.273")
    if transfer in MEANINGLESS_TRANSFERS:
        raise NotSupported(f"AVIF with the transfer function {transfer} of ITU-T H.273")
    content = isobmff.without_exif(content)  # Pillow refuses a picture for rubbish in it
    with Image.open(io.BytesIO(content), formats=["AVIF"]) as opened:
        size, frames, icc = opened.size, getattr(opened, "n_frames", 1), opened.info.get("icc_profile")
        orientation = exif.orientation(opened.info.get("exif", b"").removeprefix(b"Exif\0\0"))  # made by Pillow

    def decode(_: int) -> Decoded:
        profile = _profile(icc, primaries, transfer)
        with Image.open(io.BytesIO(content), formats=["AVIF"]) as opened:
            opened.load()
            return Decoded(opened, profile, orientation)

    return Opened(*size, decode, (FIRST_FRAME,) if frames > 1 else ())


def open_heic(content: bytes) -> Opened:
    """Read the header."""
    found = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)
    picture = found[found.primary_index]
    notes = (f"only the main one of {len(found)} pictures is used",) if len(found) > 1 else ()
    info: dict[str, Any] = picture.info
    primaries, transfer = _code_points_of_heic(content, info.get("nclx_profile"))

    def decode(reduction: int) -> Decoded:
        profile = _profile(info.get("icc_profile"), primaries, transfer)
        mode = picture.mode.split(";")[0]
        if mode not in INKS:
            raise NotSupported("HEIC with premultiplied transparency")
        try:
            samples = np.asarray(picture)
        except RuntimeError as error:
            if "emory" in str(error):  # libheif's errors have no classes of their own in Python
                raise MemoryError(str(error)) from error
            raise
        width, height = picture.size
        samples = samples.reshape(height, samples.shape[1], -1)[:, :width]
        return Decoded(
            deep_picture(picture.size, INKS[mode], profile, lambda top, bottom: samples[top:bottom], reduction)
        )

    return Opened(*picture.size, decode, notes)


def _profile(icc: bytes | None, primaries: int, transfer: int) -> Profile | None:
    """Return the profile, else that of the code points; those of Rec. 709 count as sRGB. Raises HighDynamicRange."""
    coded = coded_profile(primaries, transfer, rec_709_codes=())
    if icc:
        return read_usable(icc)
    return None if (primaries, transfer) in SRGB_CODES else coded


def _code_points(content: bytes) -> tuple[int, int, int]:
    """Return primaries, transfer function and matrix as in ITU-T H.273; 2 stands for not specified.

    As libavif does, and so browsers: those of the box `colr`, else those of the AV1 data.
    """
    for name, body in isobmff.properties(content):
        if name == b"colr" and body[:4] == b"nclx" and len(body) >= 11:
            primaries, transfer, matrix = (int.from_bytes(body[at : at + 2], "big") for at in (4, 6, 8))
            return primaries, transfer, matrix
    return av1.code_points(isobmff.picture_data(content)) or (UNSPECIFIED, UNSPECIFIED, UNSPECIFIED)


def _code_points_of_heic(content: bytes, nclx: dict[str, Any] | None) -> tuple[int, int]:
    """Return primaries and transfer function: those that libheif found in the box `colr`, else of the HEVC data."""
    if nclx:
        return int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])
    configuration = dict(isobmff.coded_properties(content)).get(b"hvcC", b"")
    primaries, transfer, _ = hevc.code_points(configuration) or (UNSPECIFIED, UNSPECIFIED, UNSPECIFIED)
    return primaries, transfer
