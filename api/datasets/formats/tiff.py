"""TIFF. libtiff decompresses, by way of Pillow; what the samples mean is read here.

Pillow knows few of the combinations of bits, samples, byte order and planes. So a file whose compression knows bytes
only is presented to it as a grey picture of 8 bits, as wide as a row has bytes, and the samples are taken from these.
Other compressions hold pixels of 8 bits or fewer, which Pillow reads. In both cases it gets a directory without
metadata: Pillow would turn pictures by what their XMP says.
"""

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from api.datasets.formats.deep import deep_picture
from api.datasets.formats.opened import Decoded, NotSupported, NotThisFormat, Opened
from api.datasets.formats.tiff_directory import Directory, Field, read_directories, with_directory
from core.pictures.icc import read_usable
from core.pictures.profiles import Profile, Samples, lab_to_xyz, to_bytes, xyz_to_srgb

PREFIXES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, PLANES, PREDICTOR = 273, 274, 277, 278, 279, 284, 317
COLOUR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 320, 322, 323, 324, 325
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, ICC_PROFILE, DNG_VERSION = 332, 338, 339, 34675, 50706
YCBCR_COEFFICIENTS, YCBCR_SUBSAMPLING, REFERENCE_BLACK_WHITE = 529, 530, 532
CODEC_TAGS = (  # how a codec coded pixels
    292,
    293,
    347,
    512,
    513,
    514,
    515,
    519,
    520,
    521,
    529,
    530,
    531,
    532,
)
PIXEL_TAGS = (
    WIDTH,
    HEIGHT,
    BITS,
    COMPRESSION,
    PHOTOMETRIC,
    FILL_ORDER,
    STRIP_OFFSETS,
    SAMPLES,
    ROWS_PER_STRIP,
    STRIP_BYTES,
    PLANES,
    COLOUR_MAP,
    TILE_WIDTH,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_BYTES,
    EXTRA_SAMPLES,
    *CODEC_TAGS,
)

BYTEWISE = {1: "none", 5: "LZW", 8: "Deflate", 32946: "Deflate", 32773: "PackBits", 34925: "LZMA", 50000: "Zstandard"}
PREDICTING = frozenset({5, 8, 32946, 34925, 50000})
BY_PIXEL = {2: "CCITT", 3: "CCITT T.4", 4: "CCITT T.6", 6: "JPEG", 7: "JPEG"}
COMPRESSIONS = {34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG of a DNG", 50001: "WebP", 50002: "JPEG XL"}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
NAMES = {4: "a transparency mask", 10: "ITU L*a*b*", 32803: "a colour filter array", 34892: "linear raw"}
INKS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, CIELAB: 3, ICCLAB: 3}
UNSIGNED, FLOAT, UNDEFINED = 1, 3, 4
ASSOCIATED, UNASSOCIATED, COREL_ALPHA = 1, 2, 999
REDUCED, FRACTIONS = 1, 5
USUAL_COEFFICIENTS, USUAL_REFERENCES = (0.299, 0.587, 0.114), (0, 255, 128, 255, 128, 255)


def open_tiff(content: bytes) -> Opened:
    """Read the directories. Raises NotThisFormat, NotSupported."""
    try:
        pages = read_directories(content)
    except struct.error as error:
        raise NotThisFormat from error
    if not pages:
        raise NotThisFormat
    if DNG_VERSION in pages[0].fields:
        raise NotSupported("a raw photograph (DNG); develop it first")
    full = [page for page in pages if not page.number(SUBFILE) & REDUCED] or pages
    page = full[0]
    notes = [f"only the first of {len(full)} pages is used"] if len(full) > 1 else []
    return Opened(
        page.number(WIDTH),
        page.number(HEIGHT),
        lambda by: _decode(content, page, by),
        (*notes, *_notes(page)),
        (lambda: _own_samples(content, page)) if _has_plain_samples(page) else None,
    )


def _has_plain_samples(page: Directory) -> bool:
    """Return True if the samples are grey or RGB of 8 or 16 bits, and can be returned as they are in the file."""
    bits, photometric = set(page.numbers(BITS, 1)), page.number(PHOTOMETRIC, BLACK_IS_ZERO)
    plain = page.number(COMPRESSION, 1) in BYTEWISE and photometric in (BLACK_IS_ZERO, RGB)
    return plain and bits in ({8}, {16}) and page.number(ORIENTATION, 1) in (0, 1)


def _own_samples(content: bytes, page: Directory) -> tuple[Samples, Profile | None]:
    """Return the samples (H, W, C) as they are in the file, with alpha last if it has one, and their profile."""
    photometric, icc = page.number(PHOTOMETRIC, BLACK_IS_ZERO), page.fields.get(ICC_PROFILE)
    layout, inks = _sample_layout(page), INKS[photometric]
    _check_samples(page, layout, photometric)
    alpha, _ = _alpha(page, layout.samples - inks)
    kept = [*range(inks), *([] if alpha is None else [inks + alpha])]
    values = _samples(_planes(content, page, layout), 0, layout.height, page, layout)
    return values[..., kept], read_usable(icc.raw if icc else None)


def _notes(page: Directory) -> list[str]:
    """Return what is left out of the samples."""
    samples, inks = page.number(SAMPLES, 1), INKS.get(page.number(PHOTOMETRIC, BLACK_IS_ZERO), 3)
    alpha, _ = _alpha(page, samples - inks)
    further = samples - inks - (alpha is not None)
    return [f"{further} further channels are left out"] if further > 0 else []


def _decode(content: bytes, page: Directory, reduction: int) -> Decoded:
    compression, photometric = page.number(COMPRESSION, 1), page.number(PHOTOMETRIC, BLACK_IS_ZERO)
    orientation = page.number(ORIENTATION, 1)
    orientation = orientation if 1 <= orientation <= 8 else 1
    icc = page.fields.get(ICC_PROFILE)
    profile = read_usable(icc.raw if icc else None)
    if photometric not in (*INKS, YCBCR):
        raise NotSupported(f"TIFF with {NAMES.get(photometric, f'the photometric interpretation {photometric}')}")
    if compression in BY_PIXEL:
        return Decoded(_by_pixel(content, page, BY_PIXEL[compression]), profile, orientation)
    if compression not in BYTEWISE:
        raise NotSupported(f"TIFF with {COMPRESSIONS.get(compression, f'compression {compression}')}")
    if photometric == YCBCR:
        return Decoded(_ycbcr(content, page), profile, orientation)
    return Decoded(_by_sample(content, page, photometric, profile, reduction), None, orientation)


def _by_pixel(content: bytes, page: Directory, codec: str) -> Image.Image:
    """Decode what only libtiff can decode."""
    if page.number(PHOTOMETRIC, BLACK_IS_ZERO) in (CIELAB, ICCLAB):
        raise NotSupported(f"TIFF of L*a*b* with {codec} compression")
    if set(page.numbers(BITS, 1)) - {1, 8} or page.number(SAMPLE_FORMAT, UNSIGNED) not in (UNSIGNED, UNDEFINED):
        raise NotSupported(f"TIFF with {codec} compression of other samples than of 8 bits")
    fields = {tag: page.fields[tag] for tag in PIXEL_TAGS if tag in page.fields}
    offsets, counts = (TILE_OFFSETS, TILE_BYTES) if TILE_WIDTH in fields else (STRIP_OFFSETS, STRIP_BYTES)
    _check_blocks(content, list(zip(page.numbers(offsets), page.numbers(counts), strict=False)), [0], plain=False)
    with Image.open(io.BytesIO(with_directory(content, page.order, fields)), formats=["TIFF"]) as opened:
        opened.load()
        return opened.convert("RGB") if opened.mode == "YCbCr" else opened


@dataclass(frozen=True)
class SampleLayout:
    """Where the samples are. per_block: samples of a pixel that are stored together; 1 if each has its own plane."""

    width: int
    height: int
    bits: int
    samples: int
    per_block: int
    block_width: int
    row_bytes: int
    across: int


def _sample_layout(page: Directory) -> SampleLayout:
    bits, samples = set(page.numbers(BITS, 1)), page.number(SAMPLES, 1)
    if len(bits) > 1:
        raise NotSupported("TIFF whose channels have different numbers of bits")
    width, per_block = page.number(WIDTH), 1 if page.number(PLANES, 1) == 2 else samples
    block_width = page.number(TILE_WIDTH, width)
    row_bytes = (block_width * per_block * min(bits) + 7) // 8
    across = -(-width // block_width) if block_width else 0
    if not across or samples < 1:
        raise ValueError("its directory states no size")
    return SampleLayout(width, page.number(HEIGHT), min(bits), samples, per_block, block_width, row_bytes, across)


def _planes(content: bytes, page: Directory, layout: SampleLayout) -> list[Image.Image]:
    """Decompress: a grey picture of each plane, whose pixels are the plane's bytes."""
    tiled = TILE_WIDTH in page.fields
    offsets, counts = (TILE_OFFSETS, TILE_BYTES) if tiled else (STRIP_OFFSETS, STRIP_BYTES)
    if offsets not in page.fields or counts not in page.fields:
        raise ValueError("its directory does not say where the pixels are")
    rows = page.number(TILE_HEIGHT) if tiled else min(page.number(ROWS_PER_STRIP, layout.height), layout.height)
    if rows < 1:
        raise ValueError("its directory states no size")
    down = -(-layout.height // rows)
    heights = [rows] * (down * layout.across) if tiled else [rows] * (down - 1) + [layout.height - (down - 1) * rows]
    planes = layout.samples // layout.per_block
    blocks = len(page.numbers(offsets)) // planes
    plain, found = page.number(COMPRESSION, 1) == 1, []
    for plane in range(planes):
        part = slice(plane * blocks, (plane + 1) * blocks)
        placed = list(zip(page.numbers(offsets)[part], page.numbers(counts)[part], strict=False))
        _check_blocks(content, placed, [height * layout.row_bytes for height in heights], plain)
        numbers: dict[int, tuple[int, ...]] = {
            WIDTH: (layout.row_bytes * layout.across,),
            HEIGHT: (layout.height,),
            BITS: (8,),
            SAMPLES: (1,),
            PHOTOMETRIC: (BLACK_IS_ZERO,),
            COMPRESSION: page.numbers(COMPRESSION, 1),
            FILL_ORDER: page.numbers(FILL_ORDER, 1),
            offsets: page.numbers(offsets)[part],
            counts: page.numbers(counts)[part],
        }
        if tiled:
            numbers |= {TILE_WIDTH: (layout.row_bytes,), TILE_HEIGHT: (rows,)}
        else:
            numbers[ROWS_PER_STRIP] = (rows,)
        found.append(_bytes_of(content, page.order, numbers))
    return found


def _check_blocks(content: bytes, blocks: Sequence[tuple[int, int]], needed: Sequence[int], plain: bool) -> None:
    """Raise ValueError if blocks, each (place, bytes), are missing or not within the file.

    Pillow would leave missing ones black, and behind the file lies the directory that is added for libtiff. needed:
    bytes of each once decompressed; Pillow does not look at the stated ones of what is not compressed.
    """
    if len(blocks) < len(needed):
        raise ValueError("parts of it are missing")
    for index, (at, count) in enumerate(blocks):
        if at + (needed[min(index, len(needed) - 1)] if plain else count) > len(content):
            raise ValueError("it ends too soon")


def _bytes_of(content: bytes, order: str, numbers: Mapping[int, Sequence[int]]) -> Image.Image:
    fields = {
        tag: Field(4, struct.pack(f"{order}{len(values)}I", *values), tuple(values)) for tag, values in numbers.items()
    }
    with Image.open(io.BytesIO(with_directory(content, order, fields)), formats=["TIFF"]) as opened:
        opened.load()
        return opened


def _by_sample(
    content: bytes, page: Directory, photometric: int, profile: Profile | None, reduction: int
) -> Image.Image:
    layout, inks = _sample_layout(page), INKS[photometric]
    _check_samples(page, layout, photometric)
    alpha, associated = _alpha(page, layout.samples - inks)
    planes = _planes(content, page, layout)
    palette = _palette(page, layout.bits) if photometric == PALETTE else None

    def read_rows(top: int, bottom: int) -> Samples:
        values = _samples(planes, top, bottom, page, layout)
        opacity = [_scaled(values[..., inks + alpha : inks + alpha + 1], layout.bits)] if alpha is not None else []
        colours = values[..., :inks]
        if palette is not None:
            shown: Samples = palette[colours[..., 0]]
            opacity = [part.astype(np.uint16) * (257 if part.dtype == np.uint8 else 1) for part in opacity]
        elif photometric in (CIELAB, ICCLAB):
            shown, opacity = _lab(colours, photometric), [to_bytes(part) for part in opacity]
        else:
            shown = _scaled(colours, layout.bits)
            if photometric == WHITE_IS_ZERO:
                shown = np.iinfo(shown.dtype).max - shown
        if associated:
            shown = _divided(shown, opacity[0])
        return np.concatenate([shown, *opacity], axis=2)

    shown_inks = 3 if photometric == PALETTE else inks
    if photometric in (CIELAB, ICCLAB) or (photometric == CMYK and profile is not None and profile.channels != 4):
        profile = None
    return deep_picture((layout.width, layout.height), shown_inks, profile, read_rows, reduction)


def _check_samples(page: Directory, layout: SampleLayout, photometric: int) -> None:
    """Raise NotSupported for samples whose range or meaning is not known."""
    formats = set(page.numbers(SAMPLE_FORMAT, UNSIGNED))
    if FLOAT in formats:
        raise NotSupported("floating-point pixels have no stated range; save it with 8 or 16 bits a channel")
    if formats - {UNSIGNED, UNDEFINED}:
        raise NotSupported("signed or complex pixels; save it with 8 or 16 bits a channel")
    if layout.bits > 16:  # programs write 8, 12 or 16 bits of content into 32, and none says which
        raise NotSupported(
            f"pixels of {layout.bits} bits a channel have no stated range; save it with 8 or 16 bits a channel"
        )
    if (photometric == PALETTE and layout.bits > 8) or (photometric in (CIELAB, ICCLAB) and layout.bits not in (8, 16)):
        raise NotSupported(f"TIFF of this kind with {layout.bits} bits a channel")
    if layout.samples < INKS[photometric]:
        raise NotSupported(f"TIFF with {layout.samples} channels where there must be {INKS[photometric]}")
    if photometric == CMYK and page.number(INK_SET, 1) != 1:
        raise NotSupported("TIFF with other inks than cyan, magenta, yellow and black")
    if _predictor(page) not in (1, 2) or (_predictor(page) == 2 and layout.bits not in (8, 16)):
        raise NotSupported(f"TIFF with predictor {_predictor(page)} for {layout.bits} bits")


def _predictor(page: Directory) -> int:
    """Return the predictor, 1 for none; where the compression knows none, libtiff ignores the tag."""
    return page.number(PREDICTOR, 1) if page.number(COMPRESSION, 1) in PREDICTING else 1


def _alpha(page: Directory, extra: int) -> tuple[int | None, bool]:
    """Return which of the extra channels is alpha, and whether the colours have been multiplied by it."""
    kinds = page.numbers(EXTRA_SAMPLES, UNASSOCIATED)[: max(extra, 0)]
    for index, kind in enumerate(kinds):
        if kind in (ASSOCIATED, UNASSOCIATED, COREL_ALPHA):
            return index, kind == ASSOCIATED
    return None, False


def _samples(planes: Sequence[Image.Image], top: int, bottom: int, page: Directory, layout: SampleLayout) -> Samples:
    """Return the samples (bottom - top, width, samples) of some rows."""
    shape = (bottom - top, layout.across, layout.row_bytes)
    rows = [np.asarray(plane.crop((0, top, plane.width, bottom))).reshape(shape) for plane in planes]
    return np.concatenate([_unpack(plane, page, layout) for plane in rows], axis=2)


def _unpack(plane: NDArray[np.uint8], page: Directory, layout: SampleLayout) -> Samples:
    """Return the samples (rows, width, per_block) in the bytes (rows, across, row_bytes) of a plane."""
    rows, bits = len(plane), layout.bits
    shape = (rows, layout.across, layout.block_width, layout.per_block)
    if bits in (8, 16):
        values = np.ascontiguousarray(plane).view(f"{page.order}u{bits // 8}").reshape(shape)
        values = values.astype(f"u{bits // 8}")
    else:  # packed, the most significant bit first in either byte order
        singles = np.unpackbits(plane, axis=2)[..., : layout.block_width * layout.per_block * bits]
        singles = singles.reshape(*shape, bits)
        values = np.zeros(shape, np.uint16)
        for bit in range(bits):
            values = (values << np.uint16(1)) | singles[..., bit]
    if _predictor(page) == 2:
        values = np.cumsum(values, axis=2, dtype=values.dtype)
    return values.reshape(rows, layout.across * layout.block_width, layout.per_block)[:, : layout.width]


def _scaled(values: Samples, bits: int) -> Samples:
    """Scale samples of `bits` to the full range of 8 or 16."""
    target, kind = (255, np.uint8) if bits <= 8 else (65535, np.uint16)
    most = 2**bits - 1
    scaled = values if most == target else (values.astype(np.uint32) * target + most // 2) // most
    return scaled.astype(kind)


def _divided(colours: Samples, alpha: Samples) -> Samples:
    """Undo the multiplication of the colours by alpha."""
    most = int(np.iinfo(colours.dtype).max)
    opacity = np.maximum(alpha.astype(np.uint64), 1)
    divided: Samples = np.minimum((colours.astype(np.uint64) * most + opacity // 2) // opacity, most)
    return divided.astype(colours.dtype)


def _palette(page: Directory, bits: int) -> NDArray[np.uint16]:
    """Return the colours (2 ** bits, 3), of 16 bits. Some programs write 8 bits."""
    numbers = np.array(page.numbers(COLOUR_MAP), np.uint16)
    if numbers.size != 3 * 2**bits:
        raise NotSupported("indexed colours without a palette")
    return np.ascontiguousarray(numbers.reshape(3, -1).T * np.uint16(257 if numbers.max() < 256 else 1))


def _lab(values: Samples, photometric: int) -> NDArray[np.uint8]:
    """Convert CIE L*a*b*: L is unsigned; a and b are signed, or in ICC's form moved by half of their range."""
    small = values.dtype == np.uint8
    lightness = values[..., :1] * np.float32(100 / (255 if small else 65535))
    middle = 128 if small else 32768
    unsigned = values[..., 1:] if photometric == ICCLAB else values[..., 1:] ^ values.dtype.type(middle)
    opponents = (unsigned.astype(np.float32) - middle) / (1 if small else 256)
    lab = np.concatenate([lightness, opponents], axis=2).astype(np.float32)
    return xyz_to_srgb(lab_to_xyz(lab.reshape(-1, 3))).reshape(lab.shape)


def _ycbcr(content: bytes, page: Directory) -> Image.Image:
    """Decode brightness and colour differences without subsampling, in the form of JPEG."""
    layout = _sample_layout(page)
    _check_ycbcr(page, layout)
    planes = _planes(content, page, layout)
    values = _samples(planes, 0, layout.height, page, layout)
    return Image.frombytes("YCbCr", (layout.width, layout.height), values.tobytes()).convert("RGB")


def _check_ycbcr(page: Directory, layout: SampleLayout) -> None:
    if page.numbers(YCBCR_SUBSAMPLING, 2, 2) != (1, 1):
        raise NotSupported("TIFF with subsampled colour differences and without JPEG compression")
    if (layout.bits, layout.samples) != (8, 3) or _predictor(page) not in (1, 2):
        raise NotSupported("TIFF of brightness and colour differences that are not three channels of 8 bits")
    for tag, usual in ((YCBCR_COEFFICIENTS, USUAL_COEFFICIENTS), (REFERENCE_BLACK_WHITE, USUAL_REFERENCES)):
        if tag in page.fields and not np.allclose(_fractions(page, tag), usual, atol=1e-3):
            raise NotSupported("TIFF of brightness and colour differences in another form than that of JPEG")


def _fractions(page: Directory, tag: int) -> list[float]:
    """Return the numbers of a field of fractions; none if they are not."""
    field = page.fields[tag]
    if field.kind != FRACTIONS:
        return [float(number) for number in field.numbers]
    parts = struct.unpack(f"{page.order}{len(field.raw) // 4}I", field.raw)
    return [above / below if below else 0.0 for above, below in zip(parts[::2], parts[1::2], strict=True)]
