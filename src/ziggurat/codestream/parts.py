"""Where the tile-parts of a codestream lie, and what their headers say (ISO/IEC 15444-1 A.4.2, A.7.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.fields import Fields, Incomplete
from ziggurat.codestream.markers import MainHeader, Marker, Segment, TilePart, parse_tile_part, scan_segments
from ziggurat.codestream.reads import Reads, Span
from ziggurat.errors import CorruptImage

_SOT = 12
_EOC = Marker.EOC.to_bytes(2)
_HOP = 1 << 12
"""Bytes read at a tile-part whose place is known only from the one before."""
_LONGEST_HEADER = 1 << 26
"""Bytes of a tile-part's header that are believed: PLT of ten million packets."""


@dataclass(frozen=True, slots=True)
class PartHeader:
    """The header of one tile-part.

    Attributes:
        part: where it lies, in the file.
        data: its bytes from SOT on, at least up to SOD.
        segments: its marker segments, with offsets in ``data``.
        body: the file's offset of its first packet.
    """

    part: TilePart
    data: bytes
    segments: tuple[Segment, ...]
    body: int

    @property
    def parts(self) -> int:
        """TNsot: tile-parts that the tile has; 0 where this one does not tell."""
        return self.data[_SOT - 1]

    def of(self, marker: Marker) -> list[Segment]:
        """Its segments of one kind, in order."""
        return [item for item in self.segments if item.marker == marker]

    def content(self, segment: Segment) -> bytes:
        """What follows a segment's length."""
        return self.data[segment.offset + 4 : segment.end]


type Parts = Mapping[int, Sequence[TilePart]]
"""The tile-parts of every tile, in the codestream's order, with offsets in the file."""


def locate_parts(main: MainHeader, span: Span, size: int) -> Reads[Parts]:
    """Finds all tile-parts: from TLM where it is there and adds up, else hopping from one SOT to the next.

    Args:
        main: the main header.
        span: where the codestream lies in the file; it may end beyond it, where the file is cut short.
        size: bytes of the file.

    Raises:
        CorruptImage: if a tile-part begins where none can be.
    """
    listed = _from_tlm(main, span)
    if listed is not None:
        return _by_tile(listed)
    found: list[TilePart] = []
    at = span.start + main.length
    base, data = 0, b""
    while at + _SOT <= min(span.end, size):
        if not base <= at <= at + _SOT <= base + len(data):
            data = (yield [Span(at, min(at + _HOP, span.end, size))])[0]
            base = at
        if data[at - base : at - base + 2] != b"\xff\x90":
            break
        part = parse_tile_part(data, at - base, tiles=main.siz.tiles, base=base, size=span.end - base)
        if isinstance(part, Incomplete):
            break
        end = base + part.end
        if end == span.end and (yield [Span(end - 2, end)])[0] == _EOC and part.end - part.offset > _SOT:
            # A last part of unstated length reaches up to EOC, not beyond.
            end -= 2 if int.from_bytes(data[at - base + 6 : at - base + 10]) == 0 else 0
        found.append(TilePart(part.tile, part.part, part.parts, at, end))
        at = end
    return _by_tile(found)


def _from_tlm(main: MainHeader, span: Span) -> list[TilePart] | None:
    """The tile-parts by TLM, or None where there is none or it does not fill the codestream."""
    if not main.tlm:
        return None
    at = span.start + main.length
    found = []
    for number, entry in enumerate(main.tlm):
        tile = number if entry.tile is None else entry.tile
        if entry.length < _SOT or tile >= main.siz.tiles:
            return None
        found.append(TilePart(tile, 0, 0, at, at + entry.length))
        at += entry.length
    return found if span.end - at in {0, len(_EOC)} else None


def _by_tile(found: Sequence[TilePart]) -> Parts:
    tiles: dict[int, list[TilePart]] = {}
    for part in found:
        tiles.setdefault(part.tile, []).append(part)
    return tiles


def read_headers(parts: Sequence[TilePart], *, guess: int, size: int) -> Reads[list[PartHeader]]:
    """Reads the headers of tile-parts, all in one go where ``guess`` bytes suffice for each.

    Args:
        parts: as ``locate_parts`` found them.
        guess: bytes that a header is expected to have.
        size: bytes of the file.

    Raises:
        CorruptImage: if one is not there, or does not end.
    """
    lengths = [min(part.end - part.offset, guess) for part in parts]
    done: dict[int, PartHeader] = {}
    while len(done) < len(parts):
        open_ = [index for index in range(len(parts)) if index not in done]
        spans = [Span(parts[i].offset, min(parts[i].offset + lengths[i], size)) for i in open_]
        for index, data in zip(open_, (yield spans), strict=True):
            header = _parse(parts[index], data)
            if isinstance(header, PartHeader):
                done[index] = header
                continue
            part = parts[index]
            limit = min(part.end, size) - part.offset
            if len(data) >= limit or header.needed > _LONGEST_HEADER:
                raise CorruptImage(
                    f"tile-part at byte {part.offset}: its header does not end with SOD in its {limit} bytes"
                )
            lengths[index] = min(limit, max(2 * len(data), header.needed))
    return [done[index] for index in range(len(parts))]


def _parse(part: TilePart, data: bytes) -> PartHeader | Incomplete:
    if len(data) < _SOT:
        return Incomplete(_SOT)
    fields = Fields(data, 0, _SOT, f"marker SOT at byte {part.offset}")
    fields.require(fields.number(2) == Marker.SOT, "there is no SOT where a tile-part must begin")
    fields.require(fields.number(2) == _SOT - 2, "its length is not 10")
    fields.require(fields.number(2) == part.tile, f"it is not of tile {part.tile}, as TLM says")
    if part.end - part.offset == _SOT:
        return PartHeader(part, data, (), part.end)
    found, end = scan_segments(data, _SOT, until=Marker.SOD, base=part.offset)
    if isinstance(end, Incomplete):
        return end
    return PartHeader(part, data, tuple(found), part.offset + end + 2)


def packet_lengths(header: PartHeader) -> NDArray[np.int64] | None:
    """The lengths of a tile-part's packets by PLT (A.7.3), or None where there is no PLT or it is damaged."""
    content = b"".join(header.content(item)[1:] for item in header.of(Marker.PLT))
    data = np.frombuffer(content, np.uint8)
    if not len(data) or data[-1] & 0x80:
        return None
    last = np.flatnonzero(data < 0x80)  # noqa: PLR2004 - the top bit says that more follows
    first = np.concatenate([np.zeros(1, np.int64), last[:-1] + 1])
    if int((last - first).max()) > 4:  # noqa: PLR2004 - bytes of a 32-bit length, seven bits each
        return None
    place = np.arange(len(data)) - np.repeat(first, last - first + 1)
    digits = np.repeat(last - first, last - first + 1) - place
    return np.add.reduceat((data & 0x7F).astype(np.int64) << (7 * digits), first)


def packed_headers(header: PartHeader) -> bytes:
    """The packet headers that the tile-part's own header holds (PPT, A.7.5), joined in their order."""
    found = [header.content(item) for item in header.of(Marker.PPT)]
    return b"".join(item[1:] for item in sorted(found, key=lambda item: item[:1]))


def main_packed_headers(main: MainHeader, data: bytes) -> list[bytes] | None:
    """The packet headers that the main header holds (PPM, A.7.4), by tile-part in the codestream's order.

    Args:
        main: the main header.
        data: its bytes, from SOC on.

    Raises:
        CorruptImage: if their lengths do not fit.
    """
    segments = [item for item in main.segments if item.marker == Marker.PPM]
    if not segments:
        return None
    ordered = sorted((data[item.offset + 4 : item.end] for item in segments), key=lambda item: item[:1])
    content = b"".join(item[1:] for item in ordered)
    found = []
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4])
        if at + 4 + length > len(content):
            raise CorruptImage(f"marker PPM: a tile-part's {length} bytes of packet headers are not all there")
        found.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return found
