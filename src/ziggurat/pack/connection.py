"""Opening a database of images, to read it or to be the one that writes it. What is in it is not trusted."""

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from ziggurat.convert.ledger.connection import BUSY_MILLISECONDS, check_sqlite
from ziggurat.errors import (
    OutOfMemory,
    PackLocked,
    SourceChanged,
    SourceRefused,
    StoreFull,
    StoreUnavailable,
    TimedOut,
    UsageError,
    WriteError,
)
from ziggurat.pack.vfs import SourceFile
from ziggurat.storage.local import reading as local_reading
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source

MAGIC: Final = b"SQLite format 3\0"
HEADER: Final = 100
"""Bytes of a database's own header."""

PAGE_SIZES: Final = tuple(1 << power for power in range(9, 17))
"""Bytes that a page may have."""

WAIT_SECONDS: Final = 60.0
"""How long one writer waits for another, where several put single images."""

LOCK: Final = "-lock"
"""What follows a database's name in that of the file that is there while it is written."""

MAPPED: Final = 1 << 40
"""Bytes of a local database that are read through the page tables: it saves a copy of every page."""

STEPS_AT_ONCE: Final = 1 << 20
LEAST_STEPS: Final = 1 << 25
STEPS_A_BYTE: Final = 4
"""Steps of SQLite's machine that one query may take: some seconds, and more in a large database. A row has 40 bytes at
least, and a condition on it takes some 50 steps."""

WRITER_CACHE: Final = 1 << 27
"""Bytes of changed pages that are held until they are committed."""


def page_size(head: bytes, place: str) -> int:
    """Bytes of a database's pages, by its first bytes.

    Raises:
        SourceRefused: if it is none.
    """
    size = int.from_bytes(head[16:18], "big")
    size = 1 << 16 if size == 1 else size
    if len(head) < HEADER or head[:16] != MAGIC or size not in PAGE_SIZES:
        raise _no_database(place)
    return size


def open_reader(path: Path, place: str) -> apsw.Connection:
    """A local database to read from, also while another process writes it.

    Raises:
        SourceError: if it is none, or cannot be read.
    """
    check_sqlite("packs")
    # Opening and closing the file by other means than SQLite's would drop the locks of all connections to it.
    with local_reading(place):
        status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise SourceRefused(f"{place} is no regular file; give the path of one")
    if status.st_size < HEADER:
        raise _no_database(place)
    with reading(place):
        # What a writer that was killed left behind can only be undone by who may write. Who may not gets the same
        # connection, only to read.
        db = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
        db.set_busy_timeout(BUSY_MILLISECONDS)
        _harden(db)
        db.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        db.pragma("query_only", "ON")
        db.pragma("mmap_size", MAPPED)
        # Pages in memory are not kept apart, and each look at one would look at all that is on it.
        db.pragma("cell_size_check", "OFF")
    return db


def check_there(path: str, place: str) -> None:
    """Refuses a database that was emptied while it was open: reading pages that are mapped and gone ends the process.

    Raises:
        SourceChanged: if it was.
    """
    try:
        size = os.stat(path).st_size  # noqa: PTH116 - before every read: half the time
    except OSError:
        return
    if not size:
        raise SourceChanged(f"{place} was emptied while it was open; put new files in place by renaming them")


def _no_database(place: str) -> SourceRefused:
    return SourceRefused(f"{place} is no SQLite database, and so no pack; check the name")


class Steps:
    """Stops a query that takes more steps than a sound database of its size can ask for.

    Pages of a damaged database may point to each other in ways that never end.

    Args:
        db: the connection.

    Attributes:
        taken: of the query; whoever begins one sets it to 0.

    Raises:
        apsw.Error: if it cannot be read.
    """

    def __init__(self, db: apsw.Connection) -> None:
        size: int = db.pragma("page_size") * db.pragma("page_count")
        self._most = (LEAST_STEPS + STEPS_A_BYTE * size) // STEPS_AT_ONCE
        self.taken = 0
        db.set_progress_handler(self._more, STEPS_AT_ONCE)

    def _more(self) -> bool:
        self.taken += 1
        return self.taken > self._most


def open_remote(place: str, network: NetworkOptions | None) -> tuple[SourceFile, ByteSource]:
    """A database in a store or on a web server, and its bytes, to be closed after it.

    Raises:
        SourceError: if it is none, or cannot be read.
    """
    check_sqlite("packs")
    source = open_source(place, network=network)
    try:
        size = page_size(source.read_ranges([ByteRange(0, min(HEADER, source.size))])[0], place)
        return SourceFile(source, size), source
    except BaseException:
        source.close()
        raise


def connected(file: SourceFile, place: str) -> apsw.Connection:
    """A connection to such a database.

    Raises:
        SourceError: if it cannot be read.
    """
    with reading(place, file):
        db = file.connection()
        _harden(db)
    return db


def open_writer(path: Path, *, page: int, wait: bool = False) -> tuple[apsw.Connection, int]:
    """A local database to write, made if there is none; nobody else can write it until ``unlock``.

    Args:
        path: of the database.
        page: bytes of its pages, if it is made.
        wait: for another process to be done with it, up to a minute.

    Returns:
        The connection, and the lock.

    Raises:
        PackLocked: if another process writes it.
        SourceRefused: if it is no regular file.
        WriteError: if it cannot be written.
    """
    check_sqlite("packs")
    try:
        if path.exists() and not path.is_file():
            raise SourceRefused(f"{path} is no regular file; choose another place")
        lock = _lock(path, WAIT_SECONDS if wait else 0.0)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise WriteError(f"{str(path)!r} cannot be written: {why}; choose another place") from error
    try:
        with changing(path):
            db = apsw.Connection(os.fspath(path))
            db.set_busy_timeout(BUSY_MILLISECONDS)
            _harden(db)
            db.pragma("page_size", page)
    except BaseException:
        unlock(path, lock)
        raise
    return db, lock


def settle(db: apsw.Connection, path: Path, *, new: bool) -> None:
    """Makes a database ready to be written that is known to be a pack, or to be empty: a new one.

    Raises:
        PackLocked: if others read it in a way that does not go with writing.
    """
    if new:
        # With the map of pages that this keeps, a large image is read in its middle without what is before it.
        db.pragma("auto_vacuum", "INCREMENTAL")
    # One file at rest, and every byte is written once: only the few pages that change are saved first.
    if db.pragma("journal_mode", "TRUNCATE") != "truncate":
        raise PackLocked(f"{path} is in use in another journal mode; close all that has it open, and run this again")
    db.pragma("synchronous", "FULL")
    db.pragma("cache_size", -(WRITER_CACHE >> 10))


def _lock(path: Path, seconds: float) -> int:
    """A lock on the file beside a database that says that it is being written.

    Not on the database: closing any descriptor of it would drop the locks that SQLite has on it in this process.
    """
    name = f"{os.path.realpath(path)}{LOCK}"
    end = time.monotonic() + seconds
    while True:
        lock = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_CREAT, 0o644)
        try:
            _take(lock, end)
            # Who had it before has removed its name.
            if os.fstat(lock).st_nlink:
                return lock
        except BlockingIOError as error:
            os.close(lock)
            raise PackLocked(
                f"another process is writing {path}; wait for it, or stop it and run this again"
            ) from error
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def unlock(path: Path, lock: int) -> None:
    """Lets others write."""
    try:
        Path(f"{os.path.realpath(path)}{LOCK}").unlink(missing_ok=True)
    finally:
        os.close(lock)


def _take(lock: int, end: float) -> None:
    """Takes a lock, waiting for it so long.

    Raises:
        BlockingIOError: if another process has it.
    """
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _harden(db: apsw.Connection) -> None:
    """Nothing that is written in a file runs, and no page of it is taken at its word (sqlite.org/security.html)."""
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, 0)
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, 0)
    db.pragma("cell_size_check", "ON")


def number(db: apsw.Connection, sql: str, bindings: Sequence[object] = ()) -> int:
    """The one integer that a query gives; 0 for NULL."""
    rows: list[tuple[int | None, ...]] = db.execute(sql, bindings).fetchall()  # type: ignore[arg-type,assignment]
    return rows[0][0] or 0


@contextmanager
def reading(place: str, file: SourceFile | None = None) -> Iterator[None]:
    """Turns what SQLite says into the errors of a source.

    Args:
        place: what is read, for the message.
        file: knows what a store said.
    """
    try:
        yield
    except apsw.NotADBError as error:
        raise _no_database(place) from error
    except (apsw.CorruptError, apsw.FormatError, apsw.MismatchError, apsw.TooBigError, UnicodeError) as error:
        raise SourceRefused(
            f"{place} is damaged: {error}; `ziggurat verify` says what can still be read of it"
        ) from error
    except apsw.InterruptError as error:
        raise TimedOut(
            f"{place}: the query takes far too long; ask for less, or check the file: it may be damaged"
        ) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreUnavailable(f"{place} is being changed by another process; try again in a moment") from error
    except apsw.IOError as error:
        failure = None if file is None else file.failure
        raise failure or StoreUnavailable(f"{place} cannot be read: {error}; check the disk") from error
    except (apsw.ReadOnlyError, apsw.CantOpenError) as error:
        raise SourceRefused(
            f"{place} cannot be read: {error}; if whoever wrote it was interrupted, open it once as somebody who may "
            "write it and its folder"
        ) from error
    except apsw.NoMemError as error:
        raise OutOfMemory(f"{place}: there is not enough memory for what it holds") from error
    except apsw.ConnectionClosedError as error:
        raise UsageError(f"{place} is closed; open it again to read from it") from error
    except apsw.Error as error:
        raise SourceRefused(f"{place} cannot be read: {error}") from error


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Turns what SQLite says into the errors of writing."""
    try:
        yield
    except apsw.FullError as error:
        raise StoreFull(
            f"{path}: there is no room left; what was committed before is safe: free space and run the same again"
        ) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise PackLocked(f"{path} is being read or written all the time; try again") from error
    except apsw.TooBigError as error:
        raise WriteError(f"{path}: an image is larger than SQLite allows: {error}") from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise SourceRefused(f"{path} is damaged or no pack: {error}; nothing was changed") from error
    except apsw.ConnectionClosedError as error:
        raise UsageError(f"{path} is closed; open it again to write to it") from error
    except apsw.Error as error:
        raise WriteError(
            f"{path} cannot be written: {error}; what was committed is safe: check the disk and run the same again"
        ) from error
