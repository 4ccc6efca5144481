"""The same codestream in another layout: packets verbatim, in an order and in tile-parts that suit byte ranges.

A packet's bytes do not depend on where it lies; only the headers around the packets change. Nothing is decoded, and
nothing is read here: a plan says which spans of the source follow each other.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import Marker
from ziggurat.codestream.parts import Parts
from ziggurat.codestream.reads import Reads, Span, together
from ziggurat.codestream.recoded_headers import main_segments
from ziggurat.codestream.recoding import Recoding, recoded_siz
from ziggurat.codestream.reorder import NewPart, Reordering
from ziggurat.errors import LimitExceeded, UsageError
from ziggurat.limited import limited

_TLM_ENTRIES = 10_921
"""Entries of six bytes that a TLM segment holds (A.7.1)."""

_TLM_SEGMENTS = 256
_TLM_FORM = 0x60
"""Stlm: tile numbers of two bytes (ST = 2), lengths of four (SP = 1)."""

_SLACK = 1 << 20
"""Packets that a codestream may lack and still be believed."""


_BATCH, _BATCH_BYTES = 32, 1 << 24
"""Tiles, and bytes of theirs, whose headers are read side by side: a store answers few requests a second in turn."""


@dataclass(frozen=True, slots=True)
class Transcoding:
    """A codestream to be written.

    Attributes:
        head: its main header.
        parts: its tile-parts, in order.
        height, width: of its image area on the reference grid.
        notes: what the user should know.
    """

    head: bytes
    parts: tuple[NewPart, ...]
    height: int
    width: int
    notes: tuple[str, ...]

    @property
    def length(self) -> int:
        """Bytes in all."""
        return len(self.head) + sum(part.length for part in self.parts) + 2

    @property
    def packets(self) -> int:
        """Packets in all."""
        return sum(part.packets for part in self.parts)

    def pieces(self) -> Iterator[bytes | Span]:
        """What it consists of: bytes, and spans of the source."""
        yield self.head
        for part in self.parts:
            yield part.head
            yield from part.body.pieces()
        yield Marker.EOC.to_bytes(2)


def plan_transcoding(index: CodestreamIndex, head: bytes, recoding: Recoding) -> Reads[Transcoding]:
    """Plans a codestream's new layout; reads the packet headers of the source.

    Args:
        index: of the source.
        head: the source's main header, from SOC on.
        recoding: the layout.

    Raises:
        CorruptImage: if tiles are missing or packets contradict their headers.
        UsageError: if this codestream cannot be laid out so.
        LimitExceeded: if it has implausibly many packets.
    """
    main = index.main
    siz = recoded_siz(main.siz, recoding)
    start, notes = main_segments(main, head, recoding)
    parts: list[NewPart] = []
    room = index.size + _SLACK
    reordering = Reordering(index, recoding, siz)
    for batch in _batches((yield from index.parts()), main.siz.tiles):
        made = yield from together([reordering.parts(number, room=room) for number in batch])
        parts += [part for items in made for part in items]
        room -= sum(part.packets for items in made for part in items)
        if room < 0:
            raise LimitExceeded("the tiles have more packets than the file could hold; their headers are not believed")
    if recoding.coarse_first:
        # The parts of a tile stay in their order: sorting is stable.
        parts.sort(key=lambda part: part.stage)
    if recoding.tlm:
        start += tlm_segments((part.tile, part.length) for part in parts)
    return Transcoding(start, tuple(parts), siz.y1 - siz.y0, siz.x1 - siz.x0, tuple(notes))


def _batches(parts: Parts, tiles: int) -> Iterator[list[int]]:
    """The numbers of all tiles, in batches."""

    def length(number: int) -> int:
        return sum(part.end - part.offset for part in parts.get(number, ()))

    yield from limited(range(tiles), length, _BATCH_BYTES, _BATCH)


def tlm_segments(parts: Iterable[tuple[int, int]]) -> bytes:
    """TLM segments (A.7.1).

    Args:
        parts: tile and length in bytes of every tile-part, in the order of the codestream.

    Raises:
        UsageError: if there are more than TLM can list.
    """
    listed = [tile.to_bytes(2) + length.to_bytes(4) for tile, length in parts]
    if len(listed) > _TLM_ENTRIES * _TLM_SEGMENTS:
        raise UsageError(
            f"TLM holds {_TLM_ENTRIES * _TLM_SEGMENTS} tile-parts, there would be {len(listed)}; choose fewer, "
            "or no TLM"
        )
    out = []
    for number, first in enumerate(range(0, len(listed), _TLM_ENTRIES)):
        entries = b"".join(listed[first : first + _TLM_ENTRIES])
        out.append(Marker.TLM.to_bytes(2) + (len(entries) + 4).to_bytes(2) + bytes([number, _TLM_FORM]) + entries)
    return b"".join(out)
