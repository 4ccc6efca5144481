"""Files kept on this machine because making or fetching them again is slow; the least recently used ones go first."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from ziggurat.errors import StoreFull, UsageError
from ziggurat.storage.amounts import parse_bytes
from ziggurat.storage.stored import writing

DEFAULT_LIMIT: Final = 10 << 30
"""Bytes of the cache unless told otherwise: 10 GiB, twice the coarser levels of an image of 24 GB."""

UNIT: Final = 1 << 16
"""Bytes that one byte of the tally stands for."""

KEPT: Final = 0.9
"""Share of the limit that eviction leaves, so that it is needed once in many entries."""

ABANDONED: Final = 3600.0
"""Seconds without a write after which an unfinished file is taken for that of a killed process."""


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where things are kept: ``$ZIGGURAT_CACHE``, else ``$XDG_CACHE_HOME/ziggurat``, else ``~/.cache/ziggurat``.

    Raises:
        UsageError: if the variables name no folder and this user has no home.
    """
    if named := environment.get("ZIGGURAT_CACHE"):
        return Path(named)
    shared = Path(environment.get("XDG_CACHE_HOME", ""))
    if shared.is_absolute():  # the XDG specification has relative ones ignored
        return shared / "ziggurat"
    try:
        return Path.home() / ".cache" / "ziggurat"
    except RuntimeError:
        raise UsageError("this user has no home for a cache; set ZIGGURAT_CACHE to a folder") from None


def cache_limit(environment: Mapping[str, str] = os.environ) -> int:
    """Bytes that the cache may take: ``$ZIGGURAT_CACHE_SIZE`` such as 800M or 4G, else 10 GiB; 0 is no cache.

    Raises:
        UsageError: if the variable is no amount.
    """
    text = environment.get("ZIGGURAT_CACHE_SIZE", "").strip()
    if not text:
        return DEFAULT_LIMIT
    try:
        return parse_bytes(text)
    except UsageError as error:
        raise UsageError(f"ZIGGURAT_CACHE_SIZE: {error}; 0 is no cache") from None


def default_cache() -> "FileCache | None":
    """The cache of this user, as the environment says; None if there is to be none, or is no place for it.

    Raises:
        UsageError: if ``$ZIGGURAT_CACHE_SIZE`` is no amount.
    """
    limit = cache_limit()
    try:
        return FileCache(cache_folder(), limit=limit) if limit else None
    except UsageError:
        return None


class _Entry(NamedTuple):
    used: int
    size: int
    path: str


class FileCache:
    """Finished files under keys, in a folder that many processes share. Safe to use from several threads.

    An entry appears whole or not at all. Its access time is the time of its last use. An entry that is
    evicted while it is open stays readable; one whose path is opened too late is gone, as if it had never been.
    Nothing here makes entries survive a power cut: whoever reads one must notice if it is damaged.

    What has been put since the last look at the whole folder is known from the length of a file that every
    ``put`` appends to: a folder within its limit is never walked, one over it once in a tenth of its limit.

    Args:
        folder: made with the first entry, for this user alone.
        limit: bytes of all entries together.
    """

    def __init__(self, folder: Path, *, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._swept = False

    @property
    def folder(self) -> Path:
        """Where the entries lie."""
        return self._folder

    @property
    def limit(self) -> int:
        """Bytes of all entries together."""
        return self._limit

    def get(self, key: str) -> Path | None:
        """The finished entry of a key, marked as used now; None if there is none."""
        path = self._path(key)
        try:
            # The modification time stays: a source that has the entry open would take it for changed.
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return path if os.access(path, os.R_OK) else None
        return path

    def put(self, key: str, write: Callable[[Path], None]) -> Path:
        """Makes the entry of a key, in the place of an older one.

        Args:
            key: any string.
            write: writes the file whose path it is given; what it raises is passed on, and nothing is kept.

        Returns:
            The path of the entry.

        Raises:
            StoreFull: if there is no room on the disk, or the entry alone is larger than the limit.
            WriteError: if the folder cannot be written to.
        """
        path = self._path(key)
        with writing(str(self._folder)):
            self._sweep_once()
            with self._temporary() as temporary:
                write(temporary)
                size = temporary.stat().st_size
                if size > self._limit:
                    raise StoreFull(
                        f"{self._folder}: an entry of {size} bytes does not fit into a cache of {self._limit}; "
                        "raise ZIGGURAT_CACHE_SIZE"
                    )
                os.utime(temporary)
                self._made(path.parent.name)
                temporary.replace(path)
            if self._tally(-(-size // UNIT)) > self._limit:
                self._evict()
        return path

    @contextmanager
    def opened(self, key: str) -> Iterator[int | None]:
        """A finished or growing entry, open for reading, marked as used now; None if there is none."""
        path = self._path(key)
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        try:
            with suppress(OSError):
                os.utime(file, ns=(time.time_ns(), os.fstat(file).st_mtime_ns))
            yield file
        finally:
            os.close(file)

    @contextmanager
    def growing(self, key: str, more: int) -> Iterator[int]:
        """An entry that is written in place, piece by piece, by several processes at once; made if there is none.

        Whoever reads it must see for himself which of its pieces are there and whole. What is left out between them
        should take no room on the disk.

        Args:
            key: any string.
            more: bytes that are going to be written.

        Raises:
            StoreFull: if there is no room on the disk.
            WriteError: if the folder cannot be written to.
        """
        path = self._path(key)
        with writing(str(self._folder)):
            self._made(path.parent.name)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.utime(file)
                yield file
            finally:
                os.close(file)
            if self._tally(-(-more // UNIT)) > self._limit:
                self._evict()

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Waits until no other process or thread is in here for this key: what takes long is made once.

        Few locks serve all keys, so that their files need never be removed: now and then it waits for another key.

        Raises:
            WriteError: if the folder cannot be written to.
        """
        with writing(str(self._folder)):
            file = os.open(
                self._made("locks") / self._path(key).parent.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        try:
            with writing(str(self._folder)):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def _path(self, key: str) -> Path:
        name = sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self._folder / name[:2] / name[2:]

    def _made(self, name: str) -> Path:
        """A folder in the cache's, made if need be; what is kept may be seen by this user alone."""
        folder = self._folder / name
        if not folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A new name to write to; whatever lies there at the end is removed."""
        path = self._made("new") / secrets.token_hex(16)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _tally(self, units: int) -> int:
        """Counts an entry in; bytes of all entries, as far as is known, never too few but for races."""
        file = os.open(self._folder / "tally", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, bytes(units))
            return os.fstat(file).st_size * UNIT
        finally:
            os.close(file)

    def _evict(self) -> None:
        """Looks at everything and removes the least recently used, unless another process is at it."""
        with self._evicting() as alone:
            if not alone:
                return
            self._sweep()
            tally = self._folder / "tally"
            before = tally.stat().st_size
            entries = sorted(self._entries(), reverse=True)
            total = sum(entry.size for entry in entries)
            while len(entries) > 1 and total > self._limit * KEPT:
                entry = entries.pop()
                with suppress(FileNotFoundError):
                    os.unlink(entry.path)  # noqa: PTH108 - thousands at once
                total -= entry.size
            since = tally.stat().st_size - before
            os.truncate(tally, -(-total // UNIT) + since)

    @contextmanager
    def _evicting(self) -> Iterator[bool]:
        """Whether no other process is evicting; the lock ends with the process that holds it."""
        file = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(file)

    def _entries(self) -> Iterator[_Entry]:
        for number in range(256):
            with suppress(FileNotFoundError), os.scandir(self._folder / f"{number:02x}") as found:
                for item in found:
                    with suppress(FileNotFoundError):
                        status = item.stat(follow_symlinks=False)
                        # What grows in place has holes.
                        size = min(status.st_size, status.st_blocks * 512)
                        yield _Entry(status.st_atime_ns, size, item.path)

    def _sweep_once(self) -> None:
        if not self._swept:
            self._swept = True
            self._sweep()

    def _sweep(self) -> None:
        """Removes what killed processes left unfinished."""
        oldest = time.time() - ABANDONED
        with suppress(FileNotFoundError), os.scandir(self._folder / "new") as found:
            for item in found:
                with suppress(FileNotFoundError):
                    if item.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(item.path)  # noqa: PTH108 - as scandir gives it
