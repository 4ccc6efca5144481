"""The marker segments of JPEG (ITU-T T.81 annex B): found, read and bounded, without decoding.

Positions are byte offsets into the buffer given, which begins with SOI.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import CorruptImage


class Marker(IntEnum):
    """Second byte of the markers used here (T.81 table B.1)."""

    SOF0 = 0xC0
    SOF1 = 0xC1
    SOF2 = 0xC2
    SOF3 = 0xC3
    DHT = 0xC4
    JPG = 0xC8
    SOF9 = 0xC9
    SOF10 = 0xCA
    SOF11 = 0xCB
    DAC = 0xCC
    SOF15 = 0xCF
    RST0 = 0xD0
    RST7 = 0xD7
    SOI = 0xD8
    EOI = 0xD9
    SOS = 0xDA
    DQT = 0xDB
    DNL = 0xDC
    DRI = 0xDD
    APP0 = 0xE0
    APP1 = 0xE1
    APP2 = 0xE2
    APP13 = 0xED
    APP14 = 0xEE
    COM = 0xFE


MAX_SEGMENTS = 10_000
"""Marker segments that are looked at: a 4 GB ICC profile would need more, no image does."""

_FRAMES = frozenset(range(0xC0, 0xD0)) - {Marker.DHT, Marker.JPG, Marker.DAC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length (T.81 B.1.1.3): TEM and the restart markers."""

_LENGTH = 2
"""Bytes of a segment's length, which counts itself."""

_MAX_COMPONENTS = 4
_MAX_SAMPLING = 4
_BLOCK = 8
"""Samples on a side of a DCT block."""

_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_FIRST_ARITHMETIC = 0xC9
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


class Segment(NamedTuple):
    """One marker with its parameters.

    Attributes:
        marker: second byte of the marker.
        offset: of the marker's 0xFF.
        start: of the first parameter byte, behind the length.
        end: behind the last parameter byte.
    """

    marker: int
    offset: int
    start: int
    end: int


class Component(NamedTuple):
    """One component of a frame: its identifier and sampling factors (T.81 B.2.2)."""

    identifier: int
    vertical: int
    horizontal: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame header says (T.81 B.2.2).

    Attributes:
        process: 0 to 15, the marker's distance from SOF0.
        precision: bits of a sample.
        height: rows; never 0 here.
        width: columns.
        components: in the file's order.
        offset: of the marker.
    """

    process: int
    precision: int
    height: int
    width: int
    components: tuple[Component, ...]
    offset: int

    @property
    def lossless(self) -> bool:
        """Whether samples are predicted, not transformed."""
        return Marker.SOF0 + self.process in _LOSSLESS

    @property
    def progressive(self) -> bool:
        """Whether several scans refine the same coefficients."""
        return Marker.SOF0 + self.process in _PROGRESSIVE

    @property
    def arithmetic(self) -> bool:
        """Whether the entropy coder is arithmetic, not Huffman."""
        return Marker.SOF0 + self.process >= _FIRST_ARITHMETIC

    @property
    def mcu(self) -> tuple[int, int]:
        """Height and width in pixels of an interleaved minimum coded unit (T.81 A.2.3)."""
        unit = 1 if self.lossless else _BLOCK
        if len(self.components) == 1:
            return unit, unit
        return (
            unit * max(c.vertical for c in self.components),
            unit * max(c.horizontal for c in self.components),
        )

    @property
    def mcus_per_row(self) -> int:
        """Interleaved units from left to right."""
        return -(-self.width // self.mcu[1])

    @property
    def mcu_rows(self) -> int:
        """Interleaved units from top to bottom."""
        return -(-self.height // self.mcu[0])


def segment_at(data: bytes, offset: int, *, name: str) -> Segment:
    """The segment whose marker lies at or behind ``offset``, fill bytes and garbage skipped.

    Raises:
        CorruptImage: if there is none, or its parameters leave the data.
    """
    at = offset
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise CorruptImage(f"{name} ends at byte {len(data)} where a JPEG marker should follow: truncated")
        if data[at + 1] not in {0x00, 0xFF}:
            break
        at += 1
    marker = data[at + 1]
    if marker in _ALONE or marker in {Marker.SOI, Marker.EOI}:
        return Segment(marker, at, at + 2, at + 2)
    if at + 4 > len(data):
        raise CorruptImage(f"{name} ends inside the JPEG marker at byte {at}: truncated")
    (length,) = struct.unpack_from(">H", data, at + 2)
    if length < _LENGTH or at + 2 + length > len(data):
        raise CorruptImage(
            f"{name}: the segment FF{marker:02X} at byte {at} declares {length} bytes, {len(data) - at - 2} are left"
        )
    return Segment(marker, at, at + 4, at + 2 + length)


def segments(data: bytes, *, name: str) -> Iterator[Segment]:
    """The segments from behind SOI to the first SOS or EOI, that one included.

    Raises:
        CorruptImage: if SOI is missing, a segment leaves the data, or there are absurdly many.
    """
    if not data.startswith(b"\xff\xd8"):
        raise CorruptImage(f"{name} does not begin with JPEG's SOI marker")
    at = 2
    for _ in range(MAX_SEGMENTS):
        segment = segment_at(data, at, name=name)
        yield segment
        if segment.marker in {Marker.SOS, Marker.EOI}:
            return
        at = segment.end
    raise CorruptImage(f"{name} has over {MAX_SEGMENTS} segments before its first scan")


def is_frame(marker: int) -> bool:
    """Whether a marker begins a frame header."""
    return marker in _FRAMES


def parse_frame(data: bytes, segment: Segment, *, name: str) -> Frame:
    """The frame header in a segment.

    Raises:
        CorruptImage: if it contradicts itself.
    """
    body = data[segment.start : segment.end]
    fixed = 6
    if len(body) < fixed:
        raise CorruptImage(f"{name}: the frame header at byte {segment.offset} has only {len(body)} bytes")
    precision, height, width, count = struct.unpack_from(">BHHB", body)
    if len(body) < fixed + 3 * count or not 1 <= count <= _MAX_COMPONENTS or not width:
        raise CorruptImage(
            f"{name}: the frame header at byte {segment.offset} declares {count} components, width {width}"
        )
    if not height:
        raise CorruptImage(f"{name}: the frame header at byte {segment.offset} leaves the height open (DNL)")
    components = tuple(
        Component(body[at], body[at + 1] & 15, body[at + 1] >> 4) for at in range(fixed, fixed + 3 * count, 3)
    )
    if any(not (1 <= c.vertical <= _MAX_SAMPLING and 1 <= c.horizontal <= _MAX_SAMPLING) for c in components):
        raise CorruptImage(f"{name}: illegal sampling factors in the frame header at byte {segment.offset}")
    return Frame(segment.marker - Marker.SOF0, precision, height, width, components, segment.offset)


def restart_interval(data: bytes, segment: Segment) -> int:
    """MCUs between restart markers by a DRI segment (T.81 B.2.4.4); 0 switches them off."""
    return int.from_bytes(data[segment.start : segment.end][:2], "big")


def end_of_scan(data: bytes, start: int) -> int:
    """Offset of the marker that ends the entropy-coded data at ``start``, or -1 where the data ends first."""
    match = _END_OF_SCAN.search(data, start)
    return match.end() - 2 if match else -1


def restarts(data: bytes, start: int = 0, end: int | None = None) -> NDArray[np.int64]:
    """Offsets of the restart markers in entropy-coded data."""
    found = _RESTART.finditer(data, start, len(data) if end is None else end)
    return np.fromiter((match.start() for match in found), np.int64)


def natural_order(table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """A quantisation table's 64 steps as (vertical, horizontal frequency) (T.81 Figure A.6)."""
    places = sorted(
        ((y, x) for y in range(8) for x in range(8)),
        key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]),
    )
    natural = np.empty((8, 8), table.dtype)
    for step, place in zip(table, places, strict=True):
        natural[place] = step
    return natural


def quantisation_tables(jpeg: bytes) -> list[NDArray[np.uint16]]:
    """The quantisation tables of a JPEG by their number, each 64 steps in zigzag order (T.81 B.2.4.1).

    A number without a table has an empty array.

    Raises:
        CorruptImage: if a table is cut short.
    """
    tables: dict[int, NDArray[np.uint16]] = {}
    for segment in segments(jpeg, name="the JPEG"):
        if segment.marker != Marker.DQT:
            continue
        at = segment.start
        while at < segment.end:
            wide, number = jpeg[at] >> 4, jpeg[at] & 15
            kind = np.dtype(">u2" if wide else "u1")
            if at + 1 + 64 * kind.itemsize > segment.end:
                raise CorruptImage(f"the JPEG's quantisation table at byte {at} is cut short")
            tables[number] = np.frombuffer(jpeg, kind, 64, at + 1).astype(np.uint16)
            at += 1 + 64 * kind.itemsize
    empty = np.empty(0, np.uint16)
    return [tables.get(number, empty) for number in range(max(tables, default=-1) + 1)]
