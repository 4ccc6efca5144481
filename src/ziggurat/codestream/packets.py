"""The tables that packet headers are read into and written from: columns of numbers of one type.

They are ``array.array``: plain numbers to interpreted code, a buffer to compiled code and numpy.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from array import array


@dataclass(frozen=True)
class Layout:
    """The subbands of every precinct, flat, in the order of the precincts' numbers.

    Attributes:
        band_first: by precinct, its first subband in the other arrays; one more at the end ("q").
        width, height: by subband, its code-blocks across and down ("i").
        block_first: by subband, the number of its first code-block ("q").
        mode: by subband, how passes fall into segments ("B").
        blocks: code-blocks in all.
        layers: of the tile.
        sop: whether packets may begin with SOP.
        eph: whether packet headers may end with EPH.
        visits: how often headers may speak of a code-block, all packets together.
    """

    band_first: "array[int]"
    width: "array[int]"
    height: "array[int]"
    block_first: "array[int]"
    mode: "array[int]"
    blocks: int
    layers: int
    sop: bool
    eph: bool
    visits: int


@dataclass(frozen=True)
class Packets:
    """Where packets lie, by their place in the codestream; the columns are filled by ``PacketParser.run``.

    Attributes:
        precinct, layer: what each packet is ("i").
        offset: of its first byte, SOP included ("q").
        header: bytes before its body ("I").
        length: bytes in all ("q").
        record: its first record; one more at the end ("q").
    """

    precinct: "array[int]"
    layer: "array[int]"
    offset: "array[int]"
    header: "array[int]"
    length: "array[int]"
    record: "array[int]"


@dataclass(frozen=True)
class Records:
    """What packets bring: a row for every piece of a codeword segment.

    Attributes:
        block: number of the code-block ("I").
        passes: coding passes ("B").
        length: bytes ("I").
    """

    block: "array[int]"
    passes: "array[int]"
    length: "array[int]"


@dataclass(frozen=True)
class Slots:
    """Code-blocks that go into a codestream, each with all its records in order.

    Attributes:
        planes: zero bit-planes ("B").
        cap: coding passes to keep at most; 255 keeps all ("B").
        first: first record; one more at the end ("q").
        passes, length: of the records ("B", "I").
        used: filled with the number of records whose bytes belong into the body ("I").
    """

    planes: "array[int]"
    cap: "array[int]"
    first: "array[int]"
    passes: "array[int]"
    length: "array[int]"
    used: "array[int]"
