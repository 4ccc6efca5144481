"""A source whose bytes are kept on this machine, block by block, for the next time and the next process."""

import logging
import time
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from ziggurat.errors import UsageError, WriteError
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.protocol import ByteSource, SourceVersion
from ziggurat.storage.ranges import ByteRange

BLOCK: Final = 1 << 16
"""Bytes of a block: 64 KiB. As many come with the first request to an object anyway, so that a header costs no
second one. Scattered tiles of 40 kB then fetch a third more than they need; blocks of 256 KiB fetch two and a half
times as much, and keep 100 MB in 0.6 s where these take 0.9 s."""

LARGEST: Final = 1 << 25
"""Bytes that one call may ask for and keep: 32 MiB. Whoever asks for more at once reads an image from one end to
the other, which making files would slow down, and would drive everything else out."""

SETTLED: Final = 60.0
"""Seconds after which the second of an object's last change tells its states apart (RFC 9110 8.8.2.2)."""

_CHECKSUM: Final = 4

_log = logging.getLogger(__name__)


class CachedSource:
    """A remote source, the blocks of which are kept in a cache. Safe to use from several threads.

    A block belongs to one version of one object. The other source learns the version of today when it is opened,
    so that blocks of an earlier one are never found, and sees for itself whether the object is replaced while
    it is read. An object whose version is not certain is read through, nothing of it kept.

    Args:
        source: where missing blocks come from; it is closed with this one.
        cache: where blocks are kept. One that cannot be written to is as good as none.
        identity: what tells the object from all others, as ``storage.resolve.identity`` has it.
    """

    def __init__(self, source: ByteSource, cache: FileCache, *, identity: str) -> None:
        self._source = source
        self._cache = cache
        self._key = f"block\0{identity}\0{source.version.tag}\0{source.size}\0{BLOCK}"
        self._largest = min(LARGEST, cache.limit // 8) if is_certain(source.version) else -1
        self._writable = True
        self._closed = False

    @property
    def inner(self) -> ByteSource:
        """The other source, for those who read everything once."""
        return self._source

    @property
    def url(self) -> str:
        """The other source's."""
        return self._source.url

    @property
    def size(self) -> int:
        """The other source's."""
        return self._source.size

    @property
    def version(self) -> SourceVersion:
        """The other source's."""
        return self._source.version

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The bytes of all ranges, in the order given; all blocks that are missing come in one batch.

        Raises:
            SourceChanged: if the object was replaced since it was opened, or a range leaves it.
            StoreUnavailable: if the store does not answer.
            UsageError: if the source is closed.
        """
        if self._closed:
            raise UsageError(f"{self.url} is closed; open it again to read from it")
        through = sum(item.length for item in ranges) > self._largest
        if through or any(item.end > self.size for item in ranges):  # the other one says what is wrong with these
            return self._source.read_ranges(ranges)
        numbers = {number for item in ranges for number in _numbers(item)}
        blocks = {number: data for number in numbers if (data := self._kept(number)) is not None}
        blocks |= self._fetched(sorted(numbers - blocks.keys()))
        return [_cut(item, blocks) for item in ranges]

    def _kept(self, number: int) -> memoryview | None:
        path = self._cache.get(self._name(number))
        if path is None:
            return None
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        data = memoryview(stored)[_CHECKSUM:]
        whole = len(data) == self._span(number).length and stored[:_CHECKSUM] == self._checksum(number, data)
        return data if whole else None

    def _fetched(self, missing: Sequence[int]) -> Mapping[int, memoryview]:
        """Blocks from the other source, kept for the next time; neighbours are asked for as one range."""
        if not missing:
            return {}
        breaks = [at for at, (a, b) in enumerate(pairwise(missing), 1) if b > a + 1]
        runs = [missing[a:b] for a, b in pairwise([0, *breaks, len(missing)])]
        spans = [ByteRange(run[0] * BLOCK, self._span(run[-1]).end) for run in runs]
        blocks: dict[int, memoryview] = {}
        for run, data in zip(runs, self._source.read_ranges(spans), strict=True):
            for place, number in enumerate(run):
                blocks[number] = memoryview(data)[place * BLOCK : (place + 1) * BLOCK]
                self._keep(number, blocks[number])
        return blocks

    def _keep(self, number: int, data: memoryview) -> None:
        def write(path: Path) -> None:
            path.write_bytes(b"".join((self._checksum(number, data), data)))

        if self._writable:
            try:
                self._cache.put(self._name(number), write)
            except WriteError as error:
                self._writable = False
                _log.warning("nothing more of %s is kept for the next time: %s", self.url, error)

    def _name(self, number: int) -> str:
        return f"{self._key}\0{number}"

    def _span(self, number: int) -> ByteRange:
        return ByteRange(number * BLOCK, min((number + 1) * BLOCK, self.size))

    def _checksum(self, number: int, data: memoryview) -> bytes:
        """CRC-32 of the block's name and bytes: another block in its place is noticed, too."""
        return zlib.crc32(data, zlib.crc32(self._name(number).encode())).to_bytes(_CHECKSUM)

    def close(self) -> None:
        """Closes the other source."""
        self._closed = True
        self._source.close()


def is_certain(version: SourceVersion) -> bool:
    """Whether equal versions mean equal bytes: not for weak ETags, nor for a second that has hardly passed."""
    if version.tag.startswith("modified:"):
        return time.time() - int(version.tag.removeprefix("modified:")) > SETTLED
    return not version.tag.startswith("W/")


def _numbers(item: ByteRange) -> range:
    return range(item.start // BLOCK, -(-item.end // BLOCK)) if item.length else range(0)


def _cut(item: ByteRange, blocks: Mapping[int, memoryview]) -> bytes:
    """A range's bytes from the blocks that cover it."""
    parts = []
    for number in _numbers(item):
        base = number * BLOCK
        parts.append(blocks[number][max(0, item.start - base) : item.end - base])
    return b"".join(parts)
