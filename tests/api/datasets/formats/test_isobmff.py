"""The boxes of an ISO base media file, also such as no encoder at hand writes."""

import struct

import pytest

from api.datasets.formats import isobmff

TILE, MAIN = 1, 2
COLOURS, SIZE = (b"colr", b"nclx\0\x0c\0\x0d\0\0\x80"), (b"ispe", bytes(12))


def _box(name: bytes, content: bytes = b"", *, large: bool = False) -> bytes:
    if large:
        return struct.pack(">I4sQ", 1, name, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), name) + content


def _full(name: bytes, version: int, content: bytes, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags) + content)


def _file(
    *, wide: bool = False, large: bool = False, tiled: bool = True, method: int = 0, base: int = 0, length: int = 3
) -> bytes:
    """Return a file whose main picture has colours, and whose only tile a size. wide: numbers of 4 and 2 bytes."""
    number, index = (">I", ">H") if wide else (">H", ">B")

    def item(identity: int, *properties: int) -> bytes:
        packed = b"".join(struct.pack(index, 0x8000 * wide | one) for one in properties)
        return struct.pack(number, identity) + bytes([len(properties)]) + packed

    ipco = _box(b"ipco", _box(SIZE[0], SIZE[1], large=large) + _box(COLOURS[0], COLOURS[1]))
    ipma = _full(b"ipma", int(wide), struct.pack(">I", 2) + item(TILE, 1) + item(MAIN, 2, 9), flags=int(wide))
    data = b"data"
    version = 2 if wide else 1
    entry = [(TILE if tiled else MAIN, 4 if tiled else 5)]
    places = b"".join(
        struct.pack(number, one) + struct.pack(">HHIHI", method, 0, base, 1, at - base) + struct.pack(">I", length)
        for one, at in entry
    )
    iloc = _full(b"iloc", version, bytes([0x44, 0x40]) + struct.pack(number, len(entry)) + places)
    reference = _box(b"dimg", struct.pack(number, MAIN) + struct.pack(">H", 1) + struct.pack(number, TILE))
    iref = _full(b"iref", int(wide), reference) if tiled else b""
    pitm = _full(b"pitm", int(wide), struct.pack(number, MAIN))
    meta = _full(b"meta", 0, pitm + _box(b"iprp", ipco + ipma) + iloc + iref, flags=0)
    return _box(b"ftyp", b"avif\0\0\0\0mif1miaf") + meta + _box(b"mdat", data)


def test_the_brands_of_a_file_are_the_major_one_and_the_compatible_ones() -> None:
    assert isobmff.brands(_file()) == {b"avif", b"mif1", b"miaf"}
    assert isobmff.brands(_file()[:22]) == {b"avif", b"mif1"}
    assert isobmff.brands(b"\x89PNG\r\n\x1a\n" + bytes(20)) == set()


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_properties_are_those_of_the_main_picture_or_of_its_first_tile(wide: bool, large: bool) -> None:
    assert isobmff.properties(_file(wide=wide, large=large)) == [COLOURS], "the property 9 does not exist"
    assert isobmff.coded_properties(_file(wide=wide, large=large)) == [SIZE]
    assert isobmff.coded_properties(_file(wide=wide, tiled=False)) == [COLOURS]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("tiled", [False, True])
def test_the_data_of_a_picture_begin_where_its_item_says(wide: bool, tiled: bool) -> None:
    at = 4 if tiled else 5
    content = _file(wide=wide, tiled=tiled)
    for base in (0, 3):
        assert isobmff.picture_data(_file(wide=wide, tiled=tiled, base=base)) == content[at : at + 3]
    assert isobmff.picture_data(_file(wide=wide, tiled=tiled, length=0)) == _file(wide=wide, tiled=tiled, length=0)[at:]
    assert isobmff.picture_data(_file(wide=wide, tiled=tiled, method=1)) == b"", "in another place than the file"


def test_of_a_file_that_is_cut_off_nothing_is_read_that_is_not_there() -> None:
    whole = _file()
    for length in range(len(whole)):
        assert isobmff.properties(whole[:length]) in ([], [COLOURS])
        assert isobmff.picture_data(whole[:length]) in (b"", whole[4:7])
        isobmff.coded_properties(whole[:length])


def test_exif_is_disguised_in_the_box_of_metadata_alone() -> None:
    plain = _box(b"ftyp", b"avif") + _full(b"meta", 0, b"infe\0Exif\0") + _box(b"mdat", b"Exif\0")
    disguised = isobmff.without_exif(plain)
    assert len(disguised) == len(plain)
    assert (disguised.count(b"skip\0"), disguised.count(b"Exif\0")) == (1, 1)
    assert disguised.endswith(b"Exif\0")
    for other in (b"", b"meta", _box(b"mdat", b"Exif\0")):
        assert isobmff.without_exif(other) == other
