"""A first walk over a TIFF's directories: in few batches, and within what an honest file needs.

It bounds what a full parser will read and allocate, and leaves with the view all that the parser will ask for.
"""

import struct
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ziggurat.errors import CorruptImage
from ziggurat.format.tiff.ahead import Ahead
from ziggurat.format.tiff.layout import SIZES, Layout, parse_header
from ziggurat.format.tiff.tables import SHOWN, TYPES, Table
from ziggurat.format.tiff.tags import EXIF, MCU_STARTS, NEEDED_TAGS, SEGMENT_TAGS, STRIP_OFFSETS, SUBIFDS, TOLD_TAGS
from ziggurat.format.tiff.view import HeaderView
from ziggurat.storage.ranges import ByteRange

MAX_TAGS = 4096
"""Tags of one directory; real ones have fewer than a hundred."""

MAX_DIRECTORIES = 1 << 16
"""Directories that are counted; the rest of a longer file is not looked at."""

MAX_SERIES_PAGES = 1024
"""Directories above which a file is a stack, not a pyramid: only its first page is looked at, the rest is counted."""

MAX_REQUESTS = 256
"""Requests that counting the rest may take."""

MAX_ENTRIES = 1 << 18
"""Tags of all directories that are looked at: 256 in each of them, for directories that overlap in a small file."""

MAX_VALUES = 1 << 23
"""Numbers in all tags that the pixels need and a parser loads at once: at 40 bytes each, 320 MiB."""

MAX_TEXT = 1 << 26
"""Bytes in one tag: 64 MiB; the longest real ones are OME-XML and ICC profiles, far below."""

MAX_TABLE = 1 << 20
"""Bytes of a table that comes with its directory, before it is known whether it will be needed: 1 MiB."""

MAX_TABLES = 1 << 22
"""Bytes of all such tables: 4 MiB."""

MAX_VALUE = 1 << 18
"""Bytes of any other value that comes with its directory: 256 KiB; a longer one is one request more."""

MAX_VALUES_KEPT = 1 << 23
"""Bytes of all such values: 8 MiB."""

ROUND = 16
"""Directories that one batch brings, where so many are known: SubIFDs."""


@dataclass(slots=True)
class Survey:
    """What the walk found.

    Attributes:
        big: whether the file is a BigTIFF.
        order: "<" or ">".
        pages: directories in the main chain.
        directories: all directories, those of SubIFDs included.
        entries: tags in those that are looked at.
        values: numbers in the tags that a parser loads at once.
        complete: whether these are all.
        tables: by a directory's offset: its segment tags, with the tables that the parser sees shortened.
    """

    big: bool
    order: str
    pages: int = 0
    directories: int = 0
    entries: int = 0
    values: int = 0
    complete: bool = True
    tables: dict[int, Mapping[int, Table | None]] = field(default_factory=dict)


def survey(view: HeaderView, url: str) -> Survey:
    """Walks all directories and refuses what no honest file has.

    Raises:
        CorruptImage: if the header or a directory is damaged, directories form a loop, or a value that the
            pixels need lies outside the file.
    """
    size = view.seek(0, 2)
    view.seek(0)
    layout, offset = parse_header(view.read(16), url, ndpi=view.name.lower().endswith(".ndpi"))
    if not offset:
        raise CorruptImage(f"{url}: the TIFF header points to no directory; the file holds no image")
    walk = _Walk(view, url, size, layout)
    walk.run(offset)
    return walk.found


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry whose values lie outside it, or that points to more."""

    code: int
    kind: int
    values: int
    at: int | None
    inline: bytes

    @property
    def length(self) -> int:
        return self.values * SIZES.get(self.kind, 1)


class _Walk:
    """Reads directories, a batch at a time, and keeps the sums in a survey."""

    def __init__(self, view: HeaderView, url: str, size: int, layout: Layout) -> None:
        self._view = view
        self._url = url
        self._size = size
        self._layout = layout
        self.found = Survey(layout.big, layout.order)
        self._ahead = Ahead(size)
        self._seen: set[int] = set()
        self._main: deque[int] = deque()
        self._children: deque[int] = deque()
        self._wanted: list[ByteRange] = []
        self._lists: list[tuple[_Entry, str]] = []
        self._tables = MAX_TABLES
        self._values = MAX_VALUES_KEPT
        self._patience = MAX_REQUESTS

    def run(self, first: int) -> None:
        """Follows the main chain and all SubIFDs; in every round, all that is known to be needed comes at once."""
        self._main.append(first)
        while self._main or self._children or self._wanted or self._lists:
            batch = [(offset, True) for offset in self._main]
            self._main.clear()
            batch += [(self._children.popleft(), False) for _ in range(min(ROUND, len(self._children)))]
            wanted, self._wanted = self._wanted, []
            lists, self._lists = self._lists, []
            asked = self._view.prefetch([*self._ahead.ranges(batch), *wanted])
            self._patience -= asked and self.found.directories > MAX_SERIES_PAGES
            if self._patience <= 0 or self.found.directories >= MAX_DIRECTORIES:
                self.found.complete = False
                return
            for item in wanted:
                self._view.keep(item.start, self._bytes(item.start, item.length, self._url))
            for entry, where in lists:
                self._children.extend(self._offsets(entry, where))
            for offset, main in batch:
                self._directory(offset, main=main)

    def _directory(self, offset: int, *, main: bool) -> None:
        layout, found = self._layout, self.found
        where = f"{self._url}: the TIFF directory at offset {offset}"
        if offset in self._seen:
            raise CorruptImage(f"{where} is referred to twice; the directories form a loop")
        self._seen.add(offset)
        found.directories += 1
        found.pages += main
        count = layout.number(layout.count, self._bytes(offset, layout.size(layout.count), where))
        if not 0 < count <= MAX_TAGS:
            raise CorruptImage(f"{where} claims {count} tags")
        head, entry = layout.size(layout.count), layout.size(layout.entry)
        last = offset + head + count * entry
        if found.directories <= MAX_SERIES_PAGES:
            self._entries(offset, count, where)
        if main and (following := layout.number(layout.pointer, self._bytes(last, layout.size(layout.pointer), where))):
            self._main.append(following)

    def _entries(self, offset: int, count: int, where: str) -> None:
        """Reads a directory whole, and keeps it for the parser as the parser shall see it."""
        layout = self._layout
        self.found.entries += count
        if self.found.entries > MAX_ENTRIES:
            raise CorruptImage(f"{where}: the file has more than {MAX_ENTRIES} tags")
        head, entry = layout.size(layout.count), layout.size(layout.entry)
        end = head + count * entry + layout.size(layout.pointer)
        data = bytearray(self._bytes(offset, end, where))
        # NDPI puts the high halves of all values behind the directory.
        data += self._bytes(offset + end, min(4 * count, self._size - offset - end) if layout.ndpi else 0, where)
        tables: dict[int, Table | None] = {}
        for number in range(count):
            self._entry(data, (head + number * entry, end + 4 * number), tables, where)
        self.found.tables[offset] = tables
        self._view.keep(offset, bytes(data))

    def _entry(self, data: bytearray, places: tuple[int, int], tables: dict[int, Table | None], where: str) -> None:
        """Checks an entry, notes what is to be fetched for it, and shortens its table."""
        layout, (at, high) = self._layout, places
        code, kind, values, inline = struct.unpack_from(layout.order + layout.entry, data, at)
        outside = values * SIZES.get(kind, 1) > layout.inline
        place = layout.place(inline) | (int.from_bytes(data[high : high + 4], "little") << 32 if layout.ndpi else 0)
        entry = _Entry(code, kind, values, place if outside else None, inline)
        first = code not in tables  # the parser takes the first of several
        if code in SEGMENT_TAGS:
            tables.setdefault(code, None)
        if entry.at is not None and not self._check(entry, entry.at, where):
            return
        if code == EXIF and kind == 4 and values == 1:  # noqa: PLR2004 - LONG
            self._ahead.aside(layout.number("I", inline[:4]))
        if code == STRIP_OFFSETS and layout.ndpi and not outside:
            self._ahead.aside(place)  # the JPEG header, which says how long its parts are
        if code == SUBIFDS and kind in {4, 13, 16, 18}:
            self._subifds(entry, where)
        if entry.at is None:
            return
        if code in SEGMENT_TAGS and kind in TYPES and values > SHOWN and not layout.ndpi:
            if first:
                tables[code] = Table(entry.at, kind, values)
            struct.pack_into(layout.order + ("Q" if layout.big else "I"), data, at + 4, SHOWN)
            whole = entry.length <= min(MAX_TABLE, self._tables)
            self._tables -= entry.length if whole else 0
            self._want(entry.at, entry.length if whole else SHOWN * SIZES[kind])
        elif code in MCU_STARTS | NEEDED_TAGS | TOLD_TAGS and entry.length <= min(
            MAX_TABLE if code in MCU_STARTS else MAX_VALUE, self._values
        ):
            self._values -= entry.length
            self._want(entry.at, entry.length)

    def _want(self, at: int, length: int) -> None:
        if at + length <= self._size:
            self._wanted.append(ByteRange(at, at + length))

    def _check(self, entry: _Entry, at: int, where: str) -> bool:
        """Whether the values lie inside the file.

        Raises:
            CorruptImage: if they do not and are needed, or there are too many.
        """
        if at + entry.length > self._size and not self._layout.ndpi:
            if entry.code in NEEDED_TAGS:
                raise CorruptImage(
                    f"{where}: tag {entry.code} has {entry.values} values at offset {at}, outside the file of "
                    f"{self._size} bytes; it is truncated or damaged"
                )
            return False
        if entry.length > MAX_TEXT and entry.code not in SEGMENT_TAGS:
            raise CorruptImage(f"{where}: tag {entry.code} is {entry.length} bytes long, more than {MAX_TEXT}")
        shortened = entry.code in SEGMENT_TAGS and entry.kind in TYPES and not self._layout.ndpi
        self.found.values += entry.values if entry.code in NEEDED_TAGS and not shortened else 0
        if self.found.values > MAX_VALUES:
            raise CorruptImage(f"{where}: the file has more than {MAX_VALUES} numbers in its header")
        return True

    def _subifds(self, entry: _Entry, where: str) -> None:
        if self.found.directories + len(self._children) + entry.values > MAX_DIRECTORIES:
            raise CorruptImage(f"{where} claims {entry.values} SubIFDs")
        if entry.at is None:
            self._children.extend(self._offsets(entry, where))
        else:
            self._lists.append((entry, where))
            self._want(entry.at, entry.length)

    def _offsets(self, entry: _Entry, where: str) -> Iterator[int]:
        data = entry.inline if entry.at is None else self._bytes(entry.at, entry.length, where)
        code = "Q" if SIZES[entry.kind] == 8 else "I"  # noqa: PLR2004 - bytes of a 64-bit offset
        # 0 marks a level that was left out.
        return (child for child in struct.unpack_from(f"{self._layout.order}{entry.values}{code}", data) if child)

    def _bytes(self, offset: int, length: int, where: str) -> bytes:
        if offset + length > self._size:
            raise CorruptImage(
                f"{where} needs bytes {offset} to {offset + length} of a file of {self._size}; "
                "it is truncated or damaged"
            )
        self._view.seek(offset)
        return self._view.read(length)
