"""A codestream of one whole tile at a level: its packets as they are, without those of finer resolutions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.compose import Canvas, codestream, coding_of_level
from ziggurat.codestream.gather import Held, Piece, gather
from ziggurat.codestream.markers import MainHeader
from ziggurat.codestream.partition import Rect, shrunk
from ziggurat.codestream.reads import Reads
from ziggurat.codestream.segments import Progression
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
    if tile.packed_apart:
        return False
    if level and (tile.coding.changes or tile.coding.sop):
        return False
    if tile.coding.changes and len(tile.order.precinct) < tile.partition.precincts * tile.coding.layers:
        # What decoders make of packets that no progression change mentions is anybody's guess.
        return False
    return len(wanted) == len(tile.siz.components) and all(
        wanted[index] == shrunk(tile.partition.rect, item.dx, item.dy, level)
        for index, item in enumerate(tile.siz.components)
    )


def whole_tile(tile: TileIndex, level: int, main: MainHeader) -> Reads[Slice]:
    """The codestream of a tile without its ``level`` finest resolutions."""
    coding = coding_of_level(tile.coding, level)
    pieces: list[Piece]
    if level:
        coding = replace(coding, progression=Progression.LRCP)
        pieces = [(yield from _coarse_packets(tile, level))]
    else:
        bodies = [(header.body, header.part.end - header.body) for header in tile.headers]
        offset, length = np.array(bodies, np.int64).T
        pieces = [(offset, length)]
    packets = yield from gather(pieces, Held(), tile.size)
    canvas = Canvas(shrunk(tile.partition.rect, 1, 1, level), tile.siz.components, coding)
    data = codestream(canvas, main, packets)
    return Slice(data, canvas, tuple(range(len(tile.siz.components))), canvas.rect)


def _coarse_packets(tile: TileIndex, level: int) -> Reads[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Offsets and lengths of the packets of all but the finest resolutions, in the order LRCP."""
    chosen = []
    for component, number, resolution in tile.partition.resolutions():
        if number + level < len(tile.partition.components[component]):
            chosen += [(number, component, resolution.first + index) for index in range(resolution.precincts)]
    precincts = np.array([precinct for _, _, precinct in sorted(chosen)], np.int64)
    layers = np.arange(tile.coding.layers, dtype=np.int64)
    places = tile.place[(precincts[None, :] * tile.coding.layers + layers[:, None]).ravel()]
    yield from walk_to(tile, int(places.max()) + 1)
    packets = tile.columns.packets
    return np.asarray(packets.offset)[places], np.asarray(packets.length)[places]
