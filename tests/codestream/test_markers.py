import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.codestream.fields import Incomplete
from ziggurat.codestream.markers import (
    MainHeader,
    Marker,
    parse_main_header,
)
from ziggurat.codestream.segments import Component, Progression
from ziggurat.codestream.widen import widened
from ziggurat.errors import CorruptImage

PIXELS = np.random.default_rng(0).integers(0, 256, (100, 130, 3), np.uint8)
DATA = imagecodecs.htj2k_encode(PIXELS, reversible=True, tile=(64, 64), resolutions=2)
HT = imagecodecs.htj2k_encode(PIXELS, reversible=False, level=0.01)


def parsed(data: bytes) -> MainHeader:
    main = parse_main_header(data)
    assert isinstance(main, MainHeader)
    return main


def segment(marker: int, body: bytes) -> bytes:
    return marker.to_bytes(2) + (len(body) + 2).to_bytes(2) + body


SIZ = segment(
    0xFF51, bytes.fromhex("0000 00000064 00000064 00000000 00000000 00000064 00000064 00000000 00000000 0001 070101")
)
COD = segment(0xFF52, bytes.fromhex("00 02 0003 00 02 04 04 00 01"))
QCD = segment(0xFF5C, bytes.fromhex("40 4048485048485048"))
SOT = segment(0xFF90, bytes.fromhex("0000 00000000 00 01"))


def stream(*segments: bytes, siz: bytes = SIZ) -> bytes:
    return b"\xff\x4f" + siz + b"".join(segments) + SOT + b"\xff\x93\x00\xff\xd9"


def test_a_written_header_is_read_as_it_was_meant() -> None:
    main = parsed(DATA)
    assert (main.siz.x1, main.siz.y1, main.siz.tile_width, main.siz.tiles) == (130, 100, 64, 6)
    assert main.siz.components == (Component(8, signed=False, dx=1, dy=1),) * 3
    assert (main.cod.progression, main.cod.layers, main.levels) == (Progression.RPCL, 1, 2)
    assert main.cod.style.transform == 1
    assert main.markers[:5] == ("SOC", "SIZ", "CAP", "COD", "QCD")
    assert DATA[main.length : main.length + 2] == b"\xff\x90"
    assert not parsed(imagecodecs.jpeg2k_encode(PIXELS, level=0, codecformat="j2k")).ht


def test_htj2k_is_recognised_by_its_capabilities() -> None:
    main = parsed(HT)
    assert main.ht
    assert main.cap is not None
    assert 15 in main.cap.parts


def test_a_header_in_pieces_says_how_much_it_needs_and_ends_up_the_same() -> None:
    main = parsed(DATA)
    length, answers = 1, 0
    while isinstance(answer := parse_main_header(DATA[:length]), Incomplete):
        assert length < answer.needed <= main.length + 4
        length = answer.needed
        answers += 1
    assert answer == main
    assert answers < 20


def test_component_defaults_and_exceptions_are_kept_apart() -> None:
    coc = segment(0xFF53, bytes.fromhex("00 01 01 03 03 00 00 77 88"))
    main = parsed(stream(COD, coc, QCD))
    assert main.coding(0).levels == 1
    assert main.coding(0).precincts == ((128, 128), (256, 256))
    assert main.coding(1).levels == 2
    assert main.levels == 1


def test_segments_that_are_not_understood_are_listed() -> None:
    main = parsed(stream(COD, segment(0xFF76, b"abc"), segment(0xFFA5, b""), QCD, segment(0xFF64, b"\0\1made by")))
    assert main.markers == ("SOC", "SIZ", "COD", "NLT", "0xFFA5", "QCD", "COM")
    assert main.comments == ("made by",)


def test_tile_part_lengths_come_in_the_order_of_their_segments() -> None:
    second = segment(0xFF55, bytes.fromhex("01 50 01 00000020"))
    first = segment(0xFF55, bytes.fromhex("00 50 00 00000010"))
    assert [(entry.tile, entry.length) for entry in parsed(stream(COD, second, first, QCD)).tlm] == [(0, 16), (1, 32)]


def test_a_progression_change_reads_component_end_0_as_256() -> None:
    poc = segment(0xFF5F, bytes.fromhex("00 00 0003 02 00 01"))
    (change,) = parsed(stream(COD, poc, QCD)).poc
    assert (change.component_end, change.progression) == (256, Progression.RLCP)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (stream(COD, QCD)[2:], "begins with ff 51"),
        (stream(QCD), "no COD"),
        (stream(COD), "no QCD"),
        (stream(COD, b"\x12\x34\x00\x02", QCD), "byte 59: 0x1234 where a marker segment or SOT must be"),
        (stream(COD, b"\xff\x64\x00\x01", QCD), "marker COM at byte 59: length 1"),
        (stream(COD, QCD, SIZ), "a second SIZ"),
        (stream(COD[:-1] + b"\x01\x02", QCD), "marker"),
        (stream(segment(0xFF52, b"\0\2"), QCD), "marker COD at byte 45 ends"),
        (stream(segment(0xFF52, bytes.fromhex("00 02 0000 00 02 04 04 00 01")), QCD), "0 layers"),
        (stream(segment(0xFF52, bytes.fromhex("00 09 0001 00 02 04 04 00 01")), QCD), "progression order 9"),
        (stream(segment(0xFF52, bytes.fromhex("00 02 0001 00 21 04 04 00 01")), QCD), "33 decomposition levels"),
        (stream(segment(0xFF52, bytes.fromhex("00 02 0001 00 02 08 08 00 01")), QCD), "code-blocks of"),
        (stream(COD, QCD, segment(0xFF5E, bytes([3, 0, 1]))), "component 3, there are 1"),
        (stream(COD, QCD, siz=SIZ[:38] + b"\0\2" + SIZ[40:]), "2 components do not fill"),
        (stream(COD, QCD, siz=SIZ[:6] + bytes(4) + SIZ[10:]), "is empty"),
        (stream(COD, QCD, siz=SIZ[:22] + bytes(4) + SIZ[26:]), "tile of 0 x 100"),
        (stream(COD, QCD, siz=SIZ[:-2] + b"\0\1"), "subsampled by 0 x 1"),
        (stream(COD, QCD, siz=SIZ[:22] + bytes.fromhex("00000001 00000001 00000001") + SIZ[34:]), "does not hold"),
        (
            stream(
                COD,
                QCD,
                siz=SIZ[:6] + bytes.fromhex("00010000 00000064") + SIZ[14:22] + bytes.fromhex("00000001") + SIZ[26:],
            ),
            "65536 tiles",
        ),
    ],
)
def test_a_lying_header_is_refused_by_place_and_rule(data: bytes, rule: str) -> None:
    with pytest.raises(CorruptImage, match=rule):
        parse_main_header(data)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8), st.integers(0, 220))
def test_mutated_headers_end_in_a_header_a_wish_or_a_corrupt_image(changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(DATA)
    for at, value in changes:
        data[at] = value
    try:
        main = parse_main_header(bytes(data[:length]))
        if isinstance(main, Incomplete):
            assert main.needed > length
        else:
            assert main.siz.tiles > 0
    except CorruptImage:
        pass


@pytest.mark.parametrize("reversible", [True, False])
def test_a_widened_codestream_decodes_to_the_same_samples_half_a_range_higher(*, reversible: bool) -> None:
    data = imagecodecs.htj2k_encode(PIXELS // 2 + 64, reversible=reversible, level=None if reversible else 0.001)
    wide = widened(data, parsed(data))
    assert wide is not None
    assert parsed(wide).siz.components[0].depth == 9
    difference = imagecodecs.htj2k_decode(wide).astype(int) - 128 - imagecodecs.htj2k_decode(data)
    assert np.abs(difference).max() <= int(not reversible)


def test_without_a_guard_bit_nothing_is_widened() -> None:
    main = parsed(HT)
    head = bytearray(HT)
    (place,) = [item.offset + 4 for item in main.segments if item.marker == Marker.QCD]
    head[place] &= 31
    assert widened(bytes(head), parsed(bytes(head))) is None
