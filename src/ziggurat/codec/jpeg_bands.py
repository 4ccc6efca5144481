"""JPEG in horizontal bands: written without the whole picture in memory, read without decoding the rest.

A restart marker resets the entropy coder and the DC prediction (T.81 E.1.4), so that whole rows of MCUs between
two of them stand for themselves: bands that were encoded apart make one file, and bands of a file that has such
markers decode apart.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ziggurat.codec import jpeg_tables
from ziggurat.codec.jpeg import ColourModel, Segments, Subsampling, decode, encode, with_segments
from ziggurat.codec.jpeg_syntax import (
    Frame,
    Marker,
    end_of_scan,
    is_frame,
    parse_frame,
    restart_interval,
    restarts,
    segments,
)
from ziggurat.codec.jpeg_tables import Tables
from ziggurat.errors import CorruptImage, UsageError
from ziggurat.geometry import Size
from ziggurat.model import Samples

MAX_INTERVAL = 65_535
"""MCUs that a DRI segment can count (T.81 B.2.4.4)."""

MCU: Mapping[Subsampling, Size] = MappingProxyType(
    {
        "444": Size(8, 8),
        "422": Size(8, 16),
        "420": Size(16, 16),
    }
)
"""Pixels of a minimum coded unit of three components."""

_TABLES = frozenset({Marker.DQT, Marker.DHT, Marker.DRI, Marker.SOS})
_SEQUENTIAL_HUFFMAN = frozenset({0, 1})


def mcu_size(bands: int, subsampling: Subsampling) -> Size:
    """Height and width of an MCU; a single component has blocks of 8 x 8 whatever the subsampling."""
    return Size(8, 8) if bands == 1 else MCU[subsampling]


def band_rows(width: int, bands: int, subsampling: Subsampling, limit: int) -> int:
    """The most rows that a band may have: whole MCU rows, at least one, at most ``limit`` if that is possible."""
    height, mcu_width = mcu_size(bands, subsampling)
    per_row = -(-width // mcu_width)
    return height * max(1, min(limit // height, MAX_INTERVAL // per_row))


@dataclass(frozen=True, slots=True)
class BandedOptions:
    """How a banded file is encoded: as in ``codec.jpeg.encode``, and the rows of every band but the last.

    Attributes:
        tables: used instead of those of the quality, if there are any.
    """

    quality: int
    subsampling: Subsampling
    rows: int
    tables: Tables | None = None


class BandedEncoder:
    """Writes one baseline JPEG from bands of rows, each encoded when it comes.

    The Huffman codes are those of T.81 annex K: codes made for the image would need all of it first.

    Args:
        file: opened for writing in binary.
        size: of the whole picture.
        options: the encoding.
        extra: what to store beside the pixels.
    """

    def __init__(self, file: BinaryIO, size: Size, options: BandedOptions, extra: Segments) -> None:
        self._file = file
        self._size = size
        self._options = options
        self._extra = extra
        self._row = 0
        self._band = 0

    def write(self, pixels: Samples) -> None:
        """Encodes the next rows.

        Args:
            pixels: (rows, width, 1 or 3) uint8, ``options.rows`` high except at the end of the picture.

        Raises:
            UsageError: if the band has another size.
        """
        due = min(self._options.rows, self._size.height - self._row)
        if pixels.shape[:2] != (due, self._size.width):
            raise UsageError(f"a band of {due} x {self._size.width} pixels is due, not {pixels.shape[:2]}")
        options = self._options
        if options.tables is None:
            jpeg = encode(pixels, quality=options.quality, subsampling=options.subsampling)
        else:
            jpeg = jpeg_tables.encode(pixels, options.tables, subsampling=options.subsampling, small=False)
        header, start, end = _split(jpeg)
        if not self._band:
            self._file.write(self._opening(header))
        else:
            self._file.write(bytes((0xFF, Marker.RST0 + (self._band - 1) % 8)))
        self._file.write(memoryview(jpeg)[start:end])
        self._row += due
        self._band += 1

    def finish(self) -> None:
        """Writes the end marker.

        Raises:
            UsageError: if rows are missing.
        """
        if self._row != self._size.height:
            raise UsageError(f"{self._row} of {self._size.height} rows were written")
        self._file.write(bytes((0xFF, Marker.EOI)))

    def _opening(self, header: bytes) -> bytes:
        """The first band's header for the whole picture: its height, and the restart interval before the scan."""
        found = list(segments(header, name="the encoded band"))
        frame = next(parse_frame(header, s, name="the encoded band") for s in found if is_frame(s.marker))
        patched = _with_height(header, frame, self._size.height)
        interval = self._options.rows // frame.mcu[0] * frame.mcus_per_row
        if self._options.rows % frame.mcu[0] or interval > MAX_INTERVAL:
            raise UsageError(f"bands of {self._options.rows} rows are not whole MCU rows or hold {interval} MCUs")
        restart = struct.pack(">BBHH", 0xFF, Marker.DRI, 4, interval)
        scan = found[-1].offset
        return with_segments(patched[:scan] + restart + patched[scan:], self._extra)


def _split(jpeg: bytes) -> tuple[bytes, int, int]:
    """The header up to the entropy-coded data of a single-scan file, and that data's start and end."""
    *_, scan = segments(jpeg, name="the encoded band")
    return jpeg[: scan.end], scan.end, end_of_scan(jpeg, scan.end)


def _with_height(data: bytes, frame: Frame, height: int) -> bytes:
    """The header with another number of rows in its frame header."""
    at = frame.offset + 5
    return data[:at] + struct.pack(">H", height) + data[at + 2 :]


@dataclass(frozen=True, slots=True)
class BandLayout:
    """How a file with restart markers divides into bands of whole rows.

    Attributes:
        frame: of the whole picture.
        header: SOI, tables, frame and scan header; no application segments.
        rows: pixel rows of every interval but the last.
        margin: intervals above and below a window whose chroma its upsampling looks at.
        start: offset of the entropy-coded data in the file.
    """

    frame: Frame
    header: bytes
    rows: int
    margin: int
    start: int

    @property
    def count(self) -> int:
        """Intervals."""
        return -(-self.frame.height // self.rows)

    def intervals(self, y0: int, y1: int) -> tuple[int, int]:
        """First and end of the intervals that rows y0 to y1 need."""
        return max(0, y0 // self.rows - self.margin), min(self.count, -(-y1 // self.rows) + self.margin)


def band_layout(head: bytes, *, name: str) -> BandLayout | None:
    """The bands of a JPEG, or None where it cannot be read in bands.

    Args:
        head: the file at least up to the first scan's header.
        name: for messages.
    """
    frame: Frame | None = None
    interval = 0
    parts = [head[:2]]
    for segment in segments(head, name=name):
        if is_frame(segment.marker):
            frame = parse_frame(head, segment, name=name)
            # The header made here is read with the frame where it will lie.
            frame = Frame(
                frame.process, frame.precision, frame.height, frame.width, frame.components, sum(map(len, parts))
            )
        elif segment.marker == Marker.DRI:
            interval = restart_interval(head, segment)
        if is_frame(segment.marker) or segment.marker in _TABLES:
            parts.append(head[segment.offset : segment.end])
    if frame is None or frame.process not in _SEQUENTIAL_HUFFMAN or not interval:
        return None
    members = head[segment.start] if segment.marker == Marker.SOS and segment.start < segment.end else 0
    rows, rest = divmod(interval, frame.mcus_per_row)
    if rest or members != len(frame.components) or rows * frame.mcu[0] >= frame.height:
        return None
    margin = int(max(c.vertical for c in frame.components) > 1)
    return BandLayout(frame, b"".join(parts), rows * frame.mcu[0], margin, segment.end)


class RestartScanner:
    """Finds the restart markers of entropy-coded data that comes in blocks.

    Args:
        layout: of the file.
    """

    def __init__(self, layout: BandLayout) -> None:
        self._layout = layout
        self._offset = layout.start
        self._held = b""
        self._found: list[NDArray[np.int64]] = []
        self._count = 0
        self.end: int | None = None

    def feed(self, block: bytes) -> None:
        """Takes the next bytes of the file; the first block begins at ``layout.start``.

        Sets ``end`` when the marker behind the data has been seen.
        """
        data = self._held + block
        stop = end_of_scan(data, 0)
        found = restarts(data, 0, len(data) if stop < 0 else stop) + self._offset
        self._count += found.size
        if self._count < 2 * self._layout.count:
            # More than this are damage, which ``finish`` reports: no need to keep them.
            self._found.append(found)
        if stop >= 0:
            self.end = self._offset + stop
            return
        # A marker may be cut by the end of the block; a run of fill bytes needs only its last one.
        self._held = b"\xff" if data.endswith(b"\xff") else b""
        self._offset += len(data) - len(self._held)

    def finish(self, *, name: str) -> NDArray[np.int64]:
        """Offsets in the file, (intervals, 2): start and end of each interval's data.

        Raises:
            CorruptImage: if the data has no end or another number of restart markers than is due.
        """
        due = self._layout.count - 1
        if self.end is None:
            raise CorruptImage(f"{name} ends inside its pixel data: truncated")
        if self._count != due:
            raise CorruptImage(f"{name} has {self._count} restart markers, {due} are due: damaged")
        marks = np.concatenate(self._found)
        return np.stack(
            (np.append(self._layout.start, marks + 2), np.append(marks, self.end)),
            axis=1,
        )


def restart_index(data: bytes, layout: BandLayout, *, name: str) -> NDArray[np.int64]:
    """``RestartScanner.finish`` of a file that is in memory.

    Raises:
        CorruptImage: as there.
    """
    scanner = RestartScanner(layout)
    scanner.feed(data[layout.start :])
    return scanner.finish(name=name)


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive intervals of a file.

    Attributes:
        first: number of the first one.
        spans: (intervals, 2), offsets of their starts and ends in the file.
        data: the bytes from the first start to the last end.
    """

    first: int
    spans: NDArray[np.int64]
    data: bytes


def decode_rows(layout: BandLayout, piece: Piece, rows: tuple[int, int], model: ColourModel, *, name: str) -> Samples:
    """Rows of a picture from the intervals that ``layout.intervals`` names.

    Args:
        layout: of the file.
        piece: those intervals.
        rows: first and end.
        model: how the components are to be understood.
        name: for messages.

    Returns:
        (rows, width, band), equal to the same rows of a decode of the whole file.

    Raises:
        CorruptImage: if they do not decode completely.
    """
    top = piece.first * layout.rows
    height = min(len(piece.spans) * layout.rows, layout.frame.height - top)
    entropy = bytearray(piece.data)
    base = int(piece.spans[0, 0])
    for number, (_, end) in enumerate(piece.spans[:-1]):
        at = int(end) - base + 1
        if entropy[at] != Marker.RST0 + (piece.first + number) % 8:
            raise CorruptImage(f"{name}: the restart marker at byte {int(end)} is out of order: damaged")
        entropy[at] = Marker.RST0 + number % 8
    jpeg = b"".join((_with_height(layout.header, layout.frame, height), entropy, b"\xff\xd9"))
    pixels = decode(jpeg, model, name=name)
    return pixels[rows[0] - top : rows[1] - top]
