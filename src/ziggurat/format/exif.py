r"""EXIF blocks: TIFF structures of tags, read defensively and built anew.

A block is what follows "Exif\0\0" in a JPEG: a TIFF header (TIFF 6.0 section 2) and image file directories.
Cameras and editors write them carelessly, so nothing here raises on a bad block: what cannot be read is left out.
"""

import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from ziggurat.errors import UsageError
from ziggurat.model import Resolution

type ExifValue = str | int | tuple[int, int] | bytes
"""What ``build_exif`` writes: ASCII, SHORT or LONG by its size, RATIONAL, UNDEFINED."""

type ExifEntry = str | bytes | int | tuple[int, int] | tuple[int | tuple[int, int], ...]
"""What ``read_exif`` returns: as above; several numbers or rationals of one tag as a tuple of them."""

MAX_ENTRIES = 1000
"""Directory entries looked at; EXIF 3.0 defines under 200 tags."""

MAX_VALUE = 1 << 16
"""Bytes of a value that is read; larger ones (maker notes, thumbnails) are of no use here."""


class Tag(IntEnum):
    """Tags that are understood here (TIFF 6.0, EXIF 3.0)."""

    ORIENTATION = 274
    X_RESOLUTION = 282
    Y_RESOLUTION = 283
    RESOLUTION_UNIT = 296
    EXIF_IFD = 34665


class _Type(IntEnum):
    """Field types, TIFF 6.0 section 2."""

    BYTE = 1
    ASCII = 2
    SHORT = 3
    LONG = 4
    RATIONAL = 5
    SBYTE = 6
    UNDEFINED = 7
    SSHORT = 8
    SLONG = 9
    SRATIONAL = 10


_LAYOUT: Mapping[int, str] = MappingProxyType(
    {
        _Type.BYTE: "B",
        _Type.ASCII: "s",
        _Type.SHORT: "H",
        _Type.LONG: "I",
        _Type.RATIONAL: "II",
        _Type.SBYTE: "b",
        _Type.UNDEFINED: "s",
        _Type.SSHORT: "h",
        _Type.SLONG: "i",
        _Type.SRATIONAL: "ii",
    }
)
"""How one value of a type is packed."""

_HEADERS: Mapping[bytes, str] = MappingProxyType({b"II*\0": "<", b"MM\0*": ">"})
"""Byte order by the first four bytes."""

_METRES_PER_UNIT: Mapping[int, float] = MappingProxyType({2: 0.0254, 3: 0.01})
"""ResolutionUnit: inch, centimetre. 1 means a ratio without unit."""

_LONGEST_INLINE = 4
"""Bytes of a value that stand in the entry itself."""

_MAX_SHORT = 0xFFFF
_MAX_LONG = 0xFFFF_FFFF
_ORIENTATIONS = range(1, 9)


class _Entry(NamedTuple):
    """One directory entry: where its value lies, and how it is laid out."""

    tag: int
    kind: int
    number: int
    offset: int


def build_exif(tags: Mapping[int, ExifValue], exif_ifd: Mapping[int, ExifValue] = MappingProxyType({})) -> bytes:
    """A little-endian TIFF structure that holds these tags.

    Args:
        tags: of IFD0, in any order.
        exif_ifd: of the Exif IFD, which is left out when empty.

    Raises:
        UsageError: if a value fits no field type: a negative or too large number, text that is not ASCII.
    """
    start = 8
    if not exif_ifd:
        return b"II*\0" + struct.pack("<I", start) + _directory(tags, start)
    # The pointer's value does not change the length, so that one trial gives the place behind IFD0.
    length = len(_directory({**tags, Tag.EXIF_IFD: _MAX_LONG}, start))
    first = _directory({**tags, Tag.EXIF_IFD: start + length}, start, long_tags=frozenset({Tag.EXIF_IFD}))
    return b"II*\0" + struct.pack("<I", start) + first + _directory(exif_ifd, start + length)


def _directory(tags: Mapping[int, ExifValue], offset: int, *, long_tags: frozenset[int] = frozenset()) -> bytes:
    """A directory and the values behind it, when it lies at ``offset``; always of even length."""
    entries = struct.pack("<H", len(tags))
    behind = offset + 2 + 12 * len(tags) + 4
    values = b""
    for tag in sorted(tags):
        kind, count, value = _encode(tag, tags[tag])
        if tag in long_tags and kind == _Type.SHORT:
            kind, value = _Type.LONG, value + b"\0\0"
        entries += struct.pack("<HHI", tag, kind, count)
        if len(value) <= _LONGEST_INLINE:
            entries += value.ljust(_LONGEST_INLINE, b"\0")
        else:
            entries += struct.pack("<I", behind + len(values))
            values += value + b"\0" * (len(value) % 2)
    return entries + bytes(4) + values


def _encode(tag: int, value: ExifValue) -> tuple[_Type, int, bytes]:
    """Field type, count and bytes of a value."""
    try:
        match value:
            case str():
                text = value.encode("ascii") + b"\0"
                return _Type.ASCII, len(text), text
            case bytes():
                return _Type.UNDEFINED, len(value), value
            case int():
                kind = _Type.SHORT if 0 <= value <= _MAX_SHORT else _Type.LONG
                return kind, 1, struct.pack(f"<{_LAYOUT[kind]}", value)
            case (numerator, denominator):
                return _Type.RATIONAL, 1, struct.pack("<II", numerator, denominator)
    except (UnicodeEncodeError, struct.error) as error:
        raise UsageError(f"the value {value!r} of EXIF tag {tag} cannot be written: {error}") from error


def read_exif(blob: bytes) -> Mapping[int, ExifEntry]:
    """The tags of IFD0 by number.

    Never raises: entries that lead outside the block, have an unknown type or hold more than ``MAX_VALUE``
    bytes are left out, and a block that is no TIFF structure has no tags. Of a repeated tag the first counts.
    """
    order = _HEADERS.get(blob[:4])
    tags: dict[int, ExifEntry] = {}
    if order is None:
        return tags
    for entry in _entries(blob, order):
        value = _decode(blob, order, entry)
        if value is not None:
            tags.setdefault(entry.tag, value)
    return tags


def _entries(blob: bytes, order: str) -> Iterator[_Entry]:
    """The entries of IFD0 whose values lie inside the block."""
    try:
        (start,) = struct.unpack_from(f"{order}I", blob, 4)
        (count,) = struct.unpack_from(f"{order}H", blob, start)
    except struct.error:
        return
    for at in range(start + 2, start + 2 + 12 * min(count, MAX_ENTRIES), 12):
        if at + 12 > len(blob):
            return
        tag, kind, number = struct.unpack_from(f"{order}HHI", blob, at)
        if kind not in _LAYOUT:
            continue
        length = struct.calcsize(f"<{_LAYOUT[kind]}") * number
        where = at + 8 if length <= _LONGEST_INLINE else struct.unpack_from(f"{order}I", blob, at + 8)[0]
        if length <= MAX_VALUE and where + length <= len(blob):
            yield _Entry(tag, kind, number, where)


def _decode(blob: bytes, order: str, entry: _Entry) -> ExifEntry | None:
    """The value of an entry, or None where it has none."""
    if entry.kind in {_Type.ASCII, _Type.UNDEFINED}:
        raw = blob[entry.offset : entry.offset + entry.number]
        return raw if entry.kind == _Type.UNDEFINED else raw.split(b"\0")[0].decode("utf-8", "replace")
    layout = _LAYOUT[entry.kind]
    numbers: tuple[int, ...] = struct.unpack_from(f"{order}{layout * entry.number}", blob, entry.offset)
    if len(layout) > 1:
        rationals = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        return rationals[0] if len(rationals) == 1 else rationals or None
    return numbers[0] if len(numbers) == 1 else numbers or None


def orientation(blob: bytes | None) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none or an illegal one."""
    value = read_exif(blob).get(Tag.ORIENTATION) if blob else None
    return value if isinstance(value, int) and value in _ORIENTATIONS else 1


def with_orientation(blob: bytes, value: int) -> bytes:
    """The block with the orientation in IFD0 replaced, and every other byte as it was.

    A block without the tag stays as it is: absent means 1.
    """
    order = _HEADERS.get(blob[:4])
    if order is None:
        return blob
    for entry in _entries(blob, order):
        if entry.tag == Tag.ORIENTATION and entry.number and entry.kind in {_Type.SHORT, _Type.LONG}:
            patched = bytearray(blob)
            struct.pack_into(f"{order}{_LAYOUT[entry.kind]}", patched, entry.offset, value)
            return bytes(patched)
    return blob


def resolution(blob: bytes | None) -> Resolution | None:
    """Pixels per metre, where both directions are given; their unit is the inch unless told otherwise."""
    tags = read_exif(blob) if blob else {}
    unit = tags.get(Tag.RESOLUTION_UNIT, 2)
    metres = _METRES_PER_UNIT.get(unit) if isinstance(unit, int) else None
    y, x = (_ratio(tags.get(tag)) for tag in (Tag.Y_RESOLUTION, Tag.X_RESOLUTION))
    if metres is None or y is None or x is None:
        return None
    return Resolution(y / metres, x / metres)


def _ratio(value: ExifEntry | None) -> float | None:
    """A positive rational as a number."""
    match value:
        case (int() as numerator, int() as denominator) if numerator > 0 and denominator > 0:
            return numerator / denominator
        case _:
            return None
