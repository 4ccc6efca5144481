"""Where the tiles of a window are: the rows of the table and their descriptors. FITS Standard 4.0 section 10.1.3."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ziggurat.errors import CorruptImage
from ziggurat.format.fits.batches import NEAR
from ziggurat.format.fits.codecs import Codec
from ziggurat.format.fits.columns import Column, Rows
from ziggurat.format.fits.tiling import Tiling
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

SLACK = 1 << 16
"""Bytes that a tile's data may exceed twice its samples by before their length is taken for a lie."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One tile of a window.

    Attributes:
        row: its row in the table, from 0.
        at: its place in the grid of tiles, fastest axis first.
        bytes: its data.
        codec: how they are encoded.
        scale: ZSCALE, or None where the numbers are the samples.
        zero: ZZERO.
        blank: ZBLANK or None.
    """

    row: int
    at: tuple[int, ...]
    bytes: ByteRange
    codec: Codec
    scale: float | None
    zero: float
    blank: int | None


class Entries:
    """Looks tiles up in the table.

    Args:
        source: the file.
        tiling: what the header says of the tiles.
        item: bytes of a sample.
        floats: whether tiles that are kept as gzip or plain are floats.
        where: file and HDU, for messages.
    """

    def __init__(self, source: ByteSource, tiling: Tiling, item: int, *, floats: bool, where: str) -> None:
        self._source = source
        self._tiling = tiling
        self.longest = 2 * tiling.pixels * max(4, item) + SLACK
        self._fallback = replace(tiling.codec, name="GZIP_1", lossless_floats=floats)
        self._where = where

    def stored(self, group: Sequence[tuple[int, tuple[int, ...]]]) -> Iterator[Stored]:
        """The tiles of a group by their rows of the table.

        Raises:
            CorruptImage: if a descriptor leaves the heap or the file.
        """
        tiling = self._tiling
        rows = self._rows([row for row, _ in group])
        data = tiling.data.descriptors(rows)
        gzip = tiling.gzip.descriptors(rows) if tiling.gzip else None
        plain = tiling.plain.descriptors(rows) if tiling.plain else None
        scales = _floats(tiling.scale, rows)
        zeros = _floats(tiling.zero, rows)
        blanks = _integers(tiling.blank, rows)
        for index, (row, place) in enumerate(group):
            if data[0][index] > 0:
                yield Stored(
                    row,
                    place,
                    self._checked(row, data[0][index], data[1][index]),
                    tiling.codec,
                    scales[index],
                    zeros[index] or 0.0,
                    blanks[index],
                )
            elif gzip and gzip[0][index] > 0:
                found = self._checked(row, gzip[0][index], gzip[1][index])
                yield Stored(row, place, found, self._fallback, None, 0.0, None)
            elif plain and plain[0][index] > 0:
                found = self._checked(row, plain[0][index], plain[1][index])
                yield Stored(row, place, found, replace(self._fallback, name="NOCOMPRESS"), None, 0.0, None)
            else:
                raise CorruptImage(f"{self._where}: tile {row} has no data; the table is damaged")

    def _rows(self, wanted: Sequence[int]) -> Rows:
        """Rows of the table, in one batch of ranges; rows between near ones are read through."""
        row = self._tiling.row
        index = np.array(wanted, np.int64)
        breaks = np.flatnonzero((np.diff(index) - 1) * row > NEAR) + 1
        runs = np.split(index, breaks)
        ranges = [
            ByteRange(self._tiling.table + int(run[0]) * row, self._tiling.table + (int(run[-1]) + 1) * row)
            for run in runs
        ]
        if ranges[-1].end > self._source.size:
            raise CorruptImage(
                f"{self._where}: the table's row {wanted[-1]} ends at byte {ranges[-1].end}, the file at "
                f"{self._source.size}; it is truncated"
            )
        found = self._source.read_ranges(ranges)
        parts = [
            np.frombuffer(data, np.uint8).reshape(-1, row)[run - run[0]] for data, run in zip(found, runs, strict=True)
        ]
        return np.concatenate(parts)

    def _checked(self, row: int, length: int, offset: int) -> ByteRange:
        """A tile's bytes, if they can be what the descriptor says."""
        tiling = self._tiling
        if offset < 0 or offset + length > tiling.heap_bytes or length > self.longest:
            raise CorruptImage(
                f"{self._where}: tile {row} has {length} bytes at {offset} of a heap of {tiling.heap_bytes}; the "
                "table is damaged"
            )
        start = tiling.heap + offset
        if start + length > self._source.size:
            raise CorruptImage(
                f"{self._where}: tile {row} ends at byte {start + length}, the file at {self._source.size}; it is "
                "truncated"
            )
        return ByteRange(start, start + length)


def _floats(value: Column | float | None, rows: Rows) -> Sequence[float | None]:
    if isinstance(value, Column):
        return [float(number) for number in value.numbers(rows).tolist()]
    return [value] * len(rows)


def _integers(value: Column | int | None, rows: Rows) -> Sequence[int | None]:
    """Of a column of integers; one of another type would not be exact."""
    if isinstance(value, Column):
        return [int(number) for number in value.numbers(rows).tolist()]
    return [value] * len(rows)
