"""The packets of one tile in another order, cut into tile-parts."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.chunk import TRAILER, chunk_comment, chunk_head
from ziggurat.codestream.coding import TileCoding
from ziggurat.codestream.compose import tile_part_header
from ziggurat.codestream.copying import Copied, joined
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import Marker
from ziggurat.codestream.order import PacketOrder, Shape, packet_order
from ziggurat.codestream.packet_spans import PacketSpans, find_packets
from ziggurat.codestream.partition import Partition, shrunk, tile_rect
from ziggurat.codestream.reads import Reads, Span
from ziggurat.codestream.recoded_headers import own_segments
from ziggurat.codestream.recoding import Recoding, Split, recoded
from ziggurat.codestream.segments import Siz
from ziggurat.codestream.tile_index import TileIndex
from ziggurat.errors import CorruptImage, LimitExceeded, UnsupportedFeature, UsageError

MAX_BODY = (1 << 32) - (1 << 27)
"""Bytes of packets in a tile-part: Psot has 32 bits, and the headers have to fit in too."""

MAX_PACKETS = 1 << 21
"""Packets of a tile-part: 256 PLT segments hold three millions of the longest lengths."""

_MOST_PARTS = 255

_LAYOUTS = 8
"""New orders that are kept: of tiles inside, at the edges and in the corner."""

_PLT_BYTES = 65532
"""Bytes of packet lengths in one PLT segment (A.7.3)."""


@dataclass(frozen=True, slots=True)
class NewPart:
    """A tile-part to be written.

    Attributes:
        tile: number of the tile.
        stage: what comes first over all tiles where coarse parts come first; the finest resolution is 0.
        head: SOT to SOD.
        body: its packets.
        length: bytes in all.
        packets: how many.
    """

    tile: int
    stage: int
    head: bytes
    body: Copied
    length: int
    packets: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A tile as a codestream of its own, see ``chunk``.

    Attributes:
        head: what comes before its packets.
        body: its packets, the coarsest resolutions first.
    """

    head: bytes
    body: Copied

    def pieces(self) -> list[bytes | Span]:
        """What it consists of."""
        return [self.head, *self.body.pieces(), bytes(TRAILER)]


class Reordering:
    """Lays out the tiles of a codestream anew.

    Args:
        index: of the source.
        recoding: the layout.
        siz: the new geometry.
    """

    def __init__(self, index: CodestreamIndex, recoding: Recoding, siz: Siz) -> None:
        self._index = index
        self._recoding = recoding
        self._siz = siz
        self._layouts: OrderedDict[Shape, _Layout] = OrderedDict()

    def parts(self, number: int, *, room: int) -> Reads[list[NewPart]]:
        """Finds the packets of a tile by their headers, and lays them out anew.

        PLT is not believed: a wrong length would spoil pixels without anybody's noticing.

        Args:
            number: of the tile.
            room: packets that are believed.

        Raises:
            CorruptImage: if the tile is missing or its packets contradict their headers.
            UsageError: if the tile cannot be laid out so.
            LimitExceeded: if it has implausibly many packets.
        """
        index, recoding = self._index, self._recoding
        if number not in (yield from index.parts()) and _without_samples(index.main.siz, number):
            return []
        tile = yield from self._tile(number, room=room)
        layout = self._layout(tile)
        found = yield from find_packets(tile, layout.places, eph=not recoding.chunks)
        comment = chunk_comment(self._siz, layout.coding, number, index.main) if recoding.chunks else b""
        parts = _parts(tile, found, layout.groups, self._own(tile), comment, plt=recoding.plt)
        index.forget(number)
        return parts

    def chunk(self, number: int, level: int, *, room: int) -> Reads[Chunk]:
        """A tile as a codestream of its own, without its finest resolutions; where PLT tells, no header is read.

        The layout must be of the coarsest resolutions first, and of chunks.

        Args:
            number: of the tile.
            level: finest resolutions whose packets are left out; decoders must be told to do without them.
            room: packets that are believed.

        Raises:
            CorruptImage: if the tile is missing or its packets contradict their headers.
            UnsupportedFeature: if it cannot be a chunk.
            LimitExceeded: if it has implausibly many packets.
        """
        tile = yield from self._tile(number, room=room, use_lengths=True)
        if tile.coding.eph and tile.listed:
            # To take EPH out, packet headers have to be read.
            tile = yield from self._tile(number, room=room)
        layout = self._layout(tile)
        found = yield from find_packets(tile, layout.places[layout.resolutions <= -level], eph=False)
        head = chunk_head(self._siz, layout.coding, number, self._index.main) + Marker.SOD.to_bytes(2)
        return Chunk(head, _copied(tile, found.spans, found.own))

    def _tile(self, number: int, *, room: int, use_lengths: bool = False) -> Reads[TileIndex]:
        tile = yield from self._index.tile(number, use_lengths=use_lengths)
        if any(item.style.factors is not None for item in tile.coding.components):
            raise UnsupportedFeature(f"tile {number}: a decomposition of ISO/IEC 15444-2 cannot be laid out anew")
        if tile.shape.precincts * tile.coding.layers > room:
            raise LimitExceeded(f"tile {number} has more packets than the file could hold; its header is not believed")
        return tile

    def _own(self, tile: TileIndex) -> bytes:
        """What the headers of a tile's parts say of how it is coded."""
        segments = [
            (item.marker, header.data[item.offset : item.end]) for header in tile.headers for item in header.segments
        ]
        return own_segments(segments, self._recoding, len(tile.siz.components))

    def _layout(self, tile: TileIndex) -> "_Layout":
        """The new order of a tile's packets, kept for those tiles that are divided alike."""
        kept = self._layouts.get(tile.shape)
        if kept is not None:
            return kept
        recoding = self._recoding
        coding = recoded(tile.coding, recoding, tile.number)
        divided = tile.partition
        if recoding.drop_levels:
            divided = Partition(self._siz, coding, tile_rect(self._siz, tile.number))
        if replace(coding, sop=tile.coding.sop) == tile.coding:
            order = tile.order
            places = np.arange(len(order.precinct), dtype=np.int64)
        else:
            order = packet_order(self._siz, coding, divided)
            old = _old_precincts(tile.partition, divided)
            places = tile.place[old[order.precinct] * tile.coding.layers + order.layer].astype(np.int64)
        resolutions = _by_resolution(divided, order)
        groups = _groups(divided, order, recoding) if recoding.split is not Split.RESOLUTION else resolutions
        made = _Layout(coding, places, resolutions, groups)
        self._layouts[tile.shape] = made
        if len(self._layouts) > _LAYOUTS:
            self._layouts.popitem(last=False)
        return made


@dataclass(frozen=True, slots=True)
class _Layout:
    """The packets of a tile in their new order.

    Attributes:
        coding: of the tile, as it will be.
        places: of the packets in the source.
        resolutions: of the packets; the finest is 0, coarser ones are below it.
        groups: what decides on their tile-parts.
    """

    coding: TileCoding
    places: NDArray[np.int64]
    resolutions: NDArray[np.int64]
    groups: NDArray[np.int64]


def _without_samples(siz: Siz, number: int) -> bool:
    """Whether subsampling leaves nothing of a tile: encoders leave it out."""
    rect = tile_rect(siz, number)
    return all(shrunk(rect, item.dx, item.dy).empty for item in siz.components)


def _old_precincts(old: Partition, new: Partition) -> NDArray[np.int64]:
    """By precinct of the new division, its number in the old one: the same but for the finest resolutions."""
    made = [np.zeros(0, np.int64)]
    for component, number, resolution in new.resolutions():
        first = old.components[component][number].first
        made.append(np.arange(first, first + resolution.precincts, dtype=np.int64))
    return np.concatenate(made)


def _by_resolution(divided: Partition, order: PacketOrder) -> NDArray[np.int64]:
    """By packet, number of its resolution: the finest is 0, coarser ones are below it."""
    finest = max(map(len, divided.components)) - 1
    numbers = [np.full(resolution.precincts, number - finest) for _, number, resolution in divided.resolutions()]
    return np.concatenate(numbers).astype(np.int64)[order.precinct]


def _groups(divided: Partition, order: PacketOrder, recoding: Recoding) -> NDArray[np.int64]:
    """What decides, by packet, on its tile-part: layer, component, or nothing."""
    if recoding.split is Split.LAYER:
        return order.layer.astype(np.int64)
    if recoding.split is Split.NONE:
        return np.zeros(len(order.precinct), np.int64)
    numbers = [np.full(resolution.precincts, component) for component, _, resolution in divided.resolutions()]
    return np.concatenate(numbers).astype(np.int64)[order.precinct]


def _copied(tile: TileIndex, spans: NDArray[np.int64], own: bytes) -> Copied:
    """Packets, each of a header and a body.

    Raises:
        CorruptImage: if they lie beyond the end of the file.
    """
    end = int(spans[:, :, 1][spans[:, :, 0] < tile.size].max(initial=0))
    if end > tile.size:
        raise CorruptImage(f"tile {tile.number}: packets lie up to byte {end}, the file ends at {tile.size}")
    return Copied(*joined(*spans.reshape(-1, 2).T), own, tile.size)


def _parts(
    tile: TileIndex, found: PacketSpans, groups: NDArray[np.int64], own: bytes, comment: bytes, *, plt: bool
) -> list[NewPart]:
    lengths = (found.spans[:, :, 1] - found.spans[:, :, 0]).sum(axis=1)
    cuts = _cuts(groups, lengths)
    count = len(cuts) - 1
    if count > _MOST_PARTS:
        raise UsageError(
            f"tile {tile.number} would have {count} tile-parts, {_MOST_PARTS} are possible; choose other tile-parts, "
            "or none"
        )
    if comment and count > 1:
        raise UsageError(f"tile {tile.number} is too large for one tile-part; choose another layout")
    parts = []
    for number, (first, last) in enumerate(pairwise(cuts)):
        body = _copied(tile, found.spans[first:last], found.own)
        inner = (own if number == 0 else b"") + (_plt(lengths[first:last]) if plt else b"") + comment
        size = int(lengths[first:last].sum())
        if size + len(inner) >= (1 << 32) - 14:
            raise UnsupportedFeature(f"tile {tile.number}: a packet of {size} bytes does not fit into a tile-part")
        head = tile_part_header(size, tile=tile.number, part=number, parts=count, own=inner)
        stage = int(groups[first]) if last > first else 0
        parts.append(NewPart(tile.number, stage, head, body, len(head) + size, last - first))
    return parts


def _cuts(groups: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[int]:
    """First packet of each tile-part, and the end: at least one part, none too long."""
    edges = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)]
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    cuts = [0]
    for first, last in pairwise(edges):
        at = first
        while at < last:
            fitting = int(np.searchsorted(before, before[at] + MAX_BODY, "right")) - 1
            at = min(last, at + MAX_PACKETS, max(at + 1, fitting))
            cuts.append(at)
    return cuts if len(cuts) > 1 else [0, 0]


def _plt(lengths: NDArray[np.int64]) -> bytes:
    """PLT segments (A.7.3): seven bits a byte, no length divided between two segments."""
    if not len(lengths):
        return b""
    sizes = np.ones(len(lengths), np.int64)
    for bits in (7, 14, 21, 28):
        sizes += lengths >> bits > 0
    ends = np.cumsum(sizes)
    place = np.arange(int(ends[-1])) - np.repeat(ends - sizes, sizes)
    left = np.repeat(sizes, sizes) - 1 - place
    digits = (np.repeat(lengths, sizes) >> (7 * left)) & 0x7F | np.where(left > 0, 0x80, 0)
    data = digits.astype(np.uint8).tobytes()
    out: list[bytes] = []
    at = 0
    while at < len(data):
        end = int(ends[np.searchsorted(ends, at + _PLT_BYTES, "right") - 1])
        out.append(Marker.PLT.to_bytes(2) + (end - at + 3).to_bytes(2) + bytes([len(out)]) + data[at:end])
        at = end
    return b"".join(out)
