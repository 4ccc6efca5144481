"""Codestreams in another layout: the same pixels, packets where they are said to be, coarse parts first."""

import struct

import imagecodecs
import numpy as np
import pytest

from drive import Drive
from transcoding import (
    LAYOUTS,
    OPENJPEG,
    bare,
    coded,
    equal,
    index_of,
    main_header,
    openjpeg_coded,
    parts_of,
    pixels,
    planes,
    planned,
    transcoded,
    without,
)
from ziggurat.codestream import reorder, transcode
from ziggurat.codestream.markers import Marker
from ziggurat.codestream.parts import read_headers
from ziggurat.codestream.recoding import Recoding, Split
from ziggurat.codestream.segments import Progression
from ziggurat.codestream.tile_index import walk_to
from ziggurat.errors import CorruptImage, LimitExceeded, UsageError

OPENJPH = {
    "htj2k": "-reversible true -num_decomps 4",
    "htj2k-tiles": "-reversible true -num_decomps 3 -tile_size {64,80} -precincts {64,64},{32,32} -prog_order CPRL",
    "htj2k-lossy": "-reversible false -qstep 0.01 -num_decomps 3",
}
GROK = {"grok": "-n 4 -t 90,90 -p LRCP -L", "grok-layers": "-n 5 -r 20,1 -p PCRL"}


def ht() -> bytes:
    return imagecodecs.htj2k_encode(pixels(), reversible=True, tile=(64, 64), resolutions=3)


def source(name: str) -> bytes:
    if name in OPENJPH:
        return coded("ojph_compress", OPENJPH[name], "j2c")
    if name in GROK:
        return bare(coded("grk_compress", GROK[name], "jp2"))
    return openjpeg_coded(name)


# -- the same pixels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [*OPENJPEG, *OPENJPH, *GROK])
def test_every_coding_keeps_its_pixels_in_every_layout(name: str, layout: str) -> None:
    data = source(name)
    made = transcoded(data, LAYOUTS[layout])
    assert equal(planes(made), planes(data))
    main = main_header(made)
    assert main.cod.progression == LAYOUTS[layout].progression
    assert not main.cod.sop
    assert not main.poc


@pytest.mark.parametrize("name", [*OPENJPEG, "htj2k-tiles"])
def test_packets_are_verbatim_so_the_way_back_leads_to_the_same_bytes(name: str) -> None:
    once = transcoded(source(name), LAYOUTS["default"])
    for layout in LAYOUTS.values():
        # Chunks have no EPH.
        if not (layout.chunks and main_header(once).cod.eph):
            assert transcoded(transcoded(once, layout), LAYOUTS["default"]) == once


@pytest.mark.parametrize("name", [*OPENJPEG, *OPENJPH])
def test_packets_lie_where_plt_and_tlm_say(name: str) -> None:
    data = source(name)
    made = transcoded(data, Recoding())
    assert parts_of(made)[-1].end == len(made) - 2
    index = index_of(made)
    for number in range(main_header(made).siz.tiles):
        by_plt = Drive(made)(index.tile(number))
        assert by_plt.listed
        offsets = by_plt.columns.packets.offset.tolist()
        walked = Drive(made)(index.tile(number, use_lengths=False))
        assert not walked.listed
        Drive(made)(walk_to(walked, len(offsets)))
        assert walked.columns.packets.offset.tolist() == offsets


def test_tlm_and_the_tile_parts_own_lengths_agree() -> None:
    made = transcoded(source("tiles"), Recoding())
    stripped = without(made, "TLM")
    shift = len(made) - len(stripped)
    assert shift > 0
    assert [(p.tile, p.offset - shift, p.end - shift) for p in parts_of(made)] == [
        (p.tile, p.offset, p.end) for p in parts_of(stripped)
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tile_parts_are_numbered_and_counted(layout: str) -> None:
    made = without(transcoded(source("tiles"), LAYOUTS[layout]), "TLM")
    of: dict[int, list[tuple[int, int]]] = {}
    for part in parts_of(made):
        of.setdefault(part.tile, []).append((part.part, part.parts))
    count = {"default": 4, "layers": 1, "components": 3, "positions": 1, "resolutions": 4, "chunks": 1}[layout]
    assert len(of) == 16
    assert all(found == [(number, count) for number in range(count)] for found in of.values())


# -- coarse first -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_level_of_the_whole_image_is_the_beginning_of_the_file(level: int) -> None:
    data = source("tiles")
    made = without(transcoded(data, Recoding()), "TLM")
    end = [part.end for part in parts_of(made) if part.part == 3 - level][-1]
    assert end < len(made) / 2
    assert all(part.part <= 3 - level for part in parts_of(made) if part.end <= end)
    beginning = imagecodecs.jpeg2k_decode(made[:end] + b"\xff\xd9", skipres=level)
    assert np.array_equal(beginning, imagecodecs.jpeg2k_decode(data, skipres=level))


@pytest.mark.parametrize("level", [1, 2])
def test_a_level_of_high_throughput_code_blocks_is_too(level: int) -> None:
    data = ht()
    made = without(transcoded(data, Recoding()), "TLM")
    deepest = main_header(data).levels
    end = [part.end for part in parts_of(made) if part.part == deepest - level][-1]
    assert end < len(made)
    beginning = imagecodecs.htj2k_decode(made[:end], skipres=level)
    assert np.array_equal(beginning, imagecodecs.htj2k_decode(data, skipres=level))


def test_tile_first_keeps_the_parts_of_a_tile_together() -> None:
    tiles = [part.tile for part in parts_of(transcoded(source("tiles"), Recoding(coarse_first=False)))]
    assert tiles == sorted(tiles)
    coarse = [part.tile for part in parts_of(transcoded(source("tiles"), Recoding()))]
    assert coarse == [*range(16)] * 4


# -- sources as they come ---------------------------------------------------------------------------------------------


def packed(data: bytes, *, in_main: bool) -> bytes:
    """The packet headers of tiles of one part each, put into PPM or PPT; SOP stays with the bodies."""
    main = main_header(data)
    bodies, headers = [], []
    for number in range(main.siz.tiles):
        tile = Drive(data)(index_of(data).tile(number))
        assert len(tile.headers) == 1
        Drive(data)(walk_to(tile, len(tile.order.precinct)))
        rows = zip(tile.columns.packets.offset, tile.columns.packets.header, tile.columns.packets.length, strict=True)
        body = header = b""
        for offset, head, length in rows:
            sop = 6 if data[offset : offset + 2] == b"\xff\x91" else 0
            body += data[offset : offset + sop] + data[offset + head : offset + length]
            header += data[offset + sop : offset + head]
        bodies.append(body)
        headers.append(header)
    out = data[: main.length]
    if in_main:
        content = b"".join(struct.pack(">I", len(header)) + header for header in headers)
        cut = range(0, len(content), 50000)
        out += b"".join(
            struct.pack(">HHB", Marker.PPM, len(content[at : at + 50000]) + 3, number) + content[at : at + 50000]
            for number, at in enumerate(cut)
        )
    for number, (body, header) in enumerate(zip(bodies, headers, strict=True)):
        ppt = b"" if in_main else struct.pack(">HHB", Marker.PPT, len(header) + 3, 0) + header
        out += (
            struct.pack(">HHHIBB", Marker.SOT, 10, number, 14 + len(ppt) + len(body), 0, 1) + ppt + b"\xff\x93" + body
        )
    return out + b"\xff\xd9"


@pytest.mark.parametrize("in_main", [False, True], ids=["PPT", "PPM"])
@pytest.mark.parametrize("name", ["marked", "layers"])
def test_packet_headers_that_lie_apart_come_before_their_bodies(name: str, in_main: bool) -> None:  # noqa: FBT001
    apart = packed(source(name), in_main=in_main)
    assert equal(planes(apart), planes(source(name)))
    assert transcoded(apart, Recoding()) == transcoded(source(name), Recoding())


def test_packets_that_the_source_leaves_out_become_empty_ones() -> None:
    data = source("layers")
    tile = Drive(data)(index_of(data).tile(0))
    count = len(tile.order.precinct)
    Drive(data)(walk_to(tile, count))
    end = tile.columns.packets.offset[count - 4]
    start = main_header(data).length
    cut = bytearray(data[:end] + b"\xff\xd9")
    cut[start + 6 : start + 10] = struct.pack(">I", end - start)
    made = transcoded(bytes(cut), Recoding())
    assert planned(bytes(cut), Recoding()).packets == count
    assert equal(planes(made), planes(bytes(cut), strict=False))
    assert not equal(planes(made), planes(data))


def with_changes(*changes: tuple[int, int, int, int, int, int]) -> bytes:
    """Three layers in the order LRCP, with POC at the end of the main header."""
    plain = Recoding(progression=Progression.LRCP, split=Split.NONE, tlm=False, plt=False)
    data = transcoded(source("layers"), plain)
    at = main_header(data).length
    poc = b"".join(struct.pack(">BBHBBB", *change) for change in changes)
    return data[:at] + struct.pack(">HH", Marker.POC, len(poc) + 2) + poc + data[at:]


def test_progression_changes_are_replaced() -> None:
    data = with_changes((0, 0, 1, 6, 3, 0), (0, 0, 3, 6, 3, 0))
    made = transcoded(data, Recoding())
    assert made == transcoded(source("layers"), Recoding())
    assert planned(data, Recoding()).notes == ("progression changes (POC) are replaced by RPCL throughout",)


def test_packets_that_no_progression_change_mentions_become_empty_ones() -> None:
    data = with_changes((0, 0, 2, 6, 3, 0))
    made = transcoded(data, Recoding())
    assert planned(data, Recoding()).packets == 3 * 6 * 3
    assert equal(planes(made), planes(transcoded(source("layers"), Recoding(drop_layers=1))))
    assert not equal(planes(made), planes(source("layers")))


def test_a_last_tile_part_of_unstated_length_is_taken_whole() -> None:
    data = bytearray(source("tiles"))
    at = parts_of(bytes(data))[-1].offset
    data[at + 6 : at + 10] = bytes(4)
    assert transcoded(bytes(data), Recoding()) == transcoded(source("tiles"), Recoding())


def test_tile_parts_in_any_order_are_put_together() -> None:
    coarse = transcoded(source("listed"), Recoding())
    assert transcoded(coarse, LAYOUTS["layers"]) == transcoded(source("listed"), LAYOUTS["layers"])


def test_what_a_tile_says_of_itself_stays_in_its_first_part() -> None:
    data = source("tiles")
    main = main_header(data)
    (cod,) = [item for item in main.segments if item.name == "COD"]
    (qcd,) = [item for item in main.segments if item.name == "QCD"]
    own = data[cod.offset : cod.end] + data[qcd.offset : qcd.end]
    first = parts_of(data)[0]
    assert first.part == 0
    with_own = bytearray(data[: first.offset + 12] + own + data[first.offset + 12 :])
    with_own[first.offset + 6 : first.offset + 10] = struct.pack(">I", first.end - first.offset + len(own))
    # The other tiles are coded otherwise by the main header: their own would be needed.
    made = transcoded(bytes(with_own), Recoding())
    assert equal(planes(made), planes(data))
    index = index_of(made)
    parts = Drive(made)(index.parts())[0]
    headers = Drive(made)(read_headers(parts, guess=4096, size=len(made)))
    assert [[item.name for item in header.segments] for header in headers] == [
        ["COD", "QCD", "PLT"],
        ["PLT"],
        ["PLT"],
        ["PLT"],
    ]
    assert headers[0].content(headers[0].segments[0])[1] == Progression.RPCL


def test_a_missing_tile_is_an_error() -> None:
    data = source("marked")
    first, second = parts_of(data)[:2]
    with pytest.raises(CorruptImage, match="tile 1 of 9 is missing"):
        transcoded(data[: first.end] + data[second.end :], Recoding())


def test_a_file_cut_short_is_an_error() -> None:
    data = source("plain")
    with pytest.raises(CorruptImage):
        transcoded(data[: len(data) * 2 // 3], Recoding())


def test_more_packets_than_can_be_are_not_believed() -> None:
    data = bytearray(source("plain"))
    (cod,) = [item for item in main_header(bytes(data)).segments if item.name == "COD"]
    data[cod.offset + 6 : cod.offset + 8] = b"\xff\xff"
    with pytest.raises(LimitExceeded, match="packets"):
        transcoded(bytes(data), Recoding())


# -- leaving out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("name", ["plain", "precincts", "layers", "marked", "changes", "lossy", "htj2k"])
def test_without_the_finest_levels_it_is_the_coarser_image(name: str, level: int) -> None:
    data = source(name)
    if name == "marked" and level == 2:
        data = source("tiles")
    made = transcoded(data, Recoding(drop_levels=level))
    assert equal(planes(made), planes(data, level))
    assert len(made) < len(data)
    assert main_header(made).levels == main_header(data).levels - level


def test_levels_are_left_out_around_offsets_too() -> None:
    data = coded("opj_compress", "-n 4 -d 13,7 -T 5,3 -p RPCL -c [32,64]", "j2k")
    for level in (1, 2, 3):
        made = transcoded(data, Recoding(drop_levels=level))
        # OpenJPEG pads what it decodes of an image with an offset at a coarser level.
        height, width = planes(made)[0].shape
        assert (height, width) == (-(-180 >> level) + (-7 >> level), -(-224 >> level) + (-13 >> level))
        assert equal(planes(made), [plane[:height, :width] for plane in planes(data, level)])


def test_tiles_that_would_no_longer_be_of_one_size_are_refused() -> None:
    with pytest.raises(UsageError, match="tiles of 80 from 5 on have no common size without 1 levels"):
        transcoded(source("offsets"), Recoding(drop_levels=1))
    with pytest.raises(UsageError, match="tiles of 100 from 0 on"):
        transcoded(source("marked"), Recoding(drop_levels=3))


def test_more_levels_or_layers_than_there_are_cannot_be_left_out() -> None:
    with pytest.raises(UsageError, match="tile 0 has 3 decomposition levels; 4 cannot be left out"):
        transcoded(source("precincts"), Recoding(drop_levels=4))
    with pytest.raises(UsageError, match="tile 0 has 3 quality layers; 3 cannot be left out"):
        transcoded(source("layers"), Recoding(drop_layers=3))


def test_without_the_last_layers_it_is_the_same_as_decoding_fewer() -> None:
    data = source("layers")
    made = transcoded(data, Recoding(drop_layers=2))
    assert main_header(made).cod.layers == 1
    assert len(made) < len(data) / 4
    cut = transcoded(data, LAYOUTS["layers"])
    end = index_of(cut)
    tile = Drive(cut)(end.tile(0))
    first = list(tile.columns.packets.layer).index(1)
    part = next(header.part for header in tile.headers if header.body == tile.columns.packets.offset[first])
    only_first = cut[: part.offset] + b"\xff\xd9"
    assert equal(planes(made), planes(without(only_first, "TLM"), strict=False))


# -- limits of the syntax ---------------------------------------------------------------------------------------------


def test_tile_parts_that_a_progression_cannot_have_are_refused() -> None:
    for progression, split in (("LRCP", "R"), ("RPCL", "L"), ("PCRL", "R"), ("RPCL", "C"), ("PCRL", "C")):
        with pytest.raises(UsageError, match=f"tile-parts {split} cannot be had in the progression {progression}"):
            Recoding(progression=Progression[progression], split=Split(split))


def test_more_than_255_tile_parts_are_refused() -> None:
    data = bytearray(source("plain"))
    (cod,) = [item for item in main_header(bytes(data)).segments if item.name == "COD"]
    data[cod.offset + 6 : cod.offset + 8] = struct.pack(">H", 256)
    with pytest.raises(UsageError, match="tile 0 would have 256 tile-parts, 255 are possible"):
        transcoded(bytes(data), LAYOUTS["layers"])


def test_long_tile_parts_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    data = source("precincts")
    whole = len(parts_of(transcoded(data, Recoding())))
    monkeypatch.setattr(reorder, "MAX_BODY", 3000)
    made = transcoded(data, Recoding())
    parts = parts_of(made)
    assert len(parts) > whole + 3
    assert all(part.end - part.offset < 3300 for part in parts)
    assert equal(planes(made), planes(data))


def test_long_lists_fill_several_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reorder, "_PLT_BYTES", 5)
    monkeypatch.setattr(transcode, "_TLM_ENTRIES", 5)
    data = source("tiles")
    made = transcoded(data, Recoding())
    main = main_header(made)
    assert [item.name for item in main.segments].count("TLM") == 13
    assert len(main.tlm) == 64
    tile = Drive(made)(index_of(made).tile(0))
    assert tile.listed
    content = [header.content(item) for header in tile.headers for item in header.of(Marker.PLT)]
    assert len(content) > len(tile.headers)
    # A length is not divided between two segments: each ends with a byte whose top bit is clear.
    assert all(item[-1] < 0x80 and len(item) <= 6 for item in content)
    assert equal(planes(made), planes(data))


def test_a_profile_that_prescribes_the_layout_is_no_longer_claimed() -> None:
    data = bytearray(source("plain"))
    data[6:8] = b"\x00\x03"
    plan = planned(bytes(data), Recoding())
    assert main_header(plan.head + b"\xff\x90" + bytes(10)).siz.capabilities == 0
    assert plan.notes == ("profile 3, which prescribes another layout, is no longer claimed",)
    data[6:8] = b"\x00\x02"
    assert main_header(transcoded(bytes(data), Recoding())).siz.capabilities == 2
