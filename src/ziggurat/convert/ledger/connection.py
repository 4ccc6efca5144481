"""Opening the SQLite file of a job, for its one writer or for any reader."""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import apsw

from ziggurat.convert.ledger.schema import CONVERSION, Schema
from ziggurat.errors import DependencyError, JobError, JobLocked

MINIMUM_SQLITE = (3, 51, 3)
"""Earlier releases can corrupt a WAL database that several connections write and checkpoint at once."""

BUSY_MILLISECONDS = 10_000
"""How long one connection waits for another's short transaction."""

NETWORK_FILESYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "lustre", "beegfs"}
"""Where shared memory does not reach other machines, so that WAL must not be used."""


def check_sqlite(what: str = "ledgers") -> None:
    """Refuses an SQLite that could damage a database.

    Args:
        what: is to be opened, for the message.

    Raises:
        DependencyError: if apsw carries a release below 3.51.3.
    """
    found = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if found < MINIMUM_SQLITE:
        raise DependencyError(
            f"apsw carries SQLite {apsw.sqlite_lib_version()}; {what} need 3.51.3 or newer, because earlier "
            "ones can corrupt a WAL database with several connections. Install a newer apsw."
        )


def open_writer(path: Path, *, create: bool, schema: Schema = CONVERSION) -> tuple[apsw.Connection, int]:
    """Opens a ledger for its coordinator and takes the job's lock.

    Returns:
        The connection, and the file descriptor that holds the lock until the process ends. It must not be
        closed earlier: closing any descriptor of the file would drop SQLite's own POSIX locks.

    Raises:
        JobLocked: if another process works on the job.
        JobError: if the file is no ledger, or cannot be opened or created.
    """
    check_sqlite()
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    try:
        lock = os.open(path, flags, 0o644)
    except OSError as error:
        raise JobError(f"the job {path} cannot be opened for writing: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise JobLocked(
            f"another process is working on the job {path}; wait for it, or stop it and run this again"
        ) from error
    connection = _connect(os.fspath(path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    try:
        if not create:
            # Before anything is changed: it might be somebody's other database.
            check_format(connection, path, (schema,))
        connection.pragma("journal_mode", "TRUNCATE" if _on_network(path) else "WAL")
    except (JobError, apsw.Error) as error:
        connection.close()
        os.close(lock)
        raise JobError(str(error)) from error
    # A row may say done only when that survives a power cut; transactions are batched, so it costs little.
    connection.pragma("synchronous", "FULL")
    connection.pragma("foreign_keys", "OFF")
    connection.pragma("cache_size", -65536)
    return connection, lock


def open_reader(path: Path, schemas: Sequence[Schema] = (CONVERSION,)) -> tuple[apsw.Connection, Schema]:
    """Opens a ledger to look at, also while its job runs.

    Args:
        path: of the ledger.
        schemas: the kinds that it may be of.

    Returns:
        The connection, to which every kind shows the tables ``images`` and ``items``, and which kind it is.

    Raises:
        JobError: if there is no such file or it is no ledger.
    """
    if not path.is_file():
        raise JobError(f"there is no job {path}; give the .zgj file that its command printed")
    place = os.fspath(path)
    if not Path(f"{path}-wal").exists():
        # No job writes it: read as it lies, so that no side files appear and a read-only folder will do.
        place = f"file:{quote(os.path.abspath(path))}?immutable=1"  # noqa: PTH100 - links stay
    connection = _connect(place, apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    schema = check_format(connection, path, schemas)
    for statement in schema.views:
        connection.execute(statement)
    return connection, schema


def is_blank(path: Path) -> bool:
    """Whether there is no ledger yet: no file, an empty one, or one whose making was interrupted."""
    if not path.exists() or path.stat().st_size == 0:
        return True
    try:
        connection = _connect(os.fspath(path), apsw.SQLITE_OPEN_READWRITE)
        try:
            return not connection.execute("SELECT count(*) FROM sqlite_schema").get
        finally:
            connection.close()
    except (apsw.Error, JobError):
        return False


def check_format(connection: apsw.Connection, path: Path, schemas: Sequence[Schema] = (CONVERSION,)) -> Schema:
    """Which kind of ledger a file is; one that is none, or of another version, is refused.

    Raises:
        JobError: saying which.
    """
    try:
        application = connection.pragma("application_id")
        version = connection.pragma("user_version")
    except apsw.Error as error:
        raise JobError(f"{path} is not a job's ledger: {error}") from error
    schema = next((schema for schema in schemas if schema.application_id == application), None)
    if schema is None:
        raise JobError(
            f"{path} is no ledger of such a job, its application id is {application:#x}; give one's .zgj file"
        )
    if version != schema.version:
        raise JobError(
            f"{path} has ledger version {version}, this Ziggurat knows {schema.version}; use the release that made it"
        )
    return schema


def _connect(place: str, flags: int) -> apsw.Connection:
    try:
        connection = apsw.Connection(place, flags=flags)
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        connection.pragma("trusted_schema", "OFF")
    except apsw.Error as error:
        raise JobError(f"the job {place} cannot be opened: {error}") from error
    return connection


def _on_network(path: Path) -> bool:
    """Whether the file lies on a network file system, by the longest mount point above it."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in mounts:
        fields = line.split()
        point = fields[1].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind in NETWORK_FILESYSTEMS
