"""Virtual levels: the tiles of a JPEG 2000 image as the chunks of arrays, one array a level, nothing stored twice.

A chunk is a codestream of its own (``codestream.chunk``): a main header made here, and the packets of one tile as they
lie in the file, without those of resolutions finer than the level. Whoever reads the array decodes it with the codecs
that imagecodecs-zarr registers, ``skipres`` being the level.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.chunk import TRAILER, chunk_levels, chunk_size, chunk_start
from ziggurat.codestream.copying import filled
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import MainHeader
from ziggurat.codestream.reads import Reads, Span, together
from ziggurat.codestream.recoded_headers import is_stripped
from ziggurat.codestream.recoding import Recoding, Split
from ziggurat.codestream.reorder import Reordering
from ziggurat.codestream.segments import Progression
from ziggurat.errors import UnsupportedFeature, UsageError
from ziggurat.format.foreign import named
from ziggurat.format.jpeg2000.bands import BandPlan, plan_bands
from ziggurat.format.jpeg2000.container import read_container
from ziggurat.format.jpeg2000.windows import drive
from ziggurat.geometry import Size
from ziggurat.image import Image
from ziggurat.interop.decoded import dumped
from ziggurat.interop.multiscale import Grid, array, group
from ziggurat.interop.planes import Planes
from ziggurat.model import JSON, Stack
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

FORMATS: Final = frozenset({"jp2", "j2k"})

_CHUNKS: Final = Recoding(progression=Progression.RPCL, split=Split.NONE, coarse_first=False, chunks=True)
_SLACK: Final = 1 << 20
"""Packets of a tile that are believed beyond a byte for each."""

_DEEPEST: Final = 32

_PLACES: Final = 1 << 17
"""Places of chunks that are remembered: 128 Ki, in about 30 MB."""

_TOGETHER: Final = 256
"""Tiles whose headers are read side by side."""


class TileChunks:
    """The chunks of one JPEG 2000 file. For one thread at a time.

    Args:
        source: the file.

    Raises:
        CorruptImage: if its headers are damaged.
        UnsupportedFeature: if decoding its tiles does not give the image's pixels, or they make no array.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        with named(source.url):
            container = read_container(source)
            self.main: MainHeader = container.main
            chunk_levels(self.main)
            self._stripped = is_stripped(container.main, container.head)
            _check(self.main, plan_bands(container.main, container.header))
            span = Span(container.codestream.start, container.codestream.end + container.truncated)
            self._index = CodestreamIndex(container.main, container.head, span, source.size)
        self._reordering = Reordering(self._index, _CHUNKS, self.main.siz)
        self._room = source.size + _SLACK

    def suits_openjph(self, level: int) -> bool:
        """Whether OpenJPH is right for the chunks of a level, which must then end with their last packet.

        Of coarser levels, of lossy tiles and of those that were stripped of something, it wraps what overshoots the
        range from white to black; OpenJPEG, which decodes HT code-blocks more slowly, clips it.
        """
        return self.main.ht and level == 0 and self.main.cod.style.transform == 1 and not self._stripped

    def find(self, tile: int, level: int) -> ByteRange | None:
        """Where a chunk lies in one piece, its head included; None where it does not.

        Raises:
            CorruptImage: if the tile is missing, or its packets contradict their headers.
            SourceError: if the file cannot be read.
        """
        with named(self._source.url):
            found = drive(self._locate(tile, [level]), self._source)
        # What follows the last packet is given, too, where a decoder asks for it, whatever it is.
        trailer = 0 if self.suits_openjph(level) else TRAILER
        return next((ByteRange(start, end + trailer) for start, end in found), None)

    def read(self, tile: int, level: int) -> bytes:
        """The bytes of a chunk, put together of its packets.

        Raises:
            CorruptImage: if it is missing, or its packets contradict their headers.
            SourceError: if the file cannot be read.
        """
        with named(self._source.url):
            chunk = drive(self._reordering.chunk(tile, level, room=self._room), self._source)
            return b"".join(drive(filled(chunk.pieces()), self._source))

    def spans(self, levels: int) -> NDArray[np.int64]:
        """Where the chunks lie in the file, for a codestream that was laid out in chunks.

        Args:
            levels: for how many, from the finest on.

        Returns:
            First byte and the one behind the last packet, shape (levels, tiles, 2).

        Raises:
            UsageError: if the codestream was not laid out so.
            CorruptImage: if a tile is missing, or its packets contradict their headers.
        """
        tiles = self.main.siz.tiles
        found = np.zeros((levels, tiles, 2), np.int64)
        with named(self._source.url):
            for first in range(0, tiles, _TOGETHER):
                numbers = range(first, min(first + _TOGETHER, tiles))
                located = drive(together([self._locate(number, range(levels)) for number in numbers]), self._source)
                if not all(located):
                    raise UsageError(
                        "its tiles cannot be read as spans of the file; lay it out in chunks first, which decodes "
                        "nothing: ziggurat transcode IN OUT --layout chunks"
                    )
                found[:, first : first + len(numbers)] = np.array(located).swapaxes(0, 1)
                for number in numbers:
                    self._index.forget(number)
        return found

    def _locate(self, number: int, levels: Sequence[int]) -> Reads[list[tuple[int, int]]]:
        """Where the chunks of some levels of one tile lie; none where one of them is not in one piece."""
        [header, *more] = (yield from self._index.tile(number)).headers
        place = chunk_start(header.data, header.segments)
        if place is None or more:
            return []
        spans = []
        for level in levels:
            body = (yield from self._reordering.chunk(number, level, room=self._room)).body
            inside = body.start[:1].tolist() == [header.body] and len(body.start) == 1
            if not inside and len(body.start):
                return []
            spans.append((header.part.offset + place, int(body.end[0]) if inside else header.body))
        return spans


def _check(main: MainHeader, plan: BandPlan) -> None:
    """Refuses images whose pixels are more than what a decoder returns."""
    depth = main.siz.components[0].depth
    if plan.palette is not None:
        raise UnsupportedFeature("its pixels are looked up in a palette, which readers of chunks do not see")
    if plan.encoding is not None:
        raise UnsupportedFeature("its colours are luma and chroma, which readers of chunks would take for RGB")
    plain = [(band.component, band.column, band.depth) for band in plan.bands]
    if plain != [(number, None, depth) for number in range(len(main.siz.components))] or plan.depth != depth:
        raise UnsupportedFeature("its bands are not its components in their order")
    if depth >= _DEEPEST:
        raise UnsupportedFeature(f"samples of {depth} bits are beyond decoders of chunks")


def codecs(tiles: TileChunks, level: int) -> list[JSON]:
    """How an array's chunks become samples: a codec's planes are the axes c, y, x.

    Args:
        tiles: the chunks.
        level: finest resolutions that are left out.
    """
    name = "imagecodecs_htj2k" if tiles.suits_openjph(level) else "imagecodecs_jpeg2k"
    planes: dict[str, JSON] = {"planar": True} if len(tiles.main.siz.components) > 1 else {}
    return [{"name": name, "configuration": {"skipres": level, **planes}}]


def grids(main: MainHeader, sizes: Sequence[Size], stack: Stack) -> list[Grid]:
    """The levels whose chunks are tiles.

    Args:
        main: the codestream's main header.
        sizes: of the image's levels.
        stack: as in ``Pyramid``.
    """
    bands = len(main.siz.components)
    made = []
    for level, size in zip(range(chunk_levels(main)), sizes, strict=False):
        chunk = chunk_size(main.siz, level)
        if chunk is None:
            break
        made.append(Grid(size, bands, Size(*chunk), bands, stack))
    return made


class VirtualLevels:
    """A hierarchy of JPEG 2000 files' own bytes.

    Args:
        planes: the images, which are closed with it.

    Attributes:
        read: bytes of chunks that have been read, by level.

    Raises:
        UnsupportedFeature: if they are not JPEG 2000, or their tiles make no chunks.
    """

    def __init__(self, planes: Planes) -> None:
        self._planes = planes
        self._opened: WeakKeyDictionary[Image, TileChunks] = WeakKeyDictionary()
        self._places: dict[tuple[int, int, int], ByteRange] = {}
        image = planes.pyramid
        with planes.borrow(0) as first:
            tiles = self._tiles(first)
            self._main = tiles.main
            sizes = [level.shape for level in first.info.levels]
        self._across = self._main.siz.tiles_across
        self.grids: Sequence[Grid] = grids(self._main, sizes, image.stack)
        self.read = [0] * len(self.grids)
        arrays = [array(grid, image.dtype, codecs(tiles, level)) for level, grid in enumerate(self.grids)]
        self.documents: Mapping[str, bytes] = dumped(group(image, planes.name, arrays), arrays)

    def _tiles(self, image: Image) -> TileChunks:
        tiles = self._opened.get(image)
        if tiles is None:
            tiles = self._opened[image] = tile_chunks(image)
        return tiles

    def chunk(self, level: int, place: Sequence[int]) -> bytes:
        """The codestream of one chunk.

        Raises:
            UsageError: if the plane is not coded as the first one is.
            ZigguratError: as reading the image does.
        """
        part = self.grids[level].part(place)
        if part is None:
            raise UsageError(f"level {level} has no chunk {'/'.join(map(str, place))}")
        tile = place[-2] * self._across + place[-1]
        with self._planes.borrow(part.plane) as image:
            known = self._places.get((part.plane, tile, level))
            if known is None:
                tiles = self._tiles(image)
                if _kind(tiles.main) != _kind(self._main):
                    raise UsageError(f"{image.url} is not coded in tiles like those of the first plane of the stack")
                known = tiles.find(tile, level)
            if known is None:
                made = tiles.read(tile, level)
            else:
                if len(self._places) >= _PLACES:
                    self._places.clear()
                self._places[part.plane, tile, level] = known
                [made] = image.source.read_ranges([known])
        self.read[level] += len(made)
        return made

    def close(self) -> None:
        """Closes the images."""
        self._planes.close()


def _kind(main: MainHeader) -> tuple[object, ...]:
    """What planes of one array have in common."""
    return main.siz, main.ht, main.cod.style.transform, main.cod.style.levels


def tile_chunks(image: Image) -> TileChunks:
    """The chunks of an open image.

    Raises:
        UnsupportedFeature: if it is not JPEG 2000, or its tiles are no chunks.
    """
    if image.info.format not in FORMATS:
        raise UnsupportedFeature(f"{image.url} is {image.info.format}: only JPEG 2000 has virtual levels")
    return TileChunks(image.source)
