"""A codestream of whole tiles at a level: their packets as they are, without those of finer resolutions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ziggurat.codestream.compose import Canvas, codestream, coding_of_level
from ziggurat.codestream.gather import Held, Piece, gather
from ziggurat.codestream.markers import MainHeader
from ziggurat.codestream.partition import Rect, shrunk
from ziggurat.codestream.reads import Reads, together
from ziggurat.codestream.segments import Progression, Siz
from ziggurat.codestream.tile_index import TileIndex, walk_to


@dataclass(frozen=True, slots=True)
class Slice:
    """A codestream that holds a window.

    Attributes:
        data: the codestream.
        canvas: its geometry and coding.
        components: the source's numbers of its components.
        area: what of it to decode, on its reference grid; the rest of it is wrong.
    """

    data: bytes
    canvas: Canvas
    components: tuple[int, ...]
    area: Rect


def area_of(canvas: Canvas, wanted: Mapping[int, Rect]) -> Rect:
    """The rectangle of a canvas' reference grid that holds the samples wanted of every component."""
    pairs = list(zip(canvas.components, wanted.values(), strict=True))
    area = Rect(
        min(rect.x0 * item.dx for item, rect in pairs),
        min(rect.y0 * item.dy for item, rect in pairs),
        max((rect.x1 - 1) * item.dx + 1 for item, rect in pairs),
        max((rect.y1 - 1) * item.dy + 1 for item, rect in pairs),
    )
    return area.intersect(canvas.rect)


def is_whole(tile: TileIndex, level: int, wanted: Mapping[int, Rect]) -> bool:
    """Whether all of a tile is wanted, and its packets can serve as they are."""
    if tile.packed_apart or level > tile.coding.levels:
        return False
    if level and (tile.coding.changes or tile.coding.sop):
        return False
    if tile.coding.changes and len(tile.order.precinct) < tile.shape.precincts * tile.coding.layers:
        # What decoders make of packets that no progression change mentions is anybody's guess.
        return False
    return len(wanted) == len(tile.siz.components) and all(
        wanted[index] == shrunk(tile.rect, item.dx, item.dy, level) for index, item in enumerate(tile.siz.components)
    )


def grid_at(siz: Siz, level: int, first: int) -> Rect | None:
    """A tile on a level's reference grid, not cut by the image; None where the grid of tiles cannot be halved so."""
    sizes = siz.tile_x0, siz.tile_y0, siz.tile_width, siz.tile_height
    if any(size % (1 << level) for size in sizes):
        return None
    row, column = divmod(first, siz.tiles_across)
    x0, y0 = siz.tile_x0 + column * siz.tile_width, siz.tile_y0 + row * siz.tile_height
    return shrunk(Rect(x0, y0, x0 + siz.tile_width, y0 + siz.tile_height), 1, 1, level)


def whole_tiles(tiles: Sequence[TileIndex], level: int, main: MainHeader) -> Reads[Slice]:
    """The codestream of one or more tiles without their ``level`` finest resolutions.

    Args:
        tiles: all of a rectangle of tiles, row by row, coded alike; of several, ``grid_at`` must know the first.
        level: finest resolutions that are left out.
        main: the main header of their codestream.
    """
    first, last = tiles[0], tiles[-1]
    coding = coding_of_level(first.coding, level)
    if level:
        coding = replace(coding, progression=Progression.LRCP)
    found = yield from together([_packets(tile, level) for tile in tiles])
    bodies = yield from gather(found, Held(), first.size)
    rect = Rect(first.rect.x0, first.rect.y0, last.rect.x1, last.rect.y1)
    grid = grid_at(first.siz, level, first.number) if len(tiles) > 1 else None
    canvas = Canvas(shrunk(rect, 1, 1, level), first.siz.components, coding, grid)
    data = codestream(canvas, main, *bodies)
    return Slice(data, canvas, tuple(range(len(first.siz.components))), canvas.rect)


def _packets(tile: TileIndex, level: int) -> Reads[Sequence[Piece]]:
    """Where the packets of all but the finest resolutions lie."""
    if not level:
        bodies = [(header.body, header.part.end - header.body) for header in tile.headers]
        offset, length = np.array(bodies, np.int64).T
        return [(offset, length)]
    places = tile.shape.coarse(level)
    yield from walk_to(tile, int(places.max()) + 1)
    packets = tile.columns.packets
    return [(np.asarray(packets.offset)[places], np.asarray(packets.length)[places])]
