"""The packets of one tile in another order, cut into tile-parts."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.compose import tile_part_header
from ziggurat.codestream.copying import Copied, joined
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import Marker
from ziggurat.codestream.order import PacketOrder, packet_order
from ziggurat.codestream.partition import Partition, shrunk, tile_rect
from ziggurat.codestream.reads import Reads, Span
from ziggurat.codestream.recoding import Recoding, Split, own_segments, recoded
from ziggurat.codestream.segments import Siz
from ziggurat.codestream.tile_index import TileIndex, walk_to
from ziggurat.errors import CorruptImage, LimitExceeded, UnsupportedFeature, UsageError

_SOP_BYTES = 6
_SOP = b"\xff\x91"
_EMPTY, _EPH = b"\0", b"\xff\x92"
_SPANS = 1 << 14
"""Packets that are looked at in one go."""

MAX_BODY = (1 << 32) - (1 << 27)
"""Bytes of packets in a tile-part: Psot has 32 bits, and the headers have to fit in too."""

MAX_PACKETS = 1 << 21
"""Packets of a tile-part: 256 PLT segments hold three millions of the longest lengths."""

_MOST_PARTS = 255
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
class _Found:
    """Where packets lie.

    Attributes:
        spans: start and end of the one or two pieces of every packet, shape (packets, pieces, 2).
        own: bytes of packets that are not in the file; their addresses follow the file's.
    """

    spans: NDArray[np.int64]
    own: bytes


def tile_parts(index: CodestreamIndex, number: int, recoding: Recoding, siz: Siz, *, room: int) -> Reads[list[NewPart]]:
    """Finds the packets of a tile by their headers, and lays them out anew.

    PLT is not believed: a wrong length would spoil pixels without anybody's noticing.

    Args:
        index: of the source.
        number: of the tile.
        recoding: the layout.
        siz: the new geometry.
        room: packets that are believed.

    Raises:
        CorruptImage: if the tile is missing or its packets contradict their headers.
        UsageError: if the tile cannot be laid out so.
        LimitExceeded: if it has implausibly many packets.
    """
    if number not in (yield from index.parts()) and _without_samples(index.main.siz, number):
        return []
    tile = yield from index.tile(number, use_lengths=False)
    if any(item.style.factors is not None for item in tile.coding.components):
        raise UnsupportedFeature(f"tile {number}: a decomposition of ISO/IEC 15444-2 cannot be laid out anew")
    if tile.partition.precincts * tile.coding.layers > room:
        raise LimitExceeded(f"tile {number} has more packets than the file could hold; its header is not believed")
    coding = recoded(tile.coding, recoding, number)
    divided = Partition(siz, coding, tile_rect(siz, number)) if recoding.drop_levels else tile.partition
    if replace(coding, sop=tile.coding.sop) == tile.coding:
        order = tile.order
        places = np.arange(len(order.precinct), dtype=np.int64)
    else:
        order = packet_order(siz, coding, divided)
        old = _old_precincts(tile.partition, divided)
        places = tile.place[old[order.precinct] * tile.coding.layers + order.layer].astype(np.int64)
    find = _find_packed if tile.packed_apart else _find
    found = yield from find(tile, places)
    parts = _parts(tile, found, _groups(divided, order, recoding), recoding)
    index.forget(number)
    return parts


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


def _find(tile: TileIndex, places: NDArray[np.int64]) -> Reads[_Found]:
    """Finds packets that lie in one piece, by their places in the source."""
    last = int(places.max(initial=-1)) + 1
    yield from walk_to(tile, last)
    there = (places >= 0) & (places < _read(tile))
    packets = tile.columns.packets
    start, length = (np.zeros(len(places), np.int64) for _ in range(2))
    start[there] = np.frombuffer(packets.offset, np.int64)[places[there]]
    length[there] = np.frombuffer(packets.length, np.int64)[places[there]]
    if tile.coding.sop:
        marked = yield from _with_sop(start[there])
        start[there] += marked
        length[there] -= marked
    own = _fill(tile, start, length, ~there, tile.size)
    return _Found(np.stack([start, start + length], axis=1)[:, None, :], own)


def _read(tile: TileIndex) -> int:
    """Packets whose headers have been read: the tile may end before its last ones."""
    walk = tile.columns.walk
    return 0 if walk is None else walk.parser.next


def _fill(
    tile: TileIndex, start: NDArray[np.int64], length: NDArray[np.int64], absent: NDArray[np.bool_], at: int
) -> bytes:
    """Gives addresses from ``at`` on to packets that are not in the codestream, and makes them: empty ones."""
    empty = _EMPTY + _EPH if tile.coding.eph else _EMPTY
    count = int(absent.sum())
    start[absent] = at + np.arange(count, dtype=np.int64) * len(empty)
    length[absent] = len(empty)
    return empty * count


def _with_sop(start: NDArray[np.int64]) -> Reads[NDArray[np.int64]]:
    """Bytes that SOP takes before each packet: no packet header and no code-block begins like it (A.8.1)."""
    marked = np.zeros(len(start), np.int64)
    for first in range(0, len(start), _SPANS):
        asked = start[first : first + _SPANS].tolist()
        data = yield [Span(at, at + len(_SOP)) for at in asked]
        marked[first : first + len(asked)] = [_SOP_BYTES if item == _SOP else 0 for item in data]
    return marked


def _find_packed(tile: TileIndex, places: NDArray[np.int64]) -> Reads[_Found]:
    """Finds packets whose headers lie apart (PPM, PPT), header and body; SOP stays with neither."""
    headers = [b""]
    last = int(places.max(initial=-1)) + 1
    start, body, end = (np.zeros(last, np.int64) for _ in range(3))
    at, part, before = tile.size, -1, 0
    packets = tile.columns.packets
    for place in range(last):
        yield from walk_to(tile, place + 1)
        walk = tile.columns.walk
        if walk is None or walk.parser.next <= place:
            break
        if walk.part != part:
            part, before = walk.part, 0
        header = walk.packed[before : walk.parser.packed_at]
        before = walk.parser.packed_at
        headers.append(header)
        start[place], at = at, at + len(header)
        body[place] = packets.offset[place] + (packets.header[place] if walk.packed else 0)
        end[place] = packets.offset[place] + packets.length[place]
    there = (places >= 0) & (places < _read(tile))
    lengths = np.diff(np.append(start[: len(headers) - 1], at))
    spans = np.zeros((len(places), 2, 2), np.int64)
    known = places[there]
    spans[there, 0, 0], spans[there, 0, 1] = start[known], start[known] + lengths[known]
    spans[there, 1, 0], spans[there, 1, 1] = body[known], end[known]
    first, length = spans[:, 0, 0].copy(), spans[:, 0, 1] - spans[:, 0, 0]
    headers.append(_fill(tile, first, length, ~there, at))
    spans[:, 0, 0], spans[:, 0, 1] = first, first + length
    return _Found(spans, b"".join(headers))


def _groups(divided: Partition, order: PacketOrder, recoding: Recoding) -> NDArray[np.int64]:
    """What decides, by packet, on its tile-part: number of resolution (the finest is 0), layer, or component."""
    if recoding.split is Split.LAYER:
        return order.layer.astype(np.int64)
    if recoding.split is Split.NONE:
        return np.zeros(len(order.precinct), np.int64)
    finest = max(map(len, divided.components)) - 1
    wanted = [
        np.full(resolution.precincts, component if recoding.split is Split.COMPONENT else number - finest, np.int64)
        for component, number, resolution in divided.resolutions()
    ]
    return np.concatenate(wanted)[order.precinct]


def _parts(tile: TileIndex, found: _Found, groups: NDArray[np.int64], recoding: Recoding) -> list[NewPart]:
    lengths = (found.spans[:, :, 1] - found.spans[:, :, 0]).sum(axis=1)
    inside = found.spans[:, :, 0] < tile.size
    end = int(found.spans[:, :, 1][inside].max(initial=0))
    if end > tile.size:
        raise CorruptImage(f"tile {tile.number}: packets lie up to byte {end}, the file ends at {tile.size}")
    cuts = _cuts(groups, lengths)
    count = len(cuts) - 1
    if count > _MOST_PARTS:
        raise UsageError(
            f"tile {tile.number} would have {count} tile-parts, {_MOST_PARTS} are possible; choose other tile-parts, "
            "or none"
        )
    segments = [
        (item.marker, header.data[item.offset : item.end]) for header in tile.headers for item in header.segments
    ]
    own = own_segments(segments, recoding, len(tile.siz.components))
    parts = []
    for number, (first, last) in enumerate(pairwise(cuts)):
        start, stop = joined(*found.spans[first:last].reshape(-1, 2).T)
        body = Copied(start, stop, found.own, tile.size)
        inner = (own if number == 0 else b"") + (_plt(lengths[first:last]) if recoding.plt else b"")
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
