"""Opening a database of images, to read it or to be the one that writes it. What is in it is not trusted."""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from ziggurat.errors import (
    DependencyError,
    PackLocked,
    SourceNotFound,
    SourceRefused,
    StoreFull,
    StoreUnavailable,
    WriteError,
)
from ziggurat.pack.vfs import SourceFile
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source

MAGIC: Final = b"SQLite format 3\0"
HEADER: Final = 100
"""Bytes of a database's own header."""

PAGE_SIZES: Final = tuple(1 << power for power in range(9, 17))
"""Bytes that a page may have."""

MINIMUM_SQLITE: Final = (3, 51, 3)
BUSY_MILLISECONDS: Final = 10_000
"""How long one connection waits for another's short transaction."""

WAIT_SECONDS: Final = 60.0
"""How long one writer waits for another, where several put single images."""

MAPPED: Final = 1 << 40
"""Bytes of a local database that are read through the page tables: it saves a copy of every page."""

WRITER_CACHE: Final = 1 << 27
"""Bytes of changed pages that are held until they are committed."""


def check_sqlite() -> None:
    """Refuses an SQLite with known faults.

    Raises:
        DependencyError: if apsw carries a release below 3.51.3.
    """
    found = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if found < MINIMUM_SQLITE:
        raise DependencyError(
            f"apsw carries SQLite {apsw.sqlite_lib_version()}; packs need 3.51.3 or newer. Install a newer apsw."
        )


def page_size(head: bytes, place: str) -> int:
    """Bytes of a database's pages, by its first bytes.

    Raises:
        SourceRefused: if it is none.
    """
    size = int.from_bytes(head[16:18], "big")
    size = 1 << 16 if size == 1 else size
    if len(head) < HEADER or head[:16] != MAGIC or size not in PAGE_SIZES:
        raise SourceRefused(f"{place} is no SQLite database, and so no pack; check the name")
    return size


def open_reader(path: Path, place: str) -> apsw.Connection:
    """A local database to read from, also while another process writes it.

    Raises:
        SourceError: if it is none, or cannot be read.
    """
    check_sqlite()
    try:
        with path.open("rb") as file:
            page_size(file.read(HEADER), place)
    except OSError as error:
        kind = SourceNotFound if isinstance(error, FileNotFoundError) else SourceRefused
        raise kind(f"{place}: {error.strerror}; check the path") from error
    # What a writer that was killed left behind can only be undone by who may write.
    journal = Path(f"{path}-journal")
    undo = journal.exists() and os.access(path, os.W_OK)
    with reading(place):
        db = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE if undo else apsw.SQLITE_OPEN_READONLY)
        db.set_busy_timeout(BUSY_MILLISECONDS)
        _harden(db)
        db.pragma("query_only", "ON")
        db.pragma("mmap_size", MAPPED)
    return db


def open_remote(place: str, network: NetworkOptions | None) -> tuple[SourceFile, ByteSource]:
    """A database in a store or on a web server, and its bytes, to be closed after it.

    Raises:
        SourceError: if it is none, or cannot be read.
    """
    check_sqlite()
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
    """A local database to write, made if there is none; nobody else can write it until it is closed.

    Args:
        path: of the database.
        page: bytes of its pages, if it is made.
        wait: for another process to be done with it, up to a minute.

    Returns:
        The connection, and the file descriptor that holds the lock. It must not be closed before the connection:
        closing any descriptor of the file drops SQLite's own POSIX locks.

    Raises:
        PackLocked: if another process writes it.
        WriteError: if it cannot be written.
    """
    check_sqlite()
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o644)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    try:
        try:
            _take(lock, WAIT_SECONDS if wait else 0.0)
        except OSError as error:
            raise PackLocked(
                f"another process is writing {path}; wait for it, or stop it and run this again"
            ) from error
        with changing(path):
            db = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
            db.set_busy_timeout(BUSY_MILLISECONDS)
            _harden(db)
            db.pragma("page_size", page)
            # One file at rest, and every byte is written once: only the few pages that change are saved first.
            db.pragma("journal_mode", "TRUNCATE")
            db.pragma("synchronous", "FULL")
            db.pragma("cache_size", -(WRITER_CACHE >> 10))
    except BaseException:
        os.close(lock)
        raise
    return db, lock


def _take(lock: int, seconds: float) -> None:
    """Takes a lock, waiting for it so long.

    Raises:
        OSError: if another process has it.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
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
    except (apsw.CorruptError, apsw.NotADBError, apsw.FormatError, apsw.MismatchError) as error:
        raise SourceRefused(
            f"{place} is damaged: {error}; `ziggurat verify` says what can still be read of it"
        ) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreUnavailable(f"{place} is being changed by another process; try again in a moment") from error
    except apsw.IOError as error:
        failure = None if file is None else file.failure
        raise failure or StoreUnavailable(f"{place} cannot be read: {error}; check the disk") from error
    except (apsw.SQLError, apsw.CantOpenError, apsw.PermissionsError, apsw.ReadOnlyError) as error:
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
    except (apsw.IOError, apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError) as error:
        raise WriteError(
            f"{path} cannot be written: {error}; what was committed is safe: check the disk and run the same again"
        ) from error
