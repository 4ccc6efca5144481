"""Windows of compressed images: two batches of ranges, descriptors and tiles. FITS Standard 4.0 section 10."""

import itertools
import math
from collections.abc import Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ziggurat.format.fits.axes import Axes
from ziggurat.format.fits.batches import BATCH, NEAR, batches
from ziggurat.format.fits.codecs import decode
from ziggurat.format.fits.dither import dequantised, randoms
from ziggurat.format.fits.entries import Entries, Stored
from ziggurat.format.fits.samples import Scaling
from ziggurat.format.fits.tiling import Tiling
from ziggurat.format.foreign import foreign_errors
from ziggurat.geometry import Window
from ziggurat.model import Samples
from ziggurat.storage.protocol import ByteSource

GROUP = 1 << 14
"""Tiles whose descriptors are fetched at a time; a usual window has fewer."""

type Spans = tuple[tuple[int, int], ...]
"""Half-open ranges along the image's axes, fastest first."""


class TiledImage:
    """Reads windows of a tile-compressed image.

    Args:
        source: the file.
        tiling: what the header says of the tiles.
        axes: of the image.
        scaling: of its samples.
        where: file and HDU, for messages; kept as an attribute.
    """

    def __init__(self, source: ByteSource, tiling: Tiling, axes: Axes, scaling: Scaling, where: str) -> None:
        self._source = source
        self._tiling = tiling
        self._axes = axes
        self._scaling = scaling
        self.where = where
        self._item = scaling.stored.itemsize
        self._entries = Entries(source, tiling, self._item, floats=scaling.stored.kind == "f", where=where)

    def read(self, window: Window) -> Samples:
        """Pixels (y, x, band) of a window, from the tiles that it touches.

        Raises:
            CorruptImage: if a tile lies outside the file or does not decode.
        """
        result: Samples = np.empty((*window.size, self._axes.bands), self._scaling.dtype)
        wanted = self._spans(window)
        for group in self._groups(wanted):
            tiles = sorted(self._entries.stored(group), key=lambda tile: tile.bytes)
            for batch in batches(tiles, lambda tile: (tile.bytes,)):
                data = self._source.read_ranges([tile.bytes for tile in batch])
                data.reverse()
                for tile in batch:
                    self._place(tile, data.pop(), wanted, result)
        return result

    def _spans(self, window: Window) -> Spans:
        """What is wanted along every axis: the window, all bands, one plane of others."""
        spans = [(at, at + 1) for at in self._axes.at]
        spans[self._axes.x] = (window.x0, window.x1)
        spans[self._axes.y] = (window.y0, window.y1)
        if self._axes.band is not None:
            spans[self._axes.band] = (0, self._axes.bands)
        return tuple(spans)

    def _groups(self, wanted: Spans) -> Iterator[list[tuple[int, tuple[int, ...]]]]:
        """Rows and places of the tiles touched, ascending, in groups."""
        sides = [
            range(first // tile, -(-end // tile)) for (first, end), tile in zip(wanted, self._tiling.tile, strict=True)
        ]
        strides = list(itertools.accumulate(self._tiling.grid[:-1], initial=1, func=lambda a, b: a * b))
        places = (place[::-1] for place in itertools.product(*sides[::-1]))
        count = max(1, min(GROUP, BATCH // 4 // self._tiling.row))
        for group in itertools.batched(places, count):  # the last one is shorter
            yield [(sum(a * b for a, b in zip(place, strides, strict=True)), place) for place in group]

    def _place(self, tile: Stored, data: bytes, wanted: Spans, result: Samples) -> None:
        """Decodes a tile and copies what the window wants of it."""
        unit = f"{self.where}: tile {tile.row} at byte {tile.bytes.start}"
        starts = tuple(a * side for a, side in zip(tile.at, self._tiling.tile, strict=True))
        ends = tuple(
            min(start + side, length)
            for start, side, length in zip(starts, self._tiling.tile, self._axes.lengths, strict=True)
        )
        shape = tuple(end - start for start, end in zip(starts, ends, strict=True))[::-1]
        common = tuple((max(s, a), min(e, b)) for s, e, (a, b) in zip(starts, ends, wanted, strict=True))
        inner = tuple(slice(a - s, b - s) for s, (a, b) in zip(starts, common, strict=True))[::-1]
        with foreign_errors(unit):
            samples = self._samples(tile, decode(tile.codec, data, shape, unit), inner)
        axes = self._axes
        kept = {axes.x, axes.y, axes.band}
        last = len(shape) - 1
        planes = samples[tuple(slice(None) if last - axis in kept else 0 for axis in range(len(shape)))]
        if axes.band is None:
            planes = planes[np.newaxis]
        y, x = (slice(common[k][0] - wanted[k][0], common[k][1] - wanted[k][0]) for k in (axes.y, axes.x))
        band = slice(*common[axes.band]) if axes.band is not None else slice(0, 1)
        result[y, x, band] = planes.transpose(1, 2, 0)

    def _samples(self, tile: Stored, numbers: NDArray[np.generic], inner: tuple[slice, ...]) -> Samples:
        """Samples of a part of a tile from the tile's numbers."""
        part = numbers[inner]
        scaling = self._scaling
        if tile.scale is None:
            return scaling.apply(_narrowed(part, scaling.stored.newbyteorder("=")))
        noise = None
        if self._tiling.dither:
            noise = randoms(tile.row, self._tiling.seed, numbers.size).reshape(numbers.shape)[inner]
        values = dequantised(
            cast("NDArray[np.integer]", part),
            tile.scale,
            tile.zero,
            noise=noise,
            blank=tile.blank,
            zeros=self._tiling.dither == 2,  # noqa: PLR2004 - SUBTRACTIVE_DITHER_2
        )
        with np.errstate(all="ignore"):
            return scaling.apply(values.astype(scaling.stored.newbyteorder("=")))

    def cost(self, window: Window) -> int:
        """Peak bytes of ``read``: the result, rows of the table, a batch of tiles, one tile while it is decoded."""
        tiling = self._tiling
        sides = zip(self._spans(window), tiling.tile, strict=True)
        touched = math.prod(-(-end // side) - first // side for (first, end), side in sides)
        group = min(touched, GROUP)
        # Rows twice, and a range and a tile of Python's own for each.
        table = group * (2 * tiling.row + 1024) + NEAR
        encoded = min(tiling.heap_bytes, touched * self._entries.longest, BATCH + self._entries.longest)
        # Bytes and numbers, HCOMPRESS's 64-bit integers and their copy, then doubles of the part that is wanted.
        decoding = tiling.pixels * (16 + self._item)
        part = min(tiling.pixels, window.size.pixels * self._axes.bands) * 33
        result = window.size.pixels * self._axes.bands * self._scaling.dtype.itemsize
        return result + table + 2 * encoded + decoding + part


def _narrowed(numbers: NDArray[np.generic], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Integers in the stored type. What a lossy HCOMPRESS puts beyond its range stops there, as in CFITSIO."""
    if numbers.dtype.kind == "f" or numbers.dtype.itemsize <= dtype.itemsize:
        return numbers if numbers.dtype.kind == "f" else numbers.astype(dtype, copy=False)
    limits = np.iinfo(cast("np.dtype[np.integer]", dtype))
    narrow: NDArray[np.generic] = np.clip(cast("NDArray[np.integer]", numbers), limits.min, limits.max).astype(dtype)
    return narrow
