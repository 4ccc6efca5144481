"""A first walk over a TIFF's directories, which bounds what a full parser will read and allocate.

TIFF 6.0 section 2; BigTIFF as libtiff defines it; NDPI's 64-bit offsets as in the NDPI notes of tifffile.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ziggurat.errors import CorruptImage
from ziggurat.storage.file_view import FileView

MAX_TAGS = 4096
"""Tags of one directory; real ones have fewer than a hundred."""

MAX_DIRECTORIES = 1 << 16
"""Directories that are counted; the rest of a longer file is not looked at."""

MAX_ENTRIES = 1 << 20
"""Tags of all directories: a million, for directories that overlap in a small file."""

MAX_VALUES = 1 << 23
"""Numbers in all tags that a parser loads at once (offsets, byte counts): at 40 bytes each, 320 MiB."""

MAX_TEXT = 1 << 26
"""Bytes in one tag: 64 MiB; the longest real ones are OME-XML and ICC profiles, far below."""

SUBIFDS = 330

SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes of one value, by field type."""

SEGMENT_TAGS = frozenset({273, 279, 324, 325})

NEEDED_TAGS = SEGMENT_TAGS | {
    256,
    257,
    258,
    259,
    262,
    277,
    278,
    284,
    317,
    320,
    322,
    323,
    330,
    338,
    339,
    347,
    530,
}
"""Tags without which the pixels cannot be found or understood."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Widths of the fields of a directory: classic, BigTIFF or NDPI."""

    order: str
    count: str
    entry: str
    pointer: str
    inline: int
    big: bool

    def size(self, code: str) -> int:
        """Bytes of a field."""
        return struct.calcsize(self.order + code)


@dataclass(slots=True)
class Survey:
    """What the walk found.

    Attributes:
        big: whether the file is a BigTIFF.
        order: "<" or ">".
        pages: directories in the main chain.
        directories: all directories, those of SubIFDs included.
        entries: tags in all of them.
        values: numbers in the tags that a parser loads at once.
        seen: offsets of the directories.
    """

    big: bool
    order: str
    pages: int = 0
    directories: int = 0
    entries: int = 0
    values: int = 0
    seen: set[int] = field(default_factory=set)


def survey(view: FileView, url: str) -> Survey:
    """Walks all directories and refuses what no honest file has.

    Raises:
        CorruptImage: if the header or a directory is damaged, directories form a loop, or a value that the
            pixels need lies outside the file.
    """
    size = view.seek(0, 2)
    view.seek(0)
    layout, offset = _layout(view.read(16), url, ndpi=view.name.lower().endswith(".ndpi"))
    found = Survey(layout.big, layout.order)
    if not offset:
        raise CorruptImage(f"{url}: the TIFF header points to no directory; the file holds no image")
    walk = _Walk(view, url, size, layout, found)
    while offset and found.directories < MAX_DIRECTORIES:
        children, offset = walk.directory(offset)
        found.pages += 1
        for child in children:
            walk.directory(child)
    return found


def _layout(head: bytes, url: str, *, ndpi: bool) -> tuple[Layout, int]:
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:  # noqa: PLR2004 - the classic header's length
        raise CorruptImage(f"{url}: {head[:8].hex(' ')} is no TIFF header")
    version = struct.unpack_from(order + "H", head, 2)[0]
    if version == 43:  # noqa: PLR2004 - BigTIFF's version
        if len(head) < 16 or struct.unpack_from(order + "HH", head, 4) != (8, 0):  # noqa: PLR2004 - as above
            raise CorruptImage(f"{url}: the BigTIFF header {head.hex(' ')} is damaged")
        return Layout(order, "Q", "HHQ8s", "Q", 8, big=True), struct.unpack_from(order + "Q", head, 8)[0]
    if version != 42:  # noqa: PLR2004 - TIFF's version
        raise CorruptImage(f"{url}: TIFF version {version} is neither 42 nor 43")
    if ndpi and order == "<" and len(head) >= 12:  # noqa: PLR2004 - a 64-bit offset ends there
        return Layout(order, "H", "HHI4s", "Q", 4, big=False), struct.unpack_from("<Q", head, 4)[0]
    return Layout(order, "H", "HHI4s", "I", 4, big=False), struct.unpack_from(order + "I", head, 4)[0]


class _Walk:
    """Reads directories one by one and keeps the sums in a survey."""

    def __init__(self, view: FileView, url: str, size: int, layout: Layout, found: Survey) -> None:
        self._view = view
        self._url = url
        self._size = size
        self._layout = layout
        self._found = found

    def directory(self, offset: int) -> tuple[list[int], int]:
        """Offsets of the SubIFDs of the directory at this offset, and of the next directory (0: none)."""
        layout, found = self._layout, self._found
        where = f"{self._url}: the TIFF directory at offset {offset}"
        if offset in found.seen:
            raise CorruptImage(f"{where} is referred to twice; the directories form a loop")
        found.seen.add(offset)
        found.directories += 1
        count = self._number(layout.count, offset, where)
        if not 0 < count <= MAX_TAGS:
            raise CorruptImage(f"{where} claims {count} tags")
        found.entries += count
        if found.entries > MAX_ENTRIES:
            raise CorruptImage(f"{where}: the file has more than {MAX_ENTRIES} tags")
        start = offset + layout.size(layout.count)
        entries = self._bytes(start, count * layout.size(layout.entry), where)
        children: list[int] = []
        for code, kind, values, inline in struct.iter_unpack(layout.order + layout.entry, entries):
            length = values * SIZES.get(kind, 1)
            if length <= layout.inline:
                at = None
            else:
                at = struct.unpack(layout.order + ("Q" if layout.big else "I"), inline)[0]
                self._check(code, values, length, at, where)
            if code == SUBIFDS and kind in {4, 13, 16, 18}:
                children = [*self._offsets(kind, values, inline, at, where)]
        return children, self._number(layout.pointer, start + len(entries), where)

    def _check(self, code: int, values: int, length: int, at: int, where: str) -> None:
        ndpi = self._layout.pointer == "Q" and not self._layout.big
        if at + length > self._size and not ndpi:
            if code in NEEDED_TAGS:
                raise CorruptImage(
                    f"{where}: tag {code} has {values} values at offset {at}, outside the file of "
                    f"{self._size} bytes; it is truncated or damaged"
                )
            return
        if length > MAX_TEXT and code not in SEGMENT_TAGS:
            raise CorruptImage(f"{where}: tag {code} is {length} bytes long, more than {MAX_TEXT}")
        self._found.values += values if code in NEEDED_TAGS else 0
        if self._found.values > MAX_VALUES:
            raise CorruptImage(f"{where}: the file lists more than {MAX_VALUES} strips and tiles")

    def _offsets(self, kind: int, values: int, inline: bytes, at: int | None, where: str) -> Iterator[int]:
        data = inline if at is None else self._bytes(at, values * SIZES[kind], where)
        code = "Q" if SIZES[kind] == 8 else "I"  # noqa: PLR2004 - bytes of a 64-bit offset
        if self._found.directories + values > MAX_DIRECTORIES:
            raise CorruptImage(f"{where} claims {values} SubIFDs")
        # 0 marks a level that was left out.
        return (child for child in struct.unpack_from(f"{self._layout.order}{values}{code}", data) if child)

    def _number(self, code: str, offset: int, where: str) -> int:
        data = self._bytes(offset, self._layout.size(code), where)
        value: int = struct.unpack(self._layout.order + code, data)[0]
        return value

    def _bytes(self, offset: int, length: int, where: str) -> bytes:
        if offset + length > self._size:
            raise CorruptImage(
                f"{where} needs bytes {offset} to {offset + length} of a file of {self._size}; "
                "it is truncated or damaged"
            )
        self._view.seek(offset)
        return self._view.read(length)
