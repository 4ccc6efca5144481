"""What to fetch of a file besides the next directory, so that the one after it is often there already. Pure guesses."""

from collections.abc import Sequence
from typing import Final

from ziggurat.storage.ranges import ByteRange

DIRECTORY: Final = 1 << 12
"""Bytes of a directory and of the short values behind it: 4 KiB; the source is asked for whole blocks anyway."""

HEAD: Final = 1 << 16
"""Bytes at the start that the header came with."""

TAIL: Final = 1 << 18
"""Bytes at the end that come with the first directory in the second half: 256 KiB, what a store sends in the time of
one request. The last levels and pages lie there."""

NEAR: Final = 1 << 19
"""Bytes before the end from which on a directory comes with everything that follows it: 512 KiB."""

REACH: Final = 1 << 18
"""Bytes between two directories up to which as many are read on from the second, for the third: 256 KiB."""

TRIES: Final = 16
"""How often that is tried: directories that lie so by chance are not worth more."""

GUESSES: Final = 32
"""Directories that are guessed at once, where all lie equally far apart."""


class Ahead:
    """Guesses from where directories were found.

    Args:
        size: bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._asides: list[ByteRange] = []
        self._tailed = False
        self._previous = self._gap = 0
        self._count = 1
        self._tries = TRIES
        self._covered = HEAD

    def aside(self, offset: int) -> None:
        """Something short that will be asked for too, such as the EXIF directory."""
        self._asides.append(ByteRange(offset, offset + DIRECTORY))

    def ranges(self, directories: Sequence[tuple[int, bool]]) -> list[ByteRange]:
        """What to fetch in one batch; parts of it may lie behind the file's end.

        Args:
            directories: the offset of each directory that is known, and whether it is in the main chain.
        """
        result, self._asides = self._asides, []
        for offset, main in directories:
            result.append(ByteRange(offset, offset + DIRECTORY))
            if main:
                result += self._further(offset)
            if offset >= max(HEAD, self._size // 2) and not self._tailed:
                self._tailed = True
                start = offset if self._size - offset <= NEAR else self._size - TAIL
                result.append(ByteRange(start, max(start, self._size)))
        return result

    def _further(self, offset: int) -> list[ByteRange]:
        """The next directories of the chain, by how far this one lies behind the one before."""
        gap, before = offset - self._previous, self._gap
        self._previous, self._gap = offset, gap
        if gap <= 0 or offset < self._covered:
            return []
        if gap == before:
            # Pages of a stack: as long as each other, or nearly so.
            self._count = min(2 * self._count, GUESSES)
            self._covered = offset + self._count * gap + 1
            starts = [offset + number * gap for number in range(1, self._count + 1)]
            return [ByteRange(start, start + DIRECTORY) for start in starts]
        if gap <= REACH and before and self._tries:
            self._tries -= 1
            self._covered = offset + REACH
            return [ByteRange(offset, self._covered)]
        return []
