"""The tables of a directory that say where its strips or tiles lie, read as arrays and not as lists of numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFrame, TiffPage

from ziggurat.errors import CorruptImage
from ziggurat.format.tiff.layout import SIZES
from ziggurat.format.tiff.view import HeaderView
from ziggurat.storage.ranges import ByteRange

type Numbers = Sequence[int] | NDArray[np.unsignedinteger]

OFFSETS = (324, 273)
"""TileOffsets, StripOffsets: the first that is there counts."""

COUNTS = (325, 279)
"""TileByteCounts, StripByteCounts."""

SEGMENT_TAGS = frozenset(OFFSETS + COUNTS)

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
    def longest(self) -> int:
        """Bytes of the longest segment."""
        return max(0, int(np.max(self.counts))) if len(self.counts) else 0

    def first_stored(self) -> tuple[int, int] | None:
        """Offset and length of the first segment that is stored, or None."""
        for index in range(len(self)):
            if min(place := self[index]) > 0:
                return place
        return None


def read_places(
    view: HeaderView,
    pages: Iterable[TiffPage | TiffFrame],
    tables: Mapping[int, Mapping[int, Table | None]],
    order: str,
    where: str,
) -> list[Places]:
    """Where the segments of these pages lie; tables that are not at hand come in one batch.

    Args:
        view: the file.
        pages: the directories, as parsed.
        tables: by a directory's offset, its segment tags with their tables, None for short ones.
        order: "<" or ">".
        where: the file, for messages.

    Raises:
        CorruptImage: if a table does not hold numbers.
    """
    pairs = [
        (_chosen(page, tables, OFFSETS) or page.dataoffsets, _chosen(page, tables, COUNTS) or page.databytecounts)
        for page in pages
    ]
    wanted = list(dict.fromkeys(item for pair in pairs for item in pair if isinstance(item, Table)))
    data = dict(zip(wanted, view.read_many([item.bytes for item in wanted]), strict=True))

    def numbers(item: Table | Sequence[int]) -> Numbers:
        if isinstance(item, Table):
            return np.frombuffer(data[item], order + TYPES[item.kind])
        if not isinstance(item, tuple) or not all(isinstance(number, int) for number in item):
            raise CorruptImage(f"{where}: the offsets or byte counts of a directory are no whole numbers")
        return item

    return [Places(numbers(offsets), numbers(counts)) for offsets, counts in pairs]


def _chosen(
    page: TiffPage | TiffFrame, tables: Mapping[int, Mapping[int, Table | None]], codes: tuple[int, ...]
) -> Table | None:
    """The table that was shortened for the parser, where it is the one the parser took."""
    found = tables.get(page.offset, {})
    return next((found[code] for code in codes if code in found), None)
