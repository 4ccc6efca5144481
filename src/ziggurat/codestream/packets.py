"""The tables that packet headers are read into and written from: columns of numbers of one type.

They are memory views and ``array.array``: plain numbers to interpreted code, a buffer to compiled code and numpy.
"""

from array import array
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

type Column = memoryview[int] | array[int]

BANDS = 3
"""Subbands of a precinct at the most: HL, LH, HH."""

type Kind = Literal["i2", "i4", "i8", "u1", "u4"]
"""The type of a column's numbers, as numpy names it."""


def column(values: ArrayLike, kind: Kind) -> Column:
    """The values as a column, not copied where they are of that type."""
    return memoryview(np.ascontiguousarray(values, kind))


def zeros(count: int, kind: Kind) -> Column:
    """A column of zeros, which takes no memory before it is written to."""
    return memoryview(np.zeros(count, kind))


def room(count: int) -> "Records":
    """Room for so many records."""
    return Records(zeros(count, "u4"), zeros(count, "u1"), zeros(count, "u4"))


def more_room(old: "Records", count: int) -> "Records":
    """Room for so many records, of which the first are these."""
    rows = room(count)
    for target, values in ((rows.block, old.block), (rows.passes, old.passes), (rows.length, old.length)):
        np.asarray(target)[: len(values)] = values
    return rows


@dataclass(frozen=True)
class Layout:
    """The subbands of every precinct, flat, in the order of the precincts' numbers.

    Attributes:
        band_first: by precinct, its first subband in the other arrays; one more at the end.
        width, height: by subband, its code-blocks across and down.
        block_first: by subband, the number of its first code-block.
        mode: by subband, how passes fall into segments.
        blocks: code-blocks in all.
        layers: of the tile.
        sop: whether packets may begin with SOP.
        eph: whether packet headers may end with EPH.
        visits: how often headers may speak of a code-block, all packets together.
    """

    band_first: Column
    width: Column
    height: Column
    block_first: Column
    mode: Column
    blocks: int
    layers: int
    sop: bool
    eph: bool
    visits: int


@dataclass(frozen=True)
class Packets:
    """Where packets lie, by their place in the codestream; the columns are filled by ``PacketParser.run``.

    Attributes:
        precinct, layer: what each packet is.
        offset: of its first byte, SOP included.
        header: bytes before its body.
        length: bytes in all.
        record: its first record; one more at the end.
    """

    precinct: Column
    layer: Column
    offset: Column
    header: Column
    length: Column
    record: Column


@dataclass(frozen=True)
class Records:
    """What packets bring: a row for every piece of a codeword segment.

    Attributes:
        block: number of the code-block.
        passes: coding passes.
        length: bytes.
    """

    block: Column
    passes: Column
    length: Column


@dataclass(frozen=True)
class Insides:
    """What the packets of some precincts say.

    Attributes:
        block_first: by precinct, the number of its first code-block in ``rows`` and ``planes``.
        packet_first: by precinct, its first packet, layer after layer; one more at the end.
        body: by packet, the file's offset of what follows its header.
        record_first, record_last: by packet, its rows.
        rows: one for every piece of a codeword segment, in each packet by ascending code-blocks.
        planes: zero bit-planes, by code-block.
    """

    block_first: Column
    packet_first: Column
    body: Column
    record_first: Column
    record_last: Column
    rows: Records
    planes: Column


@dataclass(frozen=True)
class Grid:
    """The code-blocks of some precincts of one resolution, and which of them are needed.

    Attributes:
        bands: number of subbands.
        wide, high: precincts of the resolution, across and down.
        row, column: of each of these precincts among them.
        x, width: number of the first code-block across and how many there are, by subband and column of precincts.
        y, height: the same down, by subband and row of precincts.
        needed: x0, y0, x1, y1 of the code-blocks needed, by subband.
        base: slot of the first of them, by subband.
    """

    bands: int
    wide: int
    high: int
    row: Column
    column: Column
    x: Column
    width: Column
    y: Column
    height: Column
    needed: Column
    base: Column


@dataclass(frozen=True)
class Picked:
    """What ``packet_picker.pick`` fills: zero planes by slot, and a row for every record.

    Attributes:
        planes: zero bit-planes.
        slot: of the record's code-block.
        passes, length, offset: of the record, and where its bytes lie in the file.
    """

    planes: Column
    slot: Column
    passes: Column
    length: Column
    offset: Column


@dataclass(frozen=True)
class Written:
    """What ``PacketWriter.packets`` made: packet headers, and what lies behind each.

    Attributes:
        headers: one behind the other.
        header_end: by packet, where its header ends in ``headers``.
        slots: the code-blocks of all packets in order.
        slot_end: by packet, where its slots end in ``slots``.
    """

    headers: bytes
    header_end: Column
    slots: Column
    slot_end: Column


@dataclass(frozen=True)
class Slots:
    """Code-blocks that go into a codestream, each with all its records in order.

    Attributes:
        planes: zero bit-planes.
        cap: coding passes to keep at most; 255 keeps all.
        first: first record; one more at the end.
        passes, length: of the records.
        used: filled with the number of records whose bytes belong into the body.
    """

    planes: Column
    cap: Column
    first: Column
    passes: Column
    length: Column
    used: Column
