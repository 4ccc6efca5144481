"""A tile as a codestream of its own: what a chunked array keeps as a chunk, with every coarser level a prefix of it.

Arrays in chunks (Zarr) want every chunk to be encoded by itself, to be as large as the others, and to lie in one
piece. A tile of a codestream is none of these: it needs the main header, it is smaller at the image's edges, and it
may be scattered. All three are mended without touching a packet:

- the chunk begins with a main header whose image area is the tile's (A.5.1), at the tile's own place on the reference
  grid, so that precincts and code-blocks stay divided as they are (B.6, B.7);
- at the edges the image area is as large as that of any other tile. A grid of two tiles a side is laid so that its
  first one ends where the image does; the others hold nothing but empty packets (B.10.3), and come first;
- the packets follow with the coarsest resolutions first, in a tile-part whose length is left open (Psot of 0, A.4.2):
  what follows the packets of a level may be cut off. EPH (A.8.2) is left out: decoders would look for it where packets
  are missing.

Decoders that insist on two more bytes where a codestream is cut (OpenJPEG looks for EOC there) may get any.

In a file the head of a chunk can lie before the tile that it belongs to: in a comment (A.9.2), the last segment of the
tile-part's header. The SOD that ends the header is then the chunk's, too, and the chunk is one span of the file,
which remains an ordinary JPEG 2000 file.
"""

from collections.abc import Sequence

from ziggurat.codestream.coding import TileCoding
from ziggurat.codestream.compose import Canvas, main_header, tile_part_header
from ziggurat.codestream.markers import MainHeader, Marker, Segment
from ziggurat.codestream.partition import Partition, Rect, ceil_shift, tile_rect
from ziggurat.codestream.segments import Siz
from ziggurat.errors import UnsupportedFeature, UsageError

TRAILER = 2
"""Bytes after a cut chunk that OpenJPEG asks for, whatever they are."""

CHUNK_HEAD = b"\0\0" + Marker.SOC.to_bytes(2) + Marker.SIZ.to_bytes(2)
"""How a comment begins (binary, A.9.2) that is the head of a chunk."""

_COMMENT = 4
"""Bytes before the content of a comment: marker and length."""

_LONGEST_SEGMENT = 0xFFFF
_EMPTY = b"\0"
_OPEN = Marker.SOT.to_bytes(2) + b"\0\x0a" + b"\0\0" + b"\0\0\0\0" + b"\0\1"
"""SOT of the first tile's only tile-part, whose length is left open."""


def chunk_size(siz: Siz, level: int) -> tuple[int, int] | None:
    """Height and width of a chunk of a level, those at the edges included; None where tiles make no regular grid."""
    height = _along(siz.y0, siz.y1, siz.tile_y0, siz.tile_height, level)
    width = _along(siz.x0, siz.x1, siz.tile_x0, siz.tile_width, level)
    return None if height is None or width is None else (height, width)


def _along(start: int, end: int, origin: int, size: int, level: int) -> int | None:
    if origin + size >= end:
        return ceil_shift(end, level) - ceil_shift(start, level)
    if start != origin or (origin | size) & ((1 << level) - 1):
        return None
    return size >> level


def chunk_levels(main: MainHeader) -> int:
    """Levels of which tiles are chunks: level 0, and those that all components have and whose grid is regular.

    Raises:
        UnsupportedFeature: if not even the finest level can be had in chunks.
    """
    siz = main.siz
    if len(set(siz.components)) > 1 or (siz.components[0].dx, siz.components[0].dy) != (1, 1):
        raise UnsupportedFeature("its components differ in depth, sign or sampling: they do not make one array")
    if chunk_size(siz, 0) is None:
        raise UnsupportedFeature("its first tiles are smaller than others: they make no regular grid of chunks")
    levels = 0
    while levels < main.cod.style.levels and chunk_size(siz, levels + 1) is not None:
        levels += 1
    return levels + 1


def chunk_head(siz: Siz, coding: TileCoding, number: int, source: MainHeader) -> bytes:
    """All that comes before a tile's packets but SOD.

    Args:
        siz: geometry of the codestream that the tile is one of.
        coding: of the tile.
        number: of the tile.
        source: the main header of that codestream.

    Raises:
        UnsupportedFeature: if the tile's components have different levels.
    """
    if len({item.style.levels for item in coding.components}) > 1:
        raise UnsupportedFeature(f"tile {number}: its components have different levels; they make no chunk")
    rect = tile_rect(siz, number)
    y1, tile_y0 = _padded(rect.y0, rect.y1, siz.tile_height if siz.tiles_down > 1 else 0)
    x1, tile_x0 = _padded(rect.x0, rect.x1, siz.tile_width if siz.tiles_across > 1 else 0)
    area, tile = Rect(rect.x0, rect.y0, x1, y1), Rect(tile_x0, tile_y0, rect.x1, rect.y1)
    canvas = Canvas(area, siz.components, coding, tile)
    out = [main_header(canvas, source)]
    for index in range(1, canvas.siz.tiles):
        partition = Partition(canvas.siz, coding, tile_rect(canvas.siz, index))
        packets = _EMPTY * (partition.precincts * coding.layers)
        out += [tile_part_header(len(packets), tile=index), packets]
    return b"".join((*out, _OPEN))


def _padded(start: int, end: int, size: int) -> tuple[int, int]:
    """End of an image area at least that large, and origin of a grid whose first tile ends where the tile does."""
    missing = max(0, size - (end - start))
    return end + missing, end - max(end - start, missing)


def chunk_comment(siz: Siz, coding: TileCoding, number: int, source: MainHeader) -> bytes:
    """The head of a chunk as the comment that is the last segment of a tile-part's header.

    Args:
        siz: geometry of the codestream that the tile is one of.
        coding: of the tile.
        number: of the tile.
        source: the main header of that codestream.

    Raises:
        UnsupportedFeature: if the tile's components have different levels.
        UsageError: if the head does not fit into one.
    """
    head = chunk_head(siz, coding, number, source)
    length = len(head) + _COMMENT
    if length > _LONGEST_SEGMENT:
        raise UsageError(
            f"tile {number} has so many packets that the head of its chunk, of {len(head)} bytes, does not fit into a "
            "comment; leave out layers, or choose another layout"
        )
    return Marker.COM.to_bytes(2) + length.to_bytes(2) + b"\0\0" + head


def chunk_start(data: bytes, segments: Sequence[Segment]) -> int | None:
    """Where the chunk begins that a tile-part's header holds: the place in ``data``; None if it holds none.

    Args:
        data: the header.
        segments: of it.
    """
    if not segments or segments[-1].marker != Marker.COM:
        return None
    last = segments[-1]
    content = last.offset + _COMMENT
    return content + 2 if data[content : last.end].startswith(CHUNK_HEAD) else None
