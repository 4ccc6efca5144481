"""Which bytes a window needs. Planning is pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import CorruptImage
from ziggurat.format.tiff.plane import Plane
from ziggurat.format.tiff.strips import GROUP
from ziggurat.geometry import Window, tiles_touching
from ziggurat.storage.ranges import ByteRange

RUN: Final = 1 << 23
"""Bytes of uncompressed rows that are fetched as one piece: 8 MiB."""

STRIPS: Final = 1 << 14
"""Strips that are looked at together; a level may have millions."""

PADDING: Final = 64
"""Bytes between compressed strips that do not keep them from being read as one: writers align them."""

RANGE: Final = 1 << 15
"""Bytes that are read in the time that one more range costs: 32 KiB, measured with a local file."""

GAP: Final = 1 << 18
"""Bytes between two ranges up to which a store's source fetches them too, to save a request: 256 KiB."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to fetch and decode.

    Attributes:
        band: first band of the result that it fills.
        index: its number in the directory.
        ranges: where it lies; empty for a segment that is not stored.
        window: the pixels of the level that its decoded array covers.
        raw: its bytes are plain pixels of the window, not a whole segment.
        strips: where each of several low compressed strips lies in its only range: first byte and length; index is
            that of the first.
    """

    band: int
    index: int
    ranges: tuple[ByteRange, ...]
    window: Window
    raw: bool = False
    strips: tuple[tuple[int, int], ...] = ()

    @property
    def weight(self) -> int:
        """Bytes that a source fetches for it, with those in gaps that are not worth a request."""
        if not self.ranges:
            return 0
        wanted = sum(item.length for item in self.ranges)
        gap = self.ranges[1].start - self.ranges[0].end if len(self.ranges) > 1 else 0
        return wanted + (gap * (len(self.ranges) - 1) if gap <= GAP else 0)


def pieces(plane: Plane, window: Window, *, band: int, size: int, where: str) -> Iterator[Piece]:
    """What a window of a plane needs, in the file's order of segments.

    Args:
        plane: the directory's pixels.
        window: the pixels wanted.
        band: band that the plane's first sample goes to.
        size: bytes of the file.
        where: file and level, for messages.

    Raises:
        CorruptImage: if a segment has no place in the file, or lies outside it.
    """
    rows, columns = -(-plane.size.height // plane.segment.height), -(-plane.size.width // plane.segment.width)
    most = plane.longest if plane.places.stored else None
    plane.places.prefetch(runs(plane, window))
    if columns == 1 and (plane.planes - 1) * plane.stride + rows <= len(plane.places):
        yield from _strips(plane, window, band, (size, where))
        return
    for sample in range(plane.planes):
        for row, column, covered in tiles_touching(window, plane.segment, plane.size):
            index = sample * plane.stride + row * columns + column
            unit = f"{where}: {'tile' if plane.tiled else 'strip'} {index}"
            if index >= len(plane.places):
                raise CorruptImage(f"{unit} has no offset or byte count; the directory is damaged")
            start, count = plane.places[index]
            if count <= 0 or start <= 0:
                yield Piece(band + sample, index, (), covered)
                continue
            stored = ByteRange(start, start + count)
            if plane.raw is not None:
                yield from _raw(plane, window, Piece(band + sample, index, (stored,), covered), (size, unit))
            else:
                _check(stored, most, size, unit)
                yield Piece(band + sample, index, (stored,), covered)


def runs(plane: Plane, window: Window) -> Iterator[range]:
    """Numbers of the segments that a window touches, a range for every row of them."""
    height, width = plane.segment
    columns = -(-plane.size.width // width)
    for sample in range(plane.planes):
        for row in range(window.y0 // height, -(-window.y1 // height)):
            first = sample * plane.stride + row * columns
            yield range(first + window.x0 // width, first - (-window.x1 // width))


def _inside(stored: ByteRange, size: int, unit: str) -> None:
    if stored.end > size:
        raise CorruptImage(
            f"{unit} at offset {stored.start} needs {stored.length} bytes, and the file ends at {size}; it is truncated"
        )


def _strips(plane: Plane, window: Window, band: int, place: tuple[int, str]) -> Iterator[Piece]:
    """Segments as wide as the level; uncompressed ones that follow each other in the file are one, however low."""
    size, where = place
    height, unit = plane.segment.height, "tile" if plane.tiled else "strip"
    most = plane.longest if plane.places.stored and plane.raw is None else None
    for sample in range(plane.planes):
        for first in range(window.y0 // height, -(-window.y1 // height), STRIPS):
            last = min(first + STRIPS, -(-window.y1 // height))
            base = sample * plane.stride
            starts, counts = plane.places.part(range(base + first, base + last))
            for a, b in _joined(plane, first, starts, counts, min(size, most or size)):
                index, start, end = base + first + a, int(starts[a]), int(starts[b - 1] + counts[b - 1])
                covered = Window(
                    (first + a) * height, 0, min((first + b) * height, plane.size.height), plane.size.width
                )
                if start <= 0 or counts[a] <= 0:
                    yield Piece(band + sample, index, (), covered)
                    continue
                piece = Piece(band + sample, index, (ByteRange(start, end),), covered)
                if plane.raw is not None:
                    yield from _raw(plane, window, piece, (size, f"{where}: {unit} {index}"))
                    continue
                if b > a + 1 and end <= size:
                    inside = zip((starts[a:b] - start).tolist(), counts[a:b].tolist(), strict=True)
                    yield replace(piece, strips=tuple(inside))
                    continue
                for number in range(a, b):
                    stored = ByteRange(int(starts[number]), int(starts[number] + counts[number]))
                    _check(stored, most, size, f"{where}: {unit} {base + first + number}")
                    top = (first + number) * height
                    covered = Window(top, 0, min(top + height, plane.size.height), plane.size.width)
                    yield Piece(band + sample, base + first + number, (stored,), covered)


def _check(stored: ByteRange, most: int | None, size: int, unit: str) -> None:
    if most is not None and stored.length > most:
        raise CorruptImage(f"{unit} claims {stored.length} bytes, more than four times its pixels")
    _inside(stored, size, unit)


def _joined(
    plane: Plane, first: int, starts: NDArray[np.int64], counts: NDArray[np.int64], most: int
) -> Iterator[tuple[int, int]]:
    """Which of these strips lie one behind the other as if they were one: the first of each group, and its end.

    Args:
        plane: the directory's pixels.
        first: number of the first of these strips, in its plane.
        starts: where they lie.
        counts: bytes of each.
        most: bytes that a compressed one may have.
    """
    height, row = plane.segment.height, plane.row_bytes
    numbers = np.arange(len(starts))
    if plane.raw is not None:
        rows = np.minimum(height, plane.size.height - (first + numbers) * height)
        whole = (starts > 0) & (counts >= rows * row)
        follows = whole[1:] & whole[:-1] & (starts[1:] - starts[:-1] == rows[:-1] * row)
    elif plane.packing is not None:
        whole = (starts > 0) & (counts > 0) & (counts <= most)
        gaps = starts[1:] - starts[:-1] - counts[:-1]
        follows = whole[1:] & whole[:-1] & (gaps >= 0) & (gaps <= PADDING)
        follows &= numbers[1:] % max(1, GROUP // (height * row)) != 0
    else:
        follows = np.zeros(max(0, len(starts) - 1), np.bool_)
    breaks = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(starts)]
    return pairwise(breaks)


def _raw(plane: Plane, window: Window, segment: Piece, place: tuple[int, str]) -> Iterator[Piece]:
    """The wanted rows of an uncompressed segment, and of each only the wanted columns where that is cheaper."""
    size, unit = place
    covered, stored = segment.window, segment.ranges[0]
    wanted = window.intersect(covered)
    if wanted is None:
        return
    stride = plane.row_bytes
    if stored.length < covered.height * stride:
        raise CorruptImage(
            f"{unit} holds {stored.length} bytes, and its {covered.height} rows need {covered.height * stride}"
        )
    pixel = stride // plane.segment.width
    narrow = apart(stride, wanted.width * pixel)
    left, right = (wanted.x0 - covered.x0, wanted.x1 - covered.x0) if narrow else (0, plane.segment.width)
    gap = stride - (right - left) * pixel
    step = max(1, RUN // (stride if gap <= GAP else stride - gap))
    for y0 in range(wanted.y0, wanted.y1, step):
        y1 = min(y0 + step, wanted.y1)
        first = stored.start + (y0 - covered.y0) * stride
        _inside(ByteRange(first, first + (y1 - y0 - 1) * stride + right * pixel), size, unit)
        starts = range(first + left * pixel, first + left * pixel + (y1 - y0) * stride, stride)
        ranges = (
            tuple(ByteRange(start, start + stride - gap) for start in starts)
            if narrow
            else (ByteRange(first, first + (y1 - y0) * stride),)
        )
        yield Piece(
            segment.band, segment.index, ranges, Window(y0, covered.x0 + left, y1, covered.x0 + right), raw=True
        )


def apart(stride: int, wanted: int) -> bool:
    """Whether the wanted bytes of every row are to be fetched apart, not the rows with all that lies between.

    A range costs time in which RANGE bytes are read. A source over a network joins ranges less than GAP apart, so
    that there it costs nothing more; beyond GAP, it does not join them because a request is cheaper.

    Args:
        stride: bytes from one row to the next.
        wanted: bytes of a row that the window needs.
    """
    return stride - wanted > RANGE


def batches(found: Iterator[tuple[Plane, Piece]], limit: int) -> Iterator[list[tuple[Plane, Piece]]]:
    """Pieces in groups for which a source fetches about ``limit`` bytes."""
    batch: list[tuple[Plane, Piece]] = []
    length = end = 0
    for plane, piece in found:
        weight = piece.weight
        if piece.ranges and batch and 0 < piece.ranges[0].start - end <= GAP:
            weight += piece.ranges[0].start - end
        if batch and length + weight > limit:
            yield batch
            batch, length, weight = [], 0, piece.weight
        batch.append((plane, piece))
        length += weight
        end = piece.ranges[-1].end if piece.ranges else end
    if batch:
        yield batch
