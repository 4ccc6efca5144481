"""Images stored as they are: rows of big-endian samples, one after the other. FITS Standard 4.0 section 3.3.2."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import CorruptImage
from ziggurat.format.fits.axes import Axes
from ziggurat.format.fits.batches import BATCH, GAP, NEAR, batches
from ziggurat.format.fits.samples import Scaling
from ziggurat.geometry import Window
from ziggurat.model import Samples
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

RUN = 1 << 20
"""Bytes converted at a time: 1 MiB, so that the doubles of a scaling stay small and in the cache."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a window that are converted at once.

    Attributes:
        ranges: one for each row's columns, or a single one from the first row's first to the last row's last sample.
        band: the plane.
        window: the pixels of the image that it covers.
    """

    ranges: tuple[ByteRange, ...]
    band: int
    window: Window


@dataclass(frozen=True, slots=True)
class Stored:
    """Where samples lie, and how they become pixels.

    Attributes:
        start: byte of the first one.
        plane: samples from one band to the next.
        scaling: of them.
    """

    start: int
    plane: int
    scaling: Scaling


class PlainImage:
    """Reads windows of an image that is stored as it is.

    Args:
        source: the file.
        start: first byte of the data.
        axes: of the image.
        scaling: of its samples.
        where: file and HDU, for messages; kept as an attribute.

    Raises:
        CorruptImage: if the file ends before the first row does.
    """

    def __init__(self, source: ByteSource, start: int, axes: Axes, scaling: Scaling, where: str) -> None:
        self._source = source
        self._start = start + axes.first * scaling.stored.itemsize
        self._axes = axes
        self._scaling = scaling
        self.where = where
        self._item = scaling.stored.itemsize
        self._row = axes.size.width * self._item
        if self._start + self._row > source.size:
            raise CorruptImage(
                f"{where}: a row of {axes.size.width} samples needs {self._row} bytes at byte {self._start}, the file "
                f"ends at {source.size}; it is truncated or its header lies"
            )

    @property
    def stored(self) -> Stored:
        """Where the samples lie."""
        return Stored(self._start, self._axes.plane, self._scaling)

    def read(self, window: Window) -> Samples:
        """Pixels (y, x, band) of a window.

        Raises:
            CorruptImage: if they lie beyond the end of the file.
        """
        result: Samples = np.empty((*window.size, self._axes.bands), self._scaling.dtype)
        self._require(window.y1, window.x1)
        for batch in batches(self.pieces(window), lambda piece: piece.ranges):
            data = iter(self._source.read_ranges([item for piece in batch for item in piece.ranges]))
            for piece in batch:
                rows, columns = piece.window.shifted(-window.y0, -window.x0).slices()
                stored = self._stored(piece, [next(data) for _ in piece.ranges])
                result[rows, columns, piece.band] = self._scaling.apply(stored)
        return result

    def picked(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Samples:
        """Pixels (y, x, band) at the crossings of some rows and columns, both ascending.

        Raises:
            CorruptImage: if they lie beyond the end of the file.
        """
        left, right = int(columns[0]), int(columns[-1]) + 1
        self._require(int(rows[-1]) + 1, right)
        result: Samples = np.empty((len(rows), len(columns), self._axes.bands), self._scaling.dtype)
        some = max(1, BATCH // ((right - left) * self._item))
        for band in range(self._axes.bands):
            for first in range(0, len(rows), some):
                starts = [self._at(band, row, left) for row in rows[first : first + some].tolist()]
                length = (right - left) * self._item
                data = b"".join(self._source.read_ranges([ByteRange(start, start + length) for start in starts]))
                stored = np.frombuffer(data, self._scaling.stored).reshape(len(starts), -1)
                result[first : first + some, :, band] = self._scaling.apply(stored[:, columns - left])
        return result

    def _require(self, rows: int, columns: int) -> None:
        """Sees to it that the file has so many rows, and so many columns of the last one."""
        last = self._at(self._axes.bands - 1, rows - 1, columns)
        if last > self._source.size:
            raise CorruptImage(
                f"{self.where}: the window's last row ends at byte {last}, the file at {self._source.size}; it is "
                "truncated; read rows above, or fetch the file again"
            )

    def _stored(self, piece: Piece, data: list[bytes]) -> Samples:
        """A piece's samples as they are stored, axes (y, x)."""
        size = piece.window.size
        if len(data) == 1:
            return np.ndarray(size, self._scaling.stored, data[0], strides=(self._row, self._item))
        return np.frombuffer(b"".join(data), self._scaling.stored).reshape(size)

    def pieces(self, window: Window) -> Iterator[Piece]:
        """The ranges of a window, in the order of the file.

        Rows are read through from the first wanted sample to the last where the gap between two is within
        ``NEAR`` or a fifth of what is wanted; else every row's columns are a range of their own, which an object
        store's source joins again up to its own limit.
        """
        wanted = window.width * self._item
        gap = self._row - wanted
        through = gap <= max(NEAR, wanted // 5)
        rows = max(1, min(RUN // wanted, BATCH // 8 // self._row if gap <= GAP else RUN))
        columns = window.width if rows > 1 else max(1, RUN // self._item)
        for band in range(self._axes.bands):
            for y0 in range(window.y0, window.y1, rows):
                y1 = min(y0 + rows, window.y1)
                for x0 in range(window.x0, window.x1, columns):
                    x1 = min(x0 + columns, window.x1)
                    yield Piece(self._ranges(band, Window(y0, x0, y1, x1), through), band, Window(y0, x0, y1, x1))

    def _ranges(self, band: int, part: Window, through: bool) -> tuple[ByteRange, ...]:  # noqa: FBT001 - private
        if through:
            return (ByteRange(self._at(band, part.y0, part.x0), self._at(band, part.y1 - 1, part.x1)),)
        length = part.width * self._item
        first = self._at(band, part.y0, part.x0)
        starts = range(first, first + part.height * self._row, self._row)
        return tuple(ByteRange(start, start + length) for start in starts)

    def _at(self, band: int, y: int, x: int) -> int:
        """The byte where a sample begins."""
        return self._start + (band * self._axes.plane + y * self._axes.size.width + x) * self._item

    def cost(self, window: Window) -> int:
        """Peak bytes of ``read``: the result, one batch with the gaps a source reads through, one conversion."""
        samples = window.size.pixels * self._axes.bands
        gap = self._row - window.width * self._item
        held = samples * self._item
        if gap <= max(GAP, window.width * self._item // 5):
            held += (window.height - 1) * gap * self._axes.bands
        piece = min(samples, RUN // self._item)
        scratch = piece * (self._scaling.scratch + self._scaling.dtype.itemsize)
        # Every piece is a range, a piece and bytes of its own.
        pieces = min(held, BATCH) // max(1, min(RUN, window.width * self._item)) + 1
        # The batch exists twice for a moment where a source cuts ranges out of longer answers.
        return samples * self._scaling.dtype.itemsize + 2 * min(held, BATCH + RUN) + scratch + pieces * 512
