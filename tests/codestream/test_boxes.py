import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.codestream.boxes import Box, Jp2Header, Mapping, parse_box, parse_header
from ziggurat.codestream.fields import Incomplete
from ziggurat.errors import CorruptImage


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4) + kind + content


def test_the_three_ways_to_say_a_length() -> None:
    assert parse_box(b"\0\0\0\x0cxml test", 0, offset=100, limit=200) == Box(b"xml ", 100, 108, 112)
    extended = b"\0\0\0\1xml " + (20).to_bytes(8) + b"test"
    assert parse_box(extended, 0, offset=100, limit=200) == Box(b"xml ", 100, 116, 120)
    assert parse_box(b"\0\0\0\0jp2c", 0, offset=100, limit=200) == Box(b"jp2c", 100, 108, 200)


def test_a_header_in_pieces_says_how_much_it_needs() -> None:
    assert parse_box(b"\0\0\0", 0, offset=0, limit=99) == Incomplete(8)
    assert parse_box(b"\0\0\0\1jp2c\0", 0, offset=0, limit=99) == Incomplete(16)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"\0\0\0\7abcd", "box 'abcd' at byte 40: length 7 is less than"),
        (b"\0\0\0\1abcd" + (15).to_bytes(8), "length 15 is less than its own header's 16"),
        (b"\0\0\1\0abcd", "its end, byte 296, lies past the 100"),
    ],
)
def test_lying_lengths_are_named(data: bytes, rule: str) -> None:
    with pytest.raises(CorruptImage, match=rule):
        parse_box(data, 0, offset=40, limit=100)


def test_every_colour_box_is_kept_in_order() -> None:
    content = box(b"colr", b"\2\1\3profile") + box(b"colr", b"\1\xff\0\0\0\0\x10ep") + box(b"colr", b"\4\0\0x")
    first, second, third = parse_header(content, offset=0).colours
    assert (first.method, first.profile, first.precedence) == (2, b"profile", 1)
    assert (second.enumerated, second.parameters, second.precedence) == (16, b"ep", -1)
    assert third.parameters == b"x"


def test_palette_columns_keep_their_depth_and_sign() -> None:
    pclr = box(b"pclr", bytes([0, 2, 2, 0x8B, 7]) + bytes.fromhex("0fff 01 0123 02"))
    cmap = box(b"cmap", bytes([0, 0, 1, 0, 0, 0, 1, 1]))
    header = parse_header(pclr + cmap, offset=0)
    assert header.palette is not None
    assert header.palette.depths == (12, 8)
    assert header.palette.entries == ((-1, 1), (0x123, 2))


def test_blank_mappings_of_a_palette_take_its_columns_in_order() -> None:
    pclr = box(b"pclr", bytes([0, 1, 3, 7, 7, 7, 1, 2, 3]))
    cmap = box(b"cmap", bytes([0, 0, 1, 0]) + bytes(8))
    assert parse_header(pclr + cmap, offset=0).mappings == tuple(Mapping(0, column) for column in range(3))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (box(b"pclr", bytes([0, 1, 1, 7, 9])), "without its mapping"),
        (box(b"pclr", bytes([0, 0, 1, 7])), "box 'pclr' at byte 32: 0 entries"),
        (box(b"cdef", bytes([0, 2]) + bytes(12)), "defined twice"),
        (box(b"cdef", bytes([0, 2]) + bytes(6)), "ends 2 bytes too early"),
        (box(b"ihdr", bytes(14)), "is no image"),
        (b"\0\0\0\x50colr", "lies past"),
        (b"\0\0\0", "are no box"),
        (box(b"free", b"") * 1001, "more than 1000 boxes"),
    ],
)
def test_broken_header_boxes_are_named(content: bytes, rule: str) -> None:
    with pytest.raises(CorruptImage, match=rule):
        parse_header(content, offset=32)


def test_a_resolution_with_a_zero_says_nothing() -> None:
    resolution = box(b"resc", bytes(10)) + box(b"resd", bytes([0, 72, 0, 1, 0, 72, 0, 2, 0, 0xFF]))
    found = parse_header(box(b"res ", resolution), offset=0).resolutions
    assert found.capture is None
    assert found.display == pytest.approx((72.0, 3.6))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_header_or_corrupt(content: bytes) -> None:
    try:
        assert isinstance(parse_header(content, offset=0), Jp2Header)
    except CorruptImage as error:
        assert "at byte" in str(error)  # noqa: PT017 - both outcomes are right
