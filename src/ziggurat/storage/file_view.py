"""A source seen as a seekable file, for libraries that read headers through one."""

import io
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from urllib.parse import unquote, urlsplit

from ziggurat.errors import LimitExceeded
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

BLOCK = 1 << 16
"""Bytes fetched at a time: header values lie close together, and a remote request costs as much as these."""

BLOCKS = 64
"""Blocks kept, the most recently used ones: 4 MiB."""

LONGEST = 1 << 26
"""Bytes that a single read may ask for: 64 MiB. Pixels are not read this way, and header values are shorter."""

TOTAL = 1 << 30
"""Bytes that all reads together may ask for: 1 GiB. Headers that need more are made to exhaust time."""


class FileView(io.RawIOBase):
    """Read-only binary file over a source. Not safe to use from several threads.

    Any position may be sought; reading at or behind the end gives ``b""``. The view does not own the source:
    closing the view leaves it open.

    Args:
        source: the bytes.
        block: bytes fetched at a time.
        blocks: blocks kept.
        longest: bytes that one read may return.
        total: bytes that all reads may return.
    """

    def __init__(
        self,
        source: ByteSource,
        *,
        block: int = BLOCK,
        blocks: int = BLOCKS,
        longest: int = LONGEST,
        total: int = TOTAL,
    ) -> None:
        super().__init__()
        self._source = source
        self._block = block
        self._blocks = blocks
        self._longest = longest
        self._left = total
        self._position = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    @property
    def name(self) -> str:
        """Last part of the source's path, where a library looks for a suffix."""
        return unquote(urlsplit(self._source.url).path).rpartition("/")[2]

    @property
    def mode(self) -> str:
        """Always "rb"."""
        return "rb"

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """The position, in bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Moves to a position, which may lie behind the end.

        Raises:
            ValueError: if it lies before the start, as for every Python file.
        """
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise ValueError(f"{self._source.url}: position {base + offset} lies before the start")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """At most ``size`` bytes from the position on, fewer only at the end; None or negative: all the rest.

        Raises:
            LimitExceeded: if that is more than one read, or all reads together, may return.
        """
        if self.closed:
            raise ValueError(f"{self._source.url}: read of a closed file")
        left = max(0, self._source.size - self._position)
        length = left if size is None or size < 0 else min(size, left)
        if length > min(self._longest, self._left):
            raise LimitExceeded(
                f"{self._source.url}: reading {length} header bytes at offset {self._position} exceeds the "
                f"limit of {min(self._longest, self._left)}; the file is damaged or made to exhaust memory"
            )
        self._left -= length
        if not length:
            return b""
        start, end = self._position, self._position + length
        if length > self._block * self._blocks // 2:
            # Through the cache this would evict everything else.
            data = self._source.read_ranges([ByteRange(start, end)])[0]
        else:
            first = start // self._block
            data = b"".join(self._fetch(range(first, -(-end // self._block))))
            data = data[start - first * self._block : end - first * self._block]
        self._position = end
        return data

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # narrower than Buffer
        """Fills a buffer from the position on and returns the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def prefetch(self, ranges: Iterable[ByteRange]) -> bool:
        """Fetches what is not kept of these ranges in one batch, so that reading them asks the source no more.

        What lies behind the end is left out, and so is what would be more than the view keeps.

        Returns:
            Whether the source was asked for anything.
        """
        numbers: dict[int, None] = {}
        for item in ranges:
            end = min(item.end, self._source.size)
            for number in range(item.start // self._block, -(-end // self._block)):
                if len(numbers) == self._blocks:
                    break
                numbers[number] = None
        missing = any(number not in self._kept for number in numbers)
        self._fetch(list(numbers))
        return missing

    def close(self) -> None:
        """Forgets what is kept; the source stays open."""
        self._kept.clear()
        super().close()

    def _fetch(self, numbers: Sequence[int]) -> list[bytes]:
        """The blocks of these numbers; those not kept come in one batch."""
        missing = [number for number in numbers if number not in self._kept]
        ranges = [
            ByteRange(number * self._block, min((number + 1) * self._block, self._source.size)) for number in missing
        ]
        fetched = dict(zip(missing, self._source.read_ranges(ranges), strict=True)) if missing else {}
        result = [fetched[number] if number in fetched else self._kept[number] for number in numbers]
        for number, data in zip(numbers, result, strict=True):
            self._kept[number] = data
            self._kept.move_to_end(number)
        while len(self._kept) > self._blocks:
            self._kept.popitem(last=False)
        return result
