"""Where every packet of a codestream lies, found as it is needed."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Final
from weakref import WeakValueDictionary

from ziggurat.codestream.coding import TileCoding, main_coding, tile_coding
from ziggurat.codestream.index_file import StoredTile, fill, load_tile
from ziggurat.codestream.markers import MainHeader, Segment, TilePart
from ziggurat.codestream.order import Shape
from ziggurat.codestream.partition import Division, Partition, Rect, division, tile_rect
from ziggurat.codestream.parts import PartHeader, Parts, locate_parts, main_packed_headers, read_headers
from ziggurat.codestream.reads import Reads, Span
from ziggurat.codestream.tile_index import TileIndex, walk_to
from ziggurat.errors import CorruptImage, UnsupportedFeature

_PACKETS_KEPT = 1 << 20
"""Packets of all tiles whose indexes are kept in memory at once: about 30 MB."""

EMPTY: Final[Mapping[int, bytes]] = MappingProxyType({})

LARGE: Final = 1 << 16
"""Bytes of a packet from which on it pays to know what is inside."""

_PACKET_BYTES = 3
"""Bytes that PLT takes for a packet, first guess."""
_HEADER_BYTES = 1 << 12
_LONGEST_GUESS = 1 << 18


class CodestreamIndex:
    """An index that fills itself; its methods are generators, see ``reads``.

    Args:
        main: the main header.
        head: its bytes, from SOC on.
        span: where the codestream lies in the file; beyond the file's end where that is cut short.
        size: bytes of the file.
        stored: tiles of a stored index, see ``index_file.load``.

    Raises:
        UnsupportedFeature: if the decomposition is one of Part 2's.
    """

    def __init__(
        self, main: MainHeader, head: bytes, span: Span, size: int, stored: Mapping[int, bytes] = EMPTY
    ) -> None:
        if main.part_2:
            raise UnsupportedFeature("a wavelet decomposition of ISO/IEC 15444-2 is not read in parts")
        self.main = main
        self.span = span
        self.size = size
        self._stored = stored
        self._packed = main_packed_headers(main, head)
        self._parts: Parts | None = None
        self._numbers: dict[int, int] | None = None
        self._tiles: OrderedDict[int, TileIndex] = OrderedDict()
        self._packets = 0
        self._usual = main_coding(main)
        self._divisions: dict[tuple[bool, int, int], Division | None] = {}
        self._shapes: WeakValueDictionary[tuple[TileCoding, Division, Division], Shape] = WeakValueDictionary()

    def parts(self) -> Reads[Parts]:
        """Where the tile-parts of every tile lie."""
        if self._parts is None:
            self._parts = yield from locate_parts(self.main, self.span, self.size)
        return self._parts

    def knows(self, number: int) -> bool:
        """Whether the index of a tile is at hand."""
        return number in self._tiles or number in self._stored

    def tile(self, number: int, *, use_lengths: bool = True) -> Reads[TileIndex]:
        """The index of one tile.

        Args:
            number: of the tile.
            use_lengths: whether PLT is believed.

        Raises:
            CorruptImage: if the tile is missing, or its headers are damaged.
        """
        kept = self._tiles.get(number)
        if kept is not None and (use_lengths or not kept.listed):
            self._tiles.move_to_end(number)
            return kept
        if use_lengths and number in self._stored:
            with suppress(CorruptImage):
                made = self._restored(load_tile(self._stored[number]))
                self.keep(made)
                return made
        parts = yield from self.parts()
        own = parts.get(number, ())
        if not own:
            raise CorruptImage(f"tile {number} of {self.main.siz.tiles} is missing in the codestream")
        rect = tile_rect(self.main.siz, number)
        shape = self._shape(self._usual, rect)
        expected = shape.precincts * self._usual.layers * _PACKET_BYTES
        guess = min(_LONGEST_GUESS, max(_HEADER_BYTES, expected))
        headers = yield from read_headers(own, guess=guess, size=self.size)
        declared = max(header.parts for header in headers)
        if declared > len(own):
            raise CorruptImage(f"tile {number} consists of {declared} tile-parts, of which {len(own)} are there")
        coding = self._coding(headers)
        if coding is not self._usual:
            shape = self._shape(coding, rect)
        packed = None if self._packed is None else self._packed_of(parts, own)
        made = TileIndex(
            self.main.siz, coding, rect, shape, headers, size=self.size, packed=packed, use_lengths=use_lengths
        )
        self.keep(made)
        return made

    def _shape(self, coding: TileCoding, rect: Rect) -> Shape:
        """What a tile has in common with others, shared with those that are kept."""
        siz = self.main.siz
        across = self._division(coding, (rect.x0, rect.x1), across=True) if siz.tiles > 1 else None
        down = self._division(coding, (rect.y0, rect.y1), across=False) if siz.tiles > 1 else None
        if across is None or down is None:
            return Shape(siz, coding, Partition(siz, coding, rect))
        shape = self._shapes.get((coding, across, down))
        if shape is None:
            shape = Shape(siz, coding, Partition(siz, coding, rect))
            self._shapes[coding, across, down] = shape
        return shape

    def _division(self, coding: TileCoding, span: tuple[int, int], *, across: bool) -> Division | None:
        """Of one axis; those of the usual coding are kept, of which there are as many as rows and columns of tiles."""
        if coding is not self._usual:
            return division(self.main.siz, coding, span, across=across)
        key = (across, *span)
        if key not in self._divisions:
            self._divisions[key] = division(self.main.siz, coding, span, across=across)
        return self._divisions[key]

    def _restored(self, stored: StoredTile) -> TileIndex:
        coding = self._coding(stored.headers)
        rect = tile_rect(self.main.siz, stored.headers[0].part.tile)
        shape = self._shape(coding, rect)
        made = TileIndex(
            self.main.siz, coding, rect, shape, stored.headers, size=self.size, use_lengths=False, apart=stored.apart
        )
        fill(made, stored.columns)
        return made

    def complete(self, number: int) -> Reads[TileIndex]:
        """The index of a tile with all that a reader can ask: its packets, and where they are large their insides."""
        tile = yield from self.tile(number)
        if tile.listed and tile.largest_packet > LARGE:
            tile = yield from self.tile(number, use_lengths=False)
        yield from walk_to(tile, len(tile.order.precinct))
        return tile

    def walked(self) -> dict[int, TileIndex]:
        """The tiles whose packet headers have been read, among those that are kept in memory."""
        return {number: tile for number, tile in self._tiles.items() if tile.walked}

    def _coding(self, headers: Sequence[PartHeader]) -> TileCoding:
        data = b"".join(header.data for header in headers)
        found: list[Segment] = []
        shift = 0
        for header in headers:
            found += [Segment(item.marker, item.offset + shift, item.end + shift) for item in header.segments]
            shift += len(header.data)
        coding = tile_coding(self.main, data, found, base=headers[0].part.offset)
        return self._usual if coding == self._usual else coding

    def _packed_of(self, parts: Parts, own: Sequence[TilePart]) -> list[bytes]:
        """The packed headers of a tile's parts: the main header has them in the order of all tile-parts."""
        if self._numbers is None:
            everything = sorted(part.offset for found in parts.values() for part in found)
            self._numbers = {offset: number for number, offset in enumerate(everything)}
        packed = self._packed or []
        numbers = [self._numbers[part.offset] for part in own]
        if max(numbers) >= len(packed):
            raise CorruptImage(f"marker PPM: headers for {len(packed)} tile-parts, there are {len(self._numbers)}")
        return [packed[number] for number in numbers]

    def keep(self, made: TileIndex) -> None:
        """Keeps the index of a tile, and lets go of those used longest ago."""
        old = self._tiles.pop(made.number, None)
        if old is not None:
            self._packets -= _weight(old)
        self._tiles[made.number] = made
        self._packets += _weight(made)
        while self._packets > _PACKETS_KEPT and len(self._tiles) > 1:
            _, gone = self._tiles.popitem(last=False)
            self._packets -= _weight(gone)

    def forget(self, number: int) -> None:
        """Lets go of the index of a tile that is not needed again."""
        gone = self._tiles.pop(number, None)
        if gone is not None:
            self._packets -= _weight(gone)


def _weight(tile: TileIndex) -> int:
    return tile.shape.precincts * tile.coding.layers
