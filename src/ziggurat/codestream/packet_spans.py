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


def find_packets(tile: TileIndex, places: NDArray[np.int64], *, eph: bool = True) -> Reads[PacketSpans]:
    """Finds packets by reading packet headers up to the last of them, where PLT does not tell.

    Args:
        tile: index of the tile; what it takes from PLT is believed.
        places: of the packets in the source; -1 for one that is not in the codestream and becomes an empty one.
        eph: whether EPH, where it ends packet headers, is one of their bytes; if not, nothing of PLT may be believed.

    Raises:
        CorruptImage: if a packet contradicts its header.
    """
    find = _find_packed if tile.packed_apart else _find
    return (yield from find(tile, places, eph=eph or not tile.coding.eph))


def _find(tile: TileIndex, places: NDArray[np.int64], *, eph: bool) -> Reads[PacketSpans]:
    """Finds packets that lie in one piece, by their places in the source."""
    last = int(places.max(initial=-1)) + 1
    yield from walk_to(tile, last)
    there = (places >= 0) & (places < _read(tile))
    packets = tile.columns.packets
    start, length = (np.zeros(len(places), np.int64) for _ in range(2))
    start[there] = np.asarray(packets.offset)[places[there]]
    length[there] = np.asarray(packets.length)[places[there]]
    end = start + length
    header = start.copy()
    header[there] += np.asarray(packets.header)[places[there]]
    if tile.coding.sop:
        start[there] += _SOP_BYTES * (yield from _marked(start[there], _SOP))
    own = _fill(start, end, ~there, tile.size, eph=eph and tile.coding.eph)
    if eph:
        return PacketSpans(np.stack([start, end], axis=1)[:, None, :], own)
    body = np.where(there, header, end)
    header[there] -= len(_EPH) * (yield from _marked(header[there] - len(_EPH), _EPH))
    header[~there] = end[~there]
    return PacketSpans(np.stack([np.stack([start, header], axis=1), np.stack([body, end], axis=1)], axis=1), own)


def _read(tile: TileIndex) -> int:
    """Packets that have been found: the tile may end before its last ones."""
    walk = tile.columns.walk
    return tile.columns.known if walk is None else walk.parser.next


def _fill(start: NDArray[np.int64], end: NDArray[np.int64], absent: NDArray[np.bool_], at: int, *, eph: bool) -> bytes:
    """Gives addresses from ``at`` on to packets that are not in the codestream, and makes them: empty ones."""
    empty = _EMPTY + _EPH if eph else _EMPTY
    count = int(absent.sum())
    start[absent] = at + np.arange(count, dtype=np.int64) * len(empty)
    end[absent] = start[absent] + len(empty)
    return empty * count


def _marked(places: NDArray[np.int64], marker: bytes) -> Reads[NDArray[np.bool_]]:
    """Which of these places have a marker: no packet header begins like SOP or ends like EPH (A.8.1, B.10.1)."""
    marked = np.zeros(len(places), np.bool_)
    for first in range(0, len(places), _SPANS):
        asked = places[first : first + _SPANS].tolist()
        data = yield [Span(at, at + len(marker)) for at in asked]
        marked[first : first + len(asked)] = [item == marker for item in data]
    return marked


def _find_packed(tile: TileIndex, places: NDArray[np.int64], *, eph: bool) -> Reads[PacketSpans]:
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
        header = header if eph else header.removesuffix(_EPH)
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
    headers.append(_fill(spans[:, 0, 0], spans[:, 0, 1], ~there, at, eph=eph and tile.coding.eph))
    return PacketSpans(spans, b"".join(headers))
