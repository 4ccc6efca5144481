"""A TIFF as its parser sees it: a file in which long tables of places are short."""

from bisect import bisect_right, insort
from collections.abc import Sequence

from ziggurat.storage.file_view import FileView
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

MAX_KEPT = 1 << 25
"""Bytes of directories and values that are kept: 32 MiB, where an honest file has some kilobytes."""

BLOCKS = 128
"""Blocks that a view of headers keeps: 8 MiB, for directories and values that lie all over the file."""


class HeaderView(FileView):
    """A view that answers from what the first walk over the directories kept, before it asks the source.

    What is kept need not be what the source holds: the walk shortens the tables of strips and tiles, so that a
    parser never makes lists of millions of numbers.

    Args:
        source: the bytes.
    """

    def __init__(self, source: ByteSource) -> None:
        super().__init__(source, blocks=BLOCKS)
        self._starts: list[int] = []
        self._pieces: dict[int, bytes] = {}
        self._room = MAX_KEPT

    def keep(self, start: int, data: bytes) -> None:
        """Answers reads that lie inside these bytes with them; nothing is kept twice, or beyond the limit."""
        if start not in self._pieces and len(data) <= self._room:
            self._room -= len(data)
            self._pieces[start] = data
            insort(self._starts, start)

    def read(self, size: int | None = -1, /) -> bytes:
        """At most ``size`` bytes from the position on, as for every file.

        Raises:
            LimitExceeded: if that is more than one read, or all reads together, may return.
        """
        data = None if size is None or size < 0 or self.closed else self._known(self.tell(), size)
        if data is None:
            return super().read(size)
        self.seek(self.tell() + len(data))
        return data

    def read_many(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The bytes of all ranges; those that are not kept come in one batch."""
        known = [self._known(item.start, item.length) for item in ranges]
        missing = [item for item, data in zip(ranges, known, strict=True) if data is None]
        fetched = iter(self._source.read_ranges(missing) if missing else ())
        return [next(fetched) if data is None else data for data in known]

    def close(self) -> None:
        """Forgets what is kept; the source stays open."""
        self._starts.clear()
        self._pieces.clear()
        super().close()

    def _known(self, start: int, length: int) -> bytes | None:
        index = bisect_right(self._starts, start) - 1
        if index < 0:
            return None
        first = self._starts[index]
        data = self._pieces[first]
        return data[start - first : start - first + length] if start + length <= first + len(data) else None
