"""Where the bytes of a tile's packets lie, one by one, without what numbers them and with headers before bodies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.reads import Reads, Span
from ziggurat.codestream.tile_index import TileIndex, walk_to

_SOP_BYTES = 6
_SOP = b"\xff\x91"
_EMPTY, _EPH = b"\0", b"\xff\x92"
_SPANS = 1 << 14
"""Packets that are looked at in one go."""


@dataclass(frozen=True, slots=True)
class PacketSpans:
    """Where packets lie, in the order that was asked for.

    Attributes:
        spans: start and end of the one or two pieces of every packet, shape (packets, pieces, 2).
        own: bytes of packets that are not in the file; their addresses follow the file's.
    """

    spans: NDArray[np.int64]
    own: bytes


def find_packets(tile: TileIndex, places: NDArray[np.int64]) -> Reads[PacketSpans]:
    """Finds packets by reading packet headers up to the last of them, where PLT does not tell.

    Args:
        tile: index of the tile; what it takes from PLT is believed.
        places: of the packets in the source; -1 for one that is not in the codestream and becomes an empty one.

    Raises:
        CorruptImage: if a packet contradicts its header.
    """
    find = _find_packed if tile.packed_apart else _find
    return (yield from find(tile, places))


def _find(tile: TileIndex, places: NDArray[np.int64]) -> Reads[PacketSpans]:
    """Finds packets that lie in one piece, by their places in the source."""
    last = int(places.max(initial=-1)) + 1
    yield from walk_to(tile, last)
    there = (places >= 0) & (places < _read(tile))
    packets = tile.columns.packets
    start, length = (np.zeros(len(places), np.int64) for _ in range(2))
    start[there] = np.asarray(packets.offset)[places[there]]
    length[there] = np.asarray(packets.length)[places[there]]
    if tile.coding.sop:
        marked = yield from _with_sop(start[there])
        start[there] += marked
        length[there] -= marked
    own = _fill(tile, start, length, ~there, tile.size)
    return PacketSpans(np.stack([start, start + length], axis=1)[:, None, :], own)


def _read(tile: TileIndex) -> int:
    """Packets that have been found: the tile may end before its last ones."""
    walk = tile.columns.walk
    return tile.columns.known if walk is None else walk.parser.next


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


def _find_packed(tile: TileIndex, places: NDArray[np.int64]) -> Reads[PacketSpans]:
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
    return PacketSpans(spans, b"".join(headers))
