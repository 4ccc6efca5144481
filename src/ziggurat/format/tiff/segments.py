"""Which bytes a window needs, and what becomes of them. Planning is pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ziggurat.errors import CorruptImage
from ziggurat.format.tiff.plane import JPEG_2000, JPEGS, Plane
from ziggurat.geometry import Size, Window, tiles_touching
from ziggurat.model import Samples
from ziggurat.storage.ranges import ByteRange

RUN = 1 << 23
"""Bytes of uncompressed rows that are fetched as one piece: 8 MiB."""

_SOF = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]", re.DOTALL)

SLACK = 1 << 16
"""Pixels that a codestream may declare beyond four times its segment before it is taken for a lie."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to fetch and decode.

    Attributes:
        band: first band of the result that it fills.
        index: its number in the directory.
        bytes: where it lies, or None for a segment that is not stored.
        window: the pixels of the level that its decoded array covers.
        rows: its bytes are plain rows of the window, not a whole segment.
    """

    band: int
    index: int
    bytes: ByteRange | None
    window: Window
    rows: bool = False


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
    columns = -(-plane.size.width // plane.segment.width)
    for sample in range(plane.planes):
        for row, column, covered in tiles_touching(window, plane.segment, plane.size):
            index = sample * plane.stride + row * columns + column
            unit = f"{where}: {'tile' if plane.tiled else 'strip'} {index}"
            if index >= min(len(plane.offsets), len(plane.counts)):
                raise CorruptImage(f"{unit} has no offset or byte count; the directory is damaged")
            start, count = plane.offsets[index], plane.counts[index]
            if count <= 0 or start <= 0:
                yield Piece(band + sample, index, None, covered)
            elif plane.raw is not None:
                yield from _runs(
                    plane,
                    window,
                    Piece(band + sample, index, ByteRange(start, start + count), covered),
                    (size, unit),
                )
            else:
                _inside(start, count, size, unit)
                yield Piece(band + sample, index, ByteRange(start, start + count), covered)


def _inside(start: int, count: int, size: int, unit: str) -> None:
    if start + count > size:
        raise CorruptImage(
            f"{unit} at offset {start} needs {count} bytes, and the file ends at {size}; it is truncated"
        )


def _runs(plane: Plane, window: Window, strip: Piece, place: tuple[int, str]) -> Iterator[Piece]:
    """The wanted rows of an uncompressed strip, in runs that are not too long."""
    size, unit = place
    covered, stored = strip.window, strip.bytes
    if stored is None or stored.length < covered.height * plane.row_bytes:
        raise CorruptImage(
            f"{unit} holds {stored.length if stored else 0} bytes, and its {covered.height} rows need "
            f"{covered.height * plane.row_bytes}"
        )
    step = max(1, RUN // plane.row_bytes)
    top, bottom = max(covered.y0, window.y0), min(covered.y1, window.y1)
    for y0 in range(top, bottom, step):
        y1 = min(y0 + step, bottom)
        start = stored.start + (y0 - covered.y0) * plane.row_bytes
        _inside(start, (y1 - y0) * plane.row_bytes, size, unit)
        run = ByteRange(start, start + (y1 - y0) * plane.row_bytes)
        yield Piece(strip.band, strip.index, run, Window(y0, covered.x0, y1, covered.x1), rows=True)


def decode(plane: Plane, piece: Piece, data: bytes, unit: str) -> Samples:
    """A piece's pixels, exactly its window: (y, x, sample).

    Raises:
        CorruptImage: if the decoded array is not of the shape and type that the directory says.
    """
    if piece.bytes is None or (piece.rows and plane.raw is None):
        shape = (piece.window.height, piece.window.width, plane.samples)
        return np.full(shape, plane.nodata, plane.dtype)
    if piece.rows and plane.raw is not None:
        rows = np.frombuffer(data, plane.raw).reshape(piece.window.height, piece.window.width, plane.samples)
        return rows.astype(plane.dtype, copy=False)
    _trust(plane, data, unit)
    pixels = plane.decode(data, piece.index)
    height, width = piece.window.size
    if (
        pixels.ndim != 3  # noqa: PLR2004 - (y, x, sample)
        or pixels.shape[0] < height
        or pixels.shape[1] < width
        or pixels.shape[2] != plane.samples
        or pixels.dtype not in {plane.dtype, np.dtype(np.bool_)}
    ):
        raise CorruptImage(
            f"{unit} decodes to {pixels.shape} of {pixels.dtype}, "
            f"not ({height}, {width}, {plane.samples}) of {plane.dtype}"
        )
    return pixels[:height, :width]


def _trust(plane: Plane, data: bytes, unit: str) -> None:
    """Refuses what a decoder would believe: a codestream far larger than its segment, a JPEG cut short."""
    declared: Size | None = None
    if plane.compression in JPEGS:
        if data.find(b"\xff\xda") >= 0 and data.rfind(b"\xff\xd9") < data.find(b"\xff\xda") and data[:2] == b"\xff\xd8":
            raise CorruptImage(f"{unit}: its JPEG stream has no end; it is truncated")
        if found := _SOF.search(data):
            at = found.end() + 3
            declared = Size(int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big"))
    elif plane.compression in JPEG_2000:
        at = data.find(b"\xff\x4f\xff\x51")
        numbers = [int.from_bytes(data[n : n + 4], "big") for n in range(at + 8, at + 24, 4)] if at >= 0 else []
        declared = Size(numbers[1] - numbers[3], numbers[0] - numbers[2]) if numbers else None
    if declared is not None and declared.pixels > 4 * plane.segment.pixels + SLACK:
        raise CorruptImage(
            f"{unit}: its codestream declares {declared.height} x {declared.width} pixels, the "
            f"{'tile' if plane.tiled else 'strip'} has {plane.segment.height} x {plane.segment.width}"
        )
