"""The directories of a TIFF file are read as far as they go, and one is written for libtiff."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from support.tiff import tiff

from api.datasets.formats.tiff_directory import Directory, Field, read_directories, with_directory

WIDTH, BITS, RATIONAL, TEXT = 256, 258, 282, 270


def _file(*pages: tuple[int, bytes], order: str = "<", large: bool = False) -> bytes:
    """Return a file of directories of one entry each. pages: where the next one is, 0 for none, and the entry."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if large else 42)
    head += struct.pack(f"{order}HHQ", 8, 0, 16) if large else struct.pack(f"{order}I", 8)
    body = b""
    for following, entry in pages:
        count = struct.pack(f"{order}{'Q' if large else 'H'}", 1)
        body += count + entry + struct.pack(f"{order}{'Q' if large else 'I'}", following)
    return head + body


def _entry(tag: int, kind: int, *numbers: int, order: str = "<", large: bool = False) -> bytes:
    value = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers).ljust(8 if large else 4, b"\0")
    return struct.pack(f"{order}HH{'Q' if large else 'I'}", tag, kind, len(numbers)) + value


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("large", [False, True])
def test_numbers_are_read_in_each_byte_order_and_size_of_files(order: str, large: bool) -> None:
    (found,) = read_directories(_file((0, _entry(WIDTH, 3, 640, order=order, large=large)), order=order, large=large))
    assert (found.order, found.number(WIDTH), found.numbers(BITS, 1, 2), found.number(BITS)) == (order, 640, (1, 2), 0)


def test_pages_follow_each_other_until_there_is_none_or_one_comes_again() -> None:
    pages = [(26, _entry(WIDTH, 3, 1)), (44, _entry(WIDTH, 3, 2)), (8, _entry(WIDTH, 3, 3))]
    assert [one.number(WIDTH) for one in read_directories(_file(*pages))] == [1, 2, 3]
    assert [one.number(WIDTH) for one in read_directories(_file(*pages[:1], (0, _entry(WIDTH, 3, 2))))] == [1, 2]


def test_a_broken_later_page_is_left_out_and_a_broken_first_one_is_an_error() -> None:
    whole = _file((26, _entry(WIDTH, 3, 1)), (0, _entry(WIDTH, 3, 2)))
    assert [one.number(WIDTH) for one in read_directories(whole[:-3])] == [1]
    for length in (7, 20, 24):
        with pytest.raises(struct.error):
            read_directories(whole[:length])


def test_a_field_that_is_no_whole_number_has_its_bytes_alone() -> None:
    entry = struct.pack("<HHI", TEXT, 2, 3) + b"abc\0"
    (found,) = read_directories(_file((0, entry)))
    assert found.fields[TEXT] == Field(2, b"abc", ())
    assert found.numbers(TEXT, 9) == (9,)


def test_fields_of_unknown_types_or_beyond_the_file_have_no_value() -> None:
    unknown, endless = struct.pack("<HHII", TEXT, 99, 1, 0), struct.pack("<HHII", TEXT, 3, 1000, 0)
    for entry in (unknown, endless):
        (found,) = read_directories(_file((0, entry)))
        assert found.fields == {}
    cut = struct.pack("<HHII", BITS, 3, 3, 24)  # two bytes of six are there
    (found,) = read_directories(_file((0, cut)))
    assert found.numbers(BITS, 8) == (8,)


@pytest.mark.parametrize("order", "<>")
def test_a_file_with_another_directory_is_read_by_pillow_as_before(order: str) -> None:
    levels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    content = tiff(levels, 8, 1, order=order)
    (directory,) = read_directories(content)
    long = {RATIONAL: Field(5, struct.pack(f"{order}II", 300, 1), ()), TEXT: Field(2, b"odd\0\0", ())}
    written = with_directory(content + b"x", order, {**directory.fields, **long})
    (again,) = read_directories(written)
    assert isinstance(again, Directory)
    assert {tag: one.numbers for tag, one in again.fields.items()} == {
        **{tag: one.numbers for tag, one in directory.fields.items()},
        RATIONAL: (),
        TEXT: (),
    }
    with Image.open(io.BytesIO(written)) as opened:
        assert np.array_equal(np.asarray(opened), levels)
        assert opened.tag_v2[RATIONAL] == 300  # type: ignore[attr-defined]


def test_long_numbers_become_those_that_libtiff_reads_in_a_small_file() -> None:
    fields = {WIDTH: Field(16, struct.pack("<QQ", 7, 9), (7, 9))}
    (found,) = read_directories(with_directory(b"II*\0" + bytes(4), "<", fields))
    assert (found.fields[WIDTH].kind, found.numbers(WIDTH)) == (4, (7, 9))
