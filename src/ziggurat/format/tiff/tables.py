"""The tables of a directory that say where its strips or tiles lie, read as arrays and not as lists of numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFrame, TiffPage

from ziggurat.errors import CorruptImage
from ziggurat.format.tiff.layout import SIZES
from ziggurat.format.tiff.tags import COUNTS, OFFSETS
from ziggurat.format.tiff.view import HeaderView
from ziggurat.storage.file_view import FileView
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

type Numbers = Sequence[int] | NDArray[np.unsignedinteger] | StoredTable

EAGER = 1 << 22
"""Bytes of tables that are read on opening: 4 MiB, tens of gigapixels in usual tiles. Longer ones are read in parts."""

LOOKED_AT = 1 << 12
"""Entries of a table that is read in parts in which a stored segment is looked for."""

HUGE = 1 << 61
"""What stands for all larger numbers."""

TYPES: Mapping[int, str] = MappingProxyType({3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"})
"""Field types that places and lengths have: SHORT, LONG, IFD, LONG8, IFD8."""

SHOWN = 16
"""Entries of a table that the parser sees: enough to be stored outside the entry, whatever its type."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that lies outside its directory.

    Attributes:
        at: where it lies.
        kind: field type of its entries.
        length: number of entries.
    """

    at: int
    kind: int
    length: int

    @property
    def bytes(self) -> ByteRange:
        """Where it lies, whole."""
        return ByteRange(self.at, self.at + self.length * SIZES[self.kind])


class PartsView:
    """Numbers of tables that stay in the file, by blocks that are kept. Safe to use from several threads.

    Args:
        source: the file.
    """

    def __init__(self, source: ByteSource) -> None:
        self._view = FileView(source, block=1 << 14, blocks=256, total=1 << 62)
        self._lock = Lock()

    def prefetch(self, ranges: Iterable[ByteRange]) -> None:
        """Fetches what is not kept of these ranges, in one batch."""
        with self._lock:
            self._view.prefetch(ranges)

    def read(self, at: int, length: int) -> bytes:
        """Some bytes."""
        with self._lock:
            self._view.seek(at)
            return self._view.read(length)


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table that stays in the file, seen as a sequence of numbers.

    Attributes:
        table: where it lies.
        order: "<" or ">".
        parts: what reads it.
    """

    table: Table
    order: str
    parts: PartsView

    def __len__(self) -> int:
        return self.table.length

    def __getitem__(self, index: int) -> int:
        size = SIZES[self.table.kind]
        data = self.parts.read(self.table.at + index * size, size)
        return int.from_bytes(data, "little" if self.order == "<" else "big")

    def part(self, indexes: range) -> NDArray[np.unsignedinteger]:
        """Some of its entries, all of which it must have."""
        place = self.bytes(indexes)
        return np.frombuffer(self.parts.read(place.start, place.length), self.order + TYPES[self.table.kind])

    def bytes(self, indexes: range) -> ByteRange:
        """Where some of its entries lie, as far as it has them."""
        size, at = SIZES[self.table.kind], self.table.at
        return ByteRange(at + min(indexes.start, len(self)) * size, at + min(indexes.stop, len(self)) * size)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the segments of a directory lie.

    Attributes:
        offsets: of each segment in the file.
        counts: bytes of each; 0 marks one that is not stored.
    """

    offsets: Numbers
    counts: Numbers

    def __len__(self) -> int:
        return min(len(self.offsets), len(self.counts))

    def __getitem__(self, index: int) -> tuple[int, int]:
        """Offset and length of a segment."""
        return int(self.offsets[index]), int(self.counts[index])

    @property
    def stored(self) -> bool:
        """Whether the lengths stay in the file."""
        return isinstance(self.counts, StoredTable)

    @property
    def longest(self) -> int | None:
        """Bytes of the longest segment; None where the table was not read whole."""
        if isinstance(self.counts, StoredTable):
            return None
        return max(0, int(np.max(self.counts))) if len(self.counts) else 0

    def part(self, indexes: range) -> NDArray[np.int64]:
        """Offsets and lengths of segments that follow each other, all of which there must be: two rows.

        Numbers of more than 61 bits come as 2^61: no file is as long, and sums do not overflow.
        """
        found = np.empty((2, len(indexes)), np.int64)
        for row, table in zip(found, (self.offsets, self.counts), strict=True):
            if isinstance(table, StoredTable):
                row[:] = np.minimum(table.part(indexes), np.uint64(HUGE))
            elif isinstance(table, np.ndarray):
                row[:] = np.minimum(table[indexes.start : indexes.stop], np.uint64(HUGE))
            else:
                row[:] = [max(-1, min(number, HUGE)) for number in table[indexes.start : indexes.stop]]
        return found

    def gap(self, most: int) -> int:
        """Bytes between neighbours in the table, at most so many; ``most`` where they do not follow each other."""
        if not isinstance(self.offsets, np.ndarray) or not isinstance(self.counts, np.ndarray) or len(self) < 2:  # noqa: PLR2004 - a pair
            return most
        starts, counts = self.part(range(len(self)))
        gaps = starts[1:] - starts[:-1] - counts[:-1]
        return most if gaps.min() < 0 else min(most, int(gaps.max()))

    def prefetch(self, runs: Iterable[range]) -> None:
        """Brings the entries of these segments, in one batch, where they stay in the file."""
        tables = [item for item in (self.offsets, self.counts) if isinstance(item, StoredTable)]
        if tables:
            tables[0].parts.prefetch(table.bytes(run) for run in runs for table in tables)

    def first_stored(self) -> tuple[int, int] | None:
        """Offset and length of the first segment that is stored, or None."""
        if isinstance(self.offsets, np.ndarray) and isinstance(self.counts, np.ndarray):
            length = len(self)
            stored = np.flatnonzero((self.offsets[:length] > 0) & (self.counts[:length] > 0))
            return self[int(stored[0])] if len(stored) else None
        for index in range(min(len(self), LOOKED_AT)):
            if min(place := self[index]) > 0:
                return place
        return None


def read_places(
    view: HeaderView,
    source: ByteSource,
    pages: Iterable[TiffPage | TiffFrame],
    tables: Mapping[int, Mapping[int, Table | None]],
    order: str,
) -> list[Places]:
    """Where the segments of these pages lie; tables that are not at hand come in one batch, if they are not too long.

    Args:
        view: the file's header.
        source: the file.
        pages: the directories, as parsed.
        tables: by a directory's offset, its segment tags with their tables, None for short ones.
        order: "<" or ">".

    Raises:
        CorruptImage: if a table does not hold numbers.
    """
    pairs = [
        (_chosen(page, tables, OFFSETS) or page.dataoffsets, _chosen(page, tables, COUNTS) or page.databytecounts)
        for page in pages
    ]
    parts, wanted, room = PartsView(source), list[Table](), EAGER
    for item in dict.fromkeys(item for pair in pairs for item in pair if isinstance(item, Table)):
        if item.bytes.length <= room:
            wanted.append(item)
            room -= item.bytes.length
    data = dict(zip(wanted, view.read_many([item.bytes for item in wanted]), strict=True))

    def numbers(item: Table | Sequence[int]) -> Numbers:
        if isinstance(item, Table):
            if item in data:
                return np.frombuffer(data[item], order + TYPES[item.kind])
            return StoredTable(item, order, parts)
        if not isinstance(item, tuple) or not all(isinstance(number, int) for number in item):
            raise CorruptImage(f"{source.url}: the offsets or byte counts of a directory are no whole numbers")
        return item

    return [Places(numbers(offsets), numbers(counts)) for offsets, counts in pairs]


def _chosen(
    page: TiffPage | TiffFrame, tables: Mapping[int, Mapping[int, Table | None]], codes: tuple[int, ...]
) -> Table | None:
    """The table that was shortened for the parser, where it is the one the parser took."""
    found = tables.get(page.offset, {})
    return next((found[code] for code in codes if code in found), None)
