"""Virtual levels: the tiles of a JPEG 2000 image as the chunks of arrays, one array a level, nothing stored twice.

A chunk is a codestream of its own (``codestream.chunk``): a main header made here, and the packets of one tile as they
lie in the file, without those of resolutions finer than the level. Whoever reads the array decodes it with the codecs
that imagecodecs-zarr registers, ``skipres`` being the level.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from ziggurat.codestream.chunk import chunk_levels, chunk_size
from ziggurat.codestream.copying import filled
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import MainHeader
from ziggurat.codestream.reads import Span
from ziggurat.codestream.recoding import Recoding, Split
from ziggurat.codestream.reorder import Chunk, Reordering
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
from ziggurat.model import JSON
from ziggurat.storage.protocol import ByteSource

FORMATS: Final = frozenset({"jp2", "j2k"})

_CHUNKS: Final = Recoding(progression=Progression.RPCL, split=Split.RESOLUTION, coarse_first=False)
_SLACK: Final = 1 << 20
"""Packets of a tile that are believed beyond a byte for each."""

_DEEPEST: Final = 32


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
            _check(self.main, plan_bands(container.main, container.header))
            span = Span(container.codestream.start, container.codestream.end + container.truncated)
            index = CodestreamIndex(container.main, container.head, span, source.size)
        self._reordering = Reordering(index, _CHUNKS, self.main.siz)

    def chunk(self, tile: int, level: int) -> Chunk:
        """A tile without its ``level`` finest resolutions.

        Raises:
            CorruptImage: if it is missing, or its packets contradict their headers.
            UnsupportedFeature: if it cannot be a chunk.
        """
        with named(self._source.url):
            return drive(self._reordering.chunk(tile, level, room=self._source.size + _SLACK), self._source)

    def read(self, tile: int, level: int) -> bytes:
        """The bytes of a chunk.

        Raises:
            CorruptImage: if it is missing, or its packets contradict their headers.
            SourceError: if the file cannot be read.
        """
        pieces = self.chunk(tile, level).pieces()
        with named(self._source.url):
            return b"".join(drive(filled(pieces), self._source))


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


def codecs(main: MainHeader, level: int, *, stack: bool) -> list[JSON]:
    """How an array's chunks become samples.

    Args:
        main: the codestream's main header.
        level: finest resolutions that are left out.
        stack: whether the arrays have an axis z.
    """
    order: list[JSON] = [1, 2, 3, 0] if stack else [1, 2, 0]
    several = len(main.siz.components) > 1
    turned: list[JSON] = [{"name": "transpose", "configuration": {"order": order}}] if several else []
    name = "imagecodecs_htj2k" if suits_openjph(main, level) else "imagecodecs_jpeg2k"
    return [*turned, {"name": name, "configuration": {"skipres": level}}]


def suits_openjph(main: MainHeader, level: int) -> bool:
    """Whether OpenJPH is right for the chunks of a level, which must then end with their last packet.

    Of coarser levels, and of lossy tiles, it wraps what overshoots the range from white to black; OpenJPEG, which
    decodes HT code-blocks more slowly, clips it.
    """
    return main.ht and level == 0 and main.cod.style.transform == 1


def grids(main: MainHeader, sizes: Sequence[Size], planes: int | None) -> list[Grid]:
    """The levels whose chunks are tiles.

    Args:
        main: the codestream's main header.
        sizes: of the image's levels.
        planes: as in ``Pyramid``.
    """
    bands = len(main.siz.components)
    made = []
    for level, size in zip(range(chunk_levels(main)), sizes, strict=False):
        chunk = chunk_size(main.siz, level)
        if chunk is None:
            break
        made.append(Grid(size, bands, Size(*chunk), bands, planes))
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
        image = planes.pyramid
        stack = image.planes is not None
        with planes.borrow(0) as first:
            self._main = self._tiles(first).main
            sizes = [level.shape for level in first.info.levels]
        self._across = self._main.siz.tiles_across
        self.grids: Sequence[Grid] = grids(self._main, sizes, image.planes)
        self.read = [0] * len(self.grids)
        arrays = [
            array(grid, image.dtype, codecs(self._main, level, stack=stack)) for level, grid in enumerate(self.grids)
        ]
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
        with self._planes.borrow(part.plane) as image:
            tiles = self._tiles(image)
            if _kind(tiles.main) != _kind(self._main):
                raise UsageError(f"{image.url} is not coded in tiles like those of the first plane of the stack")
            made = tiles.read(place[-2] * self._across + place[-1], level)
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
