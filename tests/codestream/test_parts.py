import imagecodecs
import numpy as np
import pytest

from drive import Drive
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import MainHeader, parse_main_header
from ziggurat.codestream.parts import Parts, locate_parts, packet_lengths, read_headers
from ziggurat.codestream.reads import Span
from ziggurat.errors import CorruptImage

PIXELS = np.random.default_rng(1).integers(0, 256, (90, 110, 1), np.uint8)
TILED = imagecodecs.htj2k_encode(PIXELS, reversible=True, tile=(40, 40))
LISTED = imagecodecs.htj2k_encode(PIXELS, reversible=True, tile=(40, 40), tlm=True, tilepart="RESOLUTIONS")


def header(data: bytes) -> MainHeader:
    main = parse_main_header(data)
    assert isinstance(main, MainHeader)
    return main


def located(data: bytes, drive: Drive | None = None) -> Parts:
    drive = drive or Drive(data)
    return drive(locate_parts(header(data), Span(0, len(data)), len(data)))


def test_tile_parts_are_found_by_hopping_up_to_the_end() -> None:
    parts = located(TILED)
    assert list(parts) == list(range(9))
    assert parts[0][0].offset == header(TILED).length
    assert TILED[parts[8][0].end :] == b"\xff\xd9"


def test_tlm_tells_them_without_reading_anything_and_says_the_same() -> None:
    drive = Drive(LISTED)
    parts = located(LISTED, drive)
    assert drive.trips == 0
    without = bytearray(LISTED)
    (tlm,) = [item for item in header(LISTED).segments if item.name == "TLM"]
    without[tlm.offset + 1] = 0x64  # a comment
    hopped = located(bytes(without))
    assert {tile: [(p.offset, p.end) for p in found] for tile, found in parts.items()} == {
        tile: [(p.offset, p.end) for p in found] for tile, found in hopped.items()
    }
    assert max(map(len, parts.values())) > 1


def test_a_tlm_that_does_not_fill_the_codestream_is_not_believed() -> None:
    wrong = bytearray(LISTED)
    (tlm,) = [item for item in header(LISTED).segments if item.name == "TLM"]
    wrong[tlm.end - 1] ^= 1
    drive = Drive(bytes(wrong))
    parts = located(bytes(wrong), drive)
    assert drive.trips > 0
    assert parts == located(bytes(wrong))
    assert sum(map(len, parts.values())) == sum(map(len, located(LISTED).values()))


def test_a_last_part_of_unstated_length_ends_before_eoc() -> None:
    single = imagecodecs.htj2k_encode(PIXELS, reversible=True)
    open_ = bytearray(single)
    at = header(single).length
    open_[at + 6 : at + 10] = bytes(4)
    (part,) = located(bytes(open_))[0]
    assert part.end == len(single) - 2


def test_headers_longer_than_the_guess_are_read_in_a_second_go() -> None:
    parts = located(TILED)
    drive = Drive(TILED)
    found = drive(read_headers(parts[0], guess=12, size=len(TILED)))
    assert drive.trips == 2
    assert TILED[found[0].body - 2 : found[0].body] == b"\xff\x93"
    assert packet_lengths(found[0]) is None


def test_more_parts_announced_than_there_are_is_an_error() -> None:
    wrong = bytearray(TILED)
    wrong[header(TILED).length + 11] = 2
    index = CodestreamIndex(header(TILED), TILED, Span(0, len(TILED)), len(TILED))
    with pytest.raises(CorruptImage, match="tile 0 consists of 2 tile-parts, of which 1 are there"):
        Drive(bytes(wrong))(index.tile(0))
