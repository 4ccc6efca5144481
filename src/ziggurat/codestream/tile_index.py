"""Where the packets of one tile lie, and what their headers say of the code-blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.coding import TileCoding
from ziggurat.codestream.order import PacketOrder, Shape
from ziggurat.codestream.packet_parser import OK, PacketParser
from ziggurat.codestream.packets import Column, Insides, Layout, Packets, Records, column, room, zeros
from ziggurat.codestream.partition import Partition, Rect, Tables, ranges
from ziggurat.codestream.parts import PartHeader, packed_headers, packet_lengths
from ziggurat.codestream.reads import Reads, Span
from ziggurat.codestream.segments import Siz
from ziggurat.errors import CorruptImage, LimitExceeded

_CHUNK = 1 << 17
"""Bytes first read in search of packet headers; doubled while they lie close together."""
_LONGEST_CHUNK = 1 << 22
_FAR = 1 << 18
"""Bytes of bodies that are passed over rather than read."""
_SOP_BYTES = 6
_HEADER_BYTES = 4
"""Bytes of a packet's header that a code-block takes, first guess."""
_FREE_PACKETS = 1 << 16
"""Packets that are believed without a byte for each: some encoders leave out the last ones, where they are empty."""
_FREE_BLOCKS = 1 << 22
"""Code-blocks of a tile that are believed without a byte to show: 100 MB of tables, 17 gigapixels of blank paper."""
_BLOCKS_PER_BYTE = 64
_FREE_VISITS = 1 << 24
"""Code-blocks that the headers of a tile may speak of, layer by layer, without a byte to show: about a second."""
_VISITS_PER_BYTE = 64
"""Eight code-blocks that are not in a packet share a bit; real files have less than one visit a byte."""


_FEW = 64
"""Records for which there is room at first, where several packets may have some of the same code-block."""


@dataclass(slots=True)
class _Walk:
    """How far the packet headers have been read."""

    parser: PacketParser
    part: int = 0
    entered: bool = False
    base: int = 0
    data: bytes = b""
    chunk: int = _CHUNK
    packed: bytes = b""


@dataclass(slots=True)
class Columns:
    """The packets in order, as arrays that compiled and interpreted code share.

    Attributes:
        known: packets, from the first on, of which it is known where they lie.
        listed: whether PLT told.
        walk: how far their headers have been read.
        loaded: what they say, where a stored index told.
    """

    packets: Packets
    planes: Column
    known: int = 0
    listed: bool = False
    walk: _Walk | None = None
    loaded: Records | None = None

    @property
    def rows(self) -> Records | None:
        """What the packet headers say that have been read, of all packets that are known; None where none was."""
        return self.loaded if self.walk is None else self.walk.parser.rows


class TileIndex:
    """One tile of a codestream, whose packets are looked for when they are first asked about.

    Args:
        siz: the geometry.
        coding: how the tile is coded.
        rect: it, on the reference grid.
        shape: what it shares with other tiles.
        headers: of its tile-parts, in order.
        size: bytes of the file.
        packed: packet headers from the main header (PPM), by tile-part.
        use_lengths: whether PLT is believed.
        apart: whether packet headers are known to lie apart from the packets.

    Attributes:
        number: of the tile.
        parsed: large precincts whose packets have been parsed by themselves.

    Raises:
        LimitExceeded: if its header announces more packets than can be in its bytes.
    """

    def __init__(  # noqa: PLR0913 - each is a part of what is known of a tile
        self,
        siz: Siz,
        coding: TileCoding,
        rect: Rect,
        shape: Shape,
        headers: Sequence[PartHeader],
        *,
        size: int,
        packed: Sequence[bytes] | None = None,
        use_lengths: bool = True,
        apart: bool = False,
    ) -> None:
        self.siz = siz
        self.coding = coding
        self.rect = rect
        self.shape = shape
        self.headers = headers
        self.size = size
        self.packed = packed
        self.number = headers[0].part.tile
        self.parsed: dict[int, Insides] = {}
        self._use_lengths = use_lengths
        self._apart = apart
        packets = shape.precincts * coding.layers
        if packets > max(_FREE_PACKETS, self.length):
            raise LimitExceeded(
                f"tile {self.number} of {self.length} bytes has {packets} packets by its header, which is not "
                "believed: each takes a byte at least"
            )

    @property
    def length(self) -> int:
        """Bytes that there are of its tile-parts, and of packet headers from the main header."""
        packed = sum(map(len, self.packed or ()))
        return packed + sum(min(header.part.end, self.size) - header.part.offset for header in self.headers)

    @property
    def packed_apart(self) -> bool:
        """Whether packet headers lie apart from the packets (PPM, PPT)."""
        return self._apart or self.packed is not None or any(packed_headers(header) for header in self.headers)

    @cached_property
    def partition(self) -> Partition:
        """How it is divided."""
        return Partition(self.siz, self.coding, self.rect)

    @property
    def order(self) -> PacketOrder:
        """The order of its packets."""
        return self.shape.order

    @property
    def place(self) -> NDArray[np.int32]:
        """By precinct and layer, a packet's place in the order; -1 where it is not in the codestream."""
        return self.shape.place

    @cached_property
    def columns(self) -> Columns:
        """Where its packets lie."""
        count = len(self.order.precinct)
        columns = Columns(
            Packets(
                precinct=column(self.order.precinct, "i4"),
                layer=column(self.order.layer, "i4"),
                offset=zeros(count, "i8"),
                header=zeros(count, "u4"),
                length=zeros(count, "i8"),
                record=zeros(count + 1, "i8"),
            ),
            planes=zeros(0, "u1"),
        )
        if self._use_lengths and not self.packed_apart:
            columns.listed = _listed(columns, self.headers)
        return columns

    @property
    def listed(self) -> bool:
        """Whether PLT told where the packets lie."""
        return self.columns.listed

    @property
    def largest_packet(self) -> int:
        """Bytes of the largest packet that is known."""
        return max(self.columns.packets.length, default=0)

    @property
    def walked(self) -> bool:
        """Whether packet headers have been read one after the other, in this process."""
        return "columns" in self.__dict__ and self.columns.walk is not None


def _listed(columns: Columns, headers: Sequence[PartHeader]) -> bool:
    """Takes the packets' places from PLT, if it is there for all of them and adds up."""
    lengths, offsets = [], []
    for header in headers:
        found = packet_lengths(header)
        if found is None:
            if header.part.end > header.body:
                return False
            continue
        ends = np.cumsum(found)
        if header.body + int(ends[-1]) != header.part.end:
            return False
        lengths.append(found)
        offsets.append(header.body + ends - found)
    count = len(columns.packets.precinct)
    if sum(map(len, lengths)) != count or not count:
        return False
    np.asarray(columns.packets.length)[:] = np.concatenate(lengths)
    np.asarray(columns.packets.offset)[:] = np.concatenate(offsets)
    columns.known = count
    return True


def layout(coding: TileCoding, tables: Tables, length: int, precincts: Sequence[int] | None = None) -> Layout:
    """The precincts as the parser wants them: all of them, or those given, numbered anew from 0.

    Args:
        coding: of the tile.
        tables: of the tile.
        length: bytes that the packets have, in all.
        precincts: those wanted.
    """
    total = int(tables.block_first[-1])
    modes = np.array([item.termination for item in coding.components], np.uint8)
    bands: slice | NDArray[np.int64]
    if precincts is None:
        bands = slice(None)  # views, not copies: there may be millions
        first = tables.band_first
        block_first = tables.block_first[:-1]
        blocks = total
    else:
        chosen = np.asarray(precincts, np.int64)
        counts = tables.band_first[chosen + 1] - tables.band_first[chosen]
        bands = ranges(tables.band_first[chosen], counts)
        first = np.append(0, np.cumsum(counts))
        sizes = tables.width[bands].astype(np.int64) * tables.height[bands]
        block_first = np.cumsum(sizes) - sizes
        blocks = int(sizes.sum())
    return Layout(
        band_first=column(first, "i8"),
        width=column(tables.width[bands], "i2"),
        height=column(tables.height[bands], "i2"),
        block_first=column(block_first, "i8"),
        mode=column(modes[tables.component[bands]], "u1"),
        blocks=blocks,
        layers=coding.layers,
        sop=coding.sop,
        eph=coding.eph,
        visits=_FREE_VISITS * (blocks + 1) // (total + 1) + _VISITS_PER_BYTE * length,
    )


def walk_to(index: TileIndex, last: int) -> Reads[None]:
    """Reads packet headers until the first ``last`` packets are known.

    Raises:
        CorruptImage: if a header contradicts itself, or the file ends before.
    """
    columns = index.columns
    if columns.known >= last:
        return
    if columns.walk is None:
        check_blocks(index)
        laid = layout(index.coding, index.shape.tables, index.length)
        columns.planes = zeros(laid.blocks, "u1")
        columns.walk = _Walk(PacketParser(laid, columns.packets, columns.planes, _room(laid)))
    yield from _walk_on(index, columns.walk, last)
    if columns.known == len(index.order.precinct):
        columns.walk.data = b""
        columns.walk.parser.release()


def _walk_on(index: TileIndex, walk: _Walk, last: int) -> Reads[None]:
    columns, parser = index.columns, walk.parser
    while parser.next < last:
        header = _enter(index, walk)
        if header is None:
            _end(columns, parser)
            return
        limit = header.part.end
        stop = last
        if walk.packed and index.coding.sop:
            yield from _look(index, walk, limit)
            stop = parser.next + 1
        status = parser.run(walk.data, walk.base, limit, stop, walk.packed)
        columns.known = parser.next
        if status != OK:
            yield from _read_on(index, walk, limit)
        elif parser.next < stop:
            walk.part += 1
            walk.entered = False


def _room(laid: Layout) -> Records:
    """Room for the records of all packets, where it is known how many there can be."""
    return room(laid.blocks if laid.layers == 1 else _FEW)


def _look(index: TileIndex, walk: _Walk, limit: int) -> Reads[None]:
    """Reads the first bytes of a packet whose header lies apart: SOP may be there, before the body."""
    at = walk.parser.at
    if not walk.base <= at <= at + _SOP_BYTES <= walk.base + len(walk.data):
        walk.data = (yield [Span(at, min(at + _CHUNK, limit, index.size))])[0]
        walk.base = at


def check_blocks(index: TileIndex) -> None:
    """Refuses a tile whose header announces more code-blocks than its bytes can hold.

    Raises:
        LimitExceeded: if it does.
    """
    blocks = int(index.shape.tables.block_first[-1])
    if blocks > max(_FREE_BLOCKS, _BLOCKS_PER_BYTE * index.length):
        raise LimitExceeded(
            f"tile {index.number} of {index.length} bytes has {blocks} code-blocks by its header, which is not believed"
        )


def _end(columns: Columns, parser: PacketParser) -> None:
    """Takes the packets that the tile-parts end before for empty ones, as decoders do: some encoders leave them out."""
    count = len(columns.packets.precinct)
    np.asarray(columns.packets.record)[parser.next + 1 :] = parser.records
    columns.known = count


def _enter(index: TileIndex, walk: _Walk) -> PartHeader | None:
    """The tile-part that the next packet lies in; None behind the last one."""
    if walk.part >= len(index.headers):
        return None
    header = index.headers[walk.part]
    if not walk.entered:
        walk.entered = True
        walk.parser.at = header.body
        walk.parser.packed_at = 0
        walk.packed = packed_headers(header) if index.packed is None else index.packed[walk.part]
        start = header.body - header.part.offset
        if not walk.base <= header.body < walk.base + len(walk.data):
            walk.base, walk.data = header.body, header.data[start:]
    return header


def _read_on(index: TileIndex, walk: _Walk, limit: int) -> Reads[None]:
    """Reads the bytes in which the next packet's header lies, more of them where they did not suffice."""
    at = walk.parser.at
    held = walk.base + len(walk.data)
    blocks = index.shape.tables.blocks(int(index.order.precinct[walk.parser.next]))
    wanted = 64 + _HEADER_BYTES * (blocks.stop - blocks.start)
    if walk.base <= at < held:
        # What was there did not hold the header whole.
        wanted = max(wanted, 2 * (held - at))
    far = at - held > _FAR
    walk.chunk = _CHUNK if far else min(2 * walk.chunk, _LONGEST_CHUNK)
    end = min(at + max(wanted, 0 if far else walk.chunk), limit, index.size)
    if end <= at or (walk.base <= at and end <= held):
        raise CorruptImage(
            f"packet {walk.parser.next} of tile {index.number} at byte {at}: the file ends before it; it is truncated"
        )
    walk.data = (yield [Span(at, end)])[0]
    walk.base = at
