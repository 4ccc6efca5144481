"""Icechunk repositories: where they lie, how they are opened, and one writer at a time where nothing else sees to it.

https://icechunk.io/en/latest/. A repository is an extra: importing this module needs icechunk.
"""

import atexit
import ctypes
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ziggurat.errors import DependencyError, StoreFull, StoreUnavailable, UsageError, WriteError
from ziggurat.storage.client import endpoint_of
from ziggurat.storage.network import configured
from ziggurat.storage.stored import writing
from ziggurat.storage.urls import Remote, parse

if TYPE_CHECKING:
    import icechunk
else:
    try:
        import icechunk
    except ImportError as error:
        raise DependencyError('a repository needs icechunk; pip install "ziggurat[icechunk]"') from error

__all__ = ["BRANCH", "alone", "asking", "icechunk", "storage_at"]

BRANCH: Final = "main"

_NO_ROOM: Final = "os error 28"
"""What Rust says of a full disk."""

# Threads of Icechunk's still let go of what they have answered with: doing so while Python ends would crash it.
atexit.register(time.sleep, 0.2)

if "ICECHUNK_LOG" not in os.environ:
    # It warns of every local repository that it has no locks; here is one.
    icechunk.set_logs_filter("error")


def storage_at(place: str) -> "icechunk.Storage":
    """What a repository at a path or an s3: URL lies in.

    Raises:
        UsageError: if none can lie there.
    """
    parsed = parse(place)
    if isinstance(parsed, Path):
        return icechunk.local_filesystem_storage(str(parsed.absolute()))
    if isinstance(parsed, Remote) and parsed.scheme == "s3":
        endpoint = endpoint_of("s3", configured())
        return icechunk.s3_storage(
            bucket=parsed.root,
            prefix=parsed.key.rstrip("/"),
            from_env=True,
            endpoint_url=endpoint,
            allow_http=endpoint is not None and endpoint.startswith("http://"),
            force_path_style=endpoint is not None,
        )
    raise UsageError(f"an Icechunk repository cannot be at {place}; give a path or an s3: URL")


@contextmanager
def asking(place: str) -> Iterator[None]:
    """Turns what Icechunk says into our errors.

    Raises:
        StoreFull: if there is no room left.
        StoreUnavailable: if the storage does not do as it is told.
        WriteError: for everything else.
    """
    try:
        yield
    except icechunk.IcechunkError as error:
        said = str(error).partition("\n")[0]
        if _NO_ROOM in str(error):
            raise StoreFull(f"{place}: no space left on the disk; free some, then run the same again") from error
        if isinstance(error, icechunk.StorageError):
            raise StoreUnavailable(f"{place}: {said}; run the same again") from error
        raise WriteError(f"{place}: {said}") from error


@contextmanager
def alone(place: str) -> Iterator[None]:
    """Keeps other processes from changing a repository on this machine meanwhile, and makes its folder.

    In a store every change is conditional, and two at once are noticed. On a disk nothing notices them, hence the lock.
    At the end all that was written is on the disk.
    """
    parsed = parse(place)
    if not isinstance(parsed, Path):
        with nullcontext():
            yield
        return
    with writing(place):
        parsed.mkdir(parents=True, exist_ok=True)
        folder = os.open(parsed, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
            _keep(folder)
        finally:
            os.close(folder)


def _keep(folder: int) -> None:
    """Brings what a file system has in memory to its disk; Icechunk leaves that to the system."""
    library: Any = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "syncfs"):
        os.sync()
    elif library.syncfs(folder) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
