"""SQLite over a ``ByteSource``: a database on an object store or a web server, read page by page, in few requests."""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from itertools import chain, count, repeat
from typing import Final

import apsw

from ziggurat.errors import SourceError
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

FIRST: Final = 1 << 19
"""Bytes read of a database at first: its schema and the roots of all trees of a pack."""

STEPS: Final = (1 << 18, 1 << 20, 1 << 22, 1 << 23)
"""Bytes read at a time of what is listed: more, the more is asked for."""

KEPT: Final = 1 << 26
"""Bytes of a database that are kept in memory."""

NAME: Final = "ziggurat"


class SourceFile:
    """A database, as SQLite asks for it. What was read stays in memory, the least recently used going first.

    Args:
        source: its bytes; it must stay open as long as any connection.
        page: bytes of its pages.

    Attributes:
        listed: bytes at the front of the file in which everything but the images lies.
        failure: why the last read failed, which SQLite does not say.

    Raises:
        SourceError: if the bytes cannot be read.
    """

    def __init__(self, source: ByteSource, page: int) -> None:
        self._source = source
        self._page = page
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._coming: dict[int, Future[dict[int, bytes]]] = {}
        self._steps = chain(STEPS, repeat(STEPS[-1]))
        self._end, self._run = 0, page
        self._lock = threading.Lock()
        self.listed = 0
        self.failure: SourceError | None = None
        first = range(-(-min(FIRST, source.size) // page))
        self._coming = dict.fromkeys(first, Future())
        self._fetch(first, self._coming[0])

    def connection(self) -> apsw.Connection:
        """A new connection to the database; several may be used side by side."""
        global _vfs  # noqa: PLW0603 - SQLite knows them by name, once in a process
        with _making:
            _vfs = _vfs or _Vfs()
            name = f"source-{next(_names)}"
            _vfs.files[name] = self
            try:
                flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
                return apsw.Connection(f"file:{name}?vfs={NAME}&immutable=1", flags=flags)
            finally:
                del _vfs.files[name]

    def xRead(self, amount: int, offset: int) -> bytes:
        """Some bytes, fewer only at the end of the file."""
        end = min(offset + amount, self._source.size)
        try:
            found = b"".join(self._block(number) for number in range(offset // self._page, -(-end // self._page)))
        except SourceError as error:
            self.failure = error
            raise apsw.IOError(str(error)) from error
        start = offset % self._page
        return found[start : start + end - offset]

    def _block(self, number: int) -> bytes:
        with self._lock:
            block = self._blocks.get(number)
            if block is not None:
                self._blocks.move_to_end(number)
                return block
            fetch = self._coming.get(number)
            if fetch is None:
                numbers = self._wanted(number)
                fetch = Future[dict[int, bytes]]()
                self._coming |= dict.fromkeys(numbers, fetch)
            else:
                numbers = range(0)
        if numbers:
            self._fetch(numbers, fetch)
        return fetch.result()[number]

    def _wanted(self, number: int) -> range:
        """The pages that are worth to be read when one is missing."""
        start = first = number * self._page
        if start < self.listed:
            step = next(self._steps)
            first -= first % step
            end = min(first + step, max(self.listed, start + self._page))
        else:
            # A tree that was filled in order is read in order; an image goes on behind its first page.
            self._run = min(2 * self._run, STEPS[-1]) if start == self._end else self._page
            end = start + self._run
        self._end = end
        last = -(-min(end, self._source.size) // self._page)
        before = (at for at in range(number - 1, first // self._page - 1, -1) if self._known(at))
        behind = (at for at in range(number + 1, last) if self._known(at))
        return range(next(before, first // self._page - 1) + 1, next(behind, last))

    def _known(self, number: int) -> bool:
        """Whether a page is there, or on its way."""
        return number in self._blocks or number in self._coming

    def _fetch(self, numbers: range, fetch: "Future[dict[int, bytes]]") -> None:
        span = ByteRange(numbers.start * self._page, min(numbers.stop * self._page, self._source.size))
        try:
            data = self._source.read_ranges([span])[0]
        except BaseException as error:
            fetch.set_exception(error)
            with self._lock:
                for number in numbers:
                    del self._coming[number]
            raise
        found = {number: data[at : at + self._page] for number, at in zip(numbers, count(0, self._page), strict=False)}
        with self._lock:
            self._blocks |= found
            for number in numbers:
                del self._coming[number]
            while len(self._blocks) * self._page > KEPT + self.listed:
                self._blocks.popitem(last=False)
        fetch.set_result(found)

    def xFileSize(self) -> int:
        """Of the object."""
        return self._source.size

    def xClose(self) -> None:
        """The source belongs to who opened it."""

    def xLock(self, level: int) -> None:
        """Nobody writes."""

    def xUnlock(self, level: int) -> None:
        """Nobody writes."""

    def xCheckReservedLock(self) -> bool:
        """Nobody writes."""
        return False

    def xFileControl(self, operation: int, pointer: int) -> bool:
        """Knows none."""
        return False

    def xSectorSize(self) -> int:
        """Of no disk."""
        return 0

    def xDeviceCharacteristics(self) -> int:
        """It never changes while it is open."""
        return apsw.SQLITE_IOCAP_IMMUTABLE


class _Vfs(apsw.VFS):
    """Opens what ``connect`` has put here; there are no other files."""

    def __init__(self) -> None:
        self.files: dict[str, SourceFile] = {}
        super().__init__(NAME, "")

    def xFullPathname(self, name: str) -> str:
        """Names are taken as they are."""
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:
        """There is no journal."""
        return False

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> SourceFile:  # type: ignore[override]
        """The file of a connection that is being made."""
        file = self.files.get(name.filename() if isinstance(name, apsw.URIFilename) else name or "")
        if file is None:
            raise apsw.CantOpenError("a database in a store is only read")
        flags[1] = apsw.SQLITE_OPEN_READONLY
        return file


_vfs: _Vfs | None = None
_names = count()
_making = threading.Lock()
