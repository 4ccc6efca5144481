"""A source whose bytes are kept on this machine, block by block, for the next time and the next process."""

import logging
import os
import struct
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby, pairwise
from typing import Final

from ziggurat.errors import UsageError, WriteError
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.protocol import ByteSource, SourceVersion
from ziggurat.storage.ranges import ByteRange

BLOCK: Final = 1 << 14
"""Bytes of a block: 16 KiB. Scattered rows of 100 kB then fetch a sixth more than they need."""

REGION: Final = 1 << 12
"""Blocks that share a file, with holes where they are not known: 64 MiB. A window costs few files, and what is evicted
is not all of an object."""

LARGEST: Final = 1 << 25
"""Bytes that one call may ask for and keep: 32 MiB. Whoever asks for more at once reads an image from one end to
the other, and would drive everything else out."""

SETTLED: Final = 60.0
"""Seconds after which the second of an object's last change tells its states apart (RFC 9110 8.8.2.2)."""

_ENTRY: Final = 4
"""Bytes of a block's entry in the table at the start of its file: its checksum, 0 where it is not known."""

_PAGE: Final = 4096
"""Bytes that holes in a file are a multiple of."""

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
        self._region = max(1, min(REGION, cache.limit // 8 // BLOCK))
        self._table = -(-self._region * _ENTRY // _PAGE) * _PAGE
        self._key = f"blocks\0{identity}\0{source.version.tag}\0{source.size}\0{BLOCK}\0{self._region}"
        self._seed = zlib.crc32(self._key.encode())
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
        numbers = sorted({number for item in ranges for number in _numbers(item)})
        blocks = self._kept(numbers)
        blocks |= self._fetched([number for number in numbers if number not in blocks])
        return [_cut(item, blocks) for item in ranges]

    def _kept(self, numbers: Sequence[int]) -> dict[int, memoryview]:
        """Those of these blocks that are there and whole."""
        blocks: dict[int, memoryview] = {}
        for region, members in groupby(numbers, lambda number: number // self._region):
            with self._cache.opened(self._name(region)) as file, suppress(OSError):
                if file is not None:
                    blocks |= self._read(file, region, list(members))
        return blocks

    def _read(self, file: int, region: int, numbers: Sequence[int]) -> dict[int, memoryview]:
        table = os.pread(file, self._region * _ENTRY, 0).ljust(self._region * _ENTRY, b"\0")
        first = region * self._region
        sums = struct.unpack(f"<{self._region}I", table)
        blocks: dict[int, memoryview] = {}
        for run in _runs([number for number in numbers if sums[number - first]]):
            length = self._span(run[-1]).end - run[0] * BLOCK
            data = memoryview(os.pread(file, length, self._table + (run[0] - first) * BLOCK))
            for place, number in enumerate(run):
                block = data[place * BLOCK : (place + 1) * BLOCK]
                if len(block) == self._span(number).length and self._checksum(number, block) == sums[number - first]:
                    blocks[number] = block
        return blocks

    def _fetched(self, missing: Sequence[int]) -> dict[int, memoryview]:
        """Blocks from the other source, kept for the next time; neighbours are asked for as one range."""
        runs = _runs(missing)
        spans = [ByteRange(run[0] * BLOCK, self._span(run[-1]).end) for run in runs]
        blocks: dict[int, memoryview] = {}
        for run, data in zip(runs, self._source.read_ranges(spans) if spans else (), strict=True):
            whole = memoryview(data)
            blocks |= {number: whole[place * BLOCK : (place + 1) * BLOCK] for place, number in enumerate(run)}
        self._keep(blocks)
        return blocks

    def _keep(self, blocks: Mapping[int, memoryview]) -> None:
        for region, members in groupby(blocks, lambda number: number // self._region):
            numbers = list(members)
            if not self._writable:
                return
            try:
                with self._cache.growing(self._name(region), len(numbers) * BLOCK + self._table) as file:
                    for run in _runs(numbers):
                        self._write(file, region, {number: blocks[number] for number in run})
            except WriteError as error:
                self._writable = False
                _log.warning("nothing more of %s is kept for the next time: %s", self.url, error)

    def _write(self, file: int, region: int, blocks: Mapping[int, memoryview]) -> None:
        """Writes neighbours and then their checksums: without them, or with half of a block, they are not there."""
        place = min(blocks) - region * self._region
        sums = [self._checksum(number, data) for number, data in blocks.items()]
        _write_all(file, b"".join(blocks.values()), self._table + place * BLOCK)
        _write_all(file, struct.pack(f"<{len(sums)}I", *sums), place * _ENTRY)

    def _name(self, region: int) -> str:
        return f"{self._key}\0{region}"

    def _span(self, number: int) -> ByteRange:
        return ByteRange(number * BLOCK, min((number + 1) * BLOCK, self.size))

    def _checksum(self, number: int, data: memoryview) -> int:
        """CRC-32 of the block's name and bytes, never 0: another block in its place is noticed, too."""
        return zlib.crc32(data, zlib.crc32(b"%d" % number, self._seed)) or 1

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


def _runs(numbers: Sequence[int]) -> list[Sequence[int]]:
    """Ascending numbers in groups of such as follow each other."""
    breaks = [at for at, (a, b) in enumerate(pairwise(numbers), 1) if b > a + 1]
    return [numbers[a:b] for a, b in pairwise([0, *breaks, len(numbers)])] if numbers else []


def _write_all(file: int, data: bytes, at: int) -> None:
    """Writes everything, which one call need not."""
    while data:
        written = os.pwrite(file, data, at)
        data, at = data[written:], at + written


def _cut(item: ByteRange, blocks: Mapping[int, memoryview]) -> bytes:
    """A range's bytes from the blocks that cover it."""
    parts = []
    for number in _numbers(item):
        base = number * BLOCK
        parts.append(blocks[number][max(0, item.start - base) : item.end - base])
    return b"".join(parts)
