"""Tiles of all levels made in one pass from top to bottom; coarser levels wait in a temporary file."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np

from ziggurat.geometry import Size
from ziggurat.model import Samples
from ziggurat.pyramid import halve

type Encode = Callable[[Samples], bytes]

type EncodeAll = Callable[[Encode, Iterable[Samples]], Iterable[bytes]]
"""``map``, or the same with threads."""

SLAB = 4096
"""Columns halved at a time, which bounds the intermediate sums."""


def level_sizes(size: Size, tile: int) -> list[Size]:
    """Sizes of the levels, finest first, down to the one that fits into a tile."""
    sizes = [size]
    while max(sizes[-1]) > tile:
        sizes.append(sizes[-1].halved(1))
    return sizes


class Cascade:
    """Cuts rows into encoded tiles and halves them for the next level, whose tiles go to the spool.

    Args:
        sizes: of the levels, finest first.
        tile: height and width of a tile.
        encode: a full tile → its bytes.
        spool: where the tiles of the coarser levels wait.
        encode_all: how the tiles of a row are encoded; ``map`` one by one.
        views: tiles may be views of longer rows, which the encoder copies anyway.
    """

    def __init__(
        self,
        sizes: list[Size],
        tile: int,
        encode: Encode,
        spool: BinaryIO,
        *,
        encode_all: EncodeAll = map,
        views: bool = False,
    ) -> None:
        self._sizes = sizes
        self._tile = tile
        self._encode = encode
        self._encode_all = encode_all
        self._spool = spool
        self._views = views
        self._waiting: list[Samples | None] = [None] * len(sizes)
        self._filled = [0] * len(sizes)
        self._done = [0] * len(sizes)
        self._starts = [array("Q") for _ in sizes]
        self._lengths = [array("Q") for _ in sizes]

    def finest(self, rows: Iterator[Samples]) -> Iterator[bytes]:
        """Encoded tiles of level 0, as its rows come; the coarser levels are complete at the end."""
        for strip in rows:
            # First of all, since whoever takes the tiles does not come back after the last one.
            if len(self._sizes) > 1:
                self._halve_into(1, strip)
            yield from self._tiles(strip)
            del strip  # a view that would keep the band alive while the next one is read

    def spooled(self, level: int) -> Iterator[bytes]:
        """Encoded tiles of a coarser level."""
        for start, length in zip(self._starts[level], self._lengths[level], strict=True):
            self._spool.seek(start)
            yield self._spool.read(length)

    def _tiles(self, strip: Samples) -> Iterator[bytes]:
        """The encoded tiles of one tile row."""
        yield from self._encode_all(self._encode, self._cut(strip))

    def _cut(self, strip: Samples) -> Iterator[Samples]:
        """The tiles of one tile row, those at the border filled by repeating its pixels."""
        side = self._tile
        for x0 in range(0, strip.shape[1], side):
            tile = strip[:, x0 : x0 + side]
            below, beside = side - tile.shape[0], side - tile.shape[1]
            if below or beside:
                tile = np.pad(tile, ((0, below), (0, beside), (0, 0)), mode="edge")
            yield tile if self._views else np.ascontiguousarray(tile)

    def _halve_into(self, level: int, strip: Samples) -> None:
        """Adds half of a finer level's rows to a level, and passes on each tile row that this completes.

        A finer level's rows come in tile rows, whose even height keeps pairs together: so a level equals
        ``halve`` of the whole finer one.
        """
        size = self._sizes[level]
        waiting = self._waiting[level]
        if waiting is None:
            rows = min(self._tile, size.height)
            waiting = np.empty((rows, size.width, strip.shape[2]), strip.dtype)
            self._waiting[level] = waiting
        start = self._filled[level]
        end = start + -(-strip.shape[0] // 2)
        for x0 in range(0, strip.shape[1], SLAB):
            half = halve(strip[:, x0 : x0 + SLAB])
            waiting[start:end, x0 // 2 : x0 // 2 + half.shape[1]] = half
        self._filled[level] = end
        if end < self._tile and self._done[level] + end < size.height:
            return
        for data in self._tiles(waiting[:end]):
            self._starts[level].append(self._spool.seek(0, 2))
            self._lengths[level].append(len(data))
            self._spool.write(data)
        self._done[level] += end
        self._filled[level] = 0
        if level + 1 < len(self._sizes):
            self._halve_into(level + 1, waiting[:end])


def cascade_cost(size: Size, tile: int, pixel: int) -> int:
    """Peak bytes of a cascade besides the rows that it is fed.

    Args:
        size: of level 0.
        tile: height and width of a tile.
        pixel: bytes of a pixel.
    """
    # Half a tile row waits on level 1, a quarter on level 2, and so on: one in all.
    waiting = tile * size.width * pixel if max(size) > tile else 0
    # halve() pads, widens and sums: at most six times what it is given.
    halving = 6 * tile * min(SLAB, size.width) * pixel
    # A padded copy, the codec's own planes in 32 bits, its output.
    encoding = tile * tile * (pixel * 3 + pixel * 8)
    tiles = sum(-(-level.height // tile) * -(-level.width // tile) for level in level_sizes(size, tile))
    # Places of the tiles, here as two numbers and in the TIFF library as lists and packed tags.
    return waiting + halving + encoding + 150 * tiles
