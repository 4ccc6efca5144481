"""SQLite's file system with somebody watching, who may make it fail, or end the process, at any call."""

from collections.abc import Callable
from typing import Literal

import apsw

BASE = apsw.vfs_names()[0]
"""The file system of this machine."""

type Operation = Literal["open", "read", "write", "sync", "truncate", "delete"]
type Watch = Callable[[Operation, str], bool]
"""Called before an operation on a file; it may raise. True lets a write write half, and fail then."""


class WatchedVfs(apsw.VFS):
    """The default file system from now on, until ``unregister``.

    Args:
        watch: asked before every call that reads or changes something.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        super().__init__("watched", BASE, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "WatchedFile":  # noqa: N802 - SQLite's
        path = (name.filename() if isinstance(name, apsw.URIFilename) else name) or ""
        self.watch("open", path)
        return WatchedFile(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802 - SQLite's
        self.watch("delete", filename)
        super().xDelete(filename, syncdir)


class WatchedFile(apsw.VFSFile):
    """One of its files."""

    def __init__(self, vfs: WatchedVfs, path: str, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._vfs = vfs
        self.path = path
        super().__init__(BASE, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's
        self._vfs.watch("read", self.path)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        if self._vfs.watch("write", self.path):
            super().xWrite(bytes(data[: len(data) // 2]), offset)
            raise failure(apsw.SQLITE_FULL)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's
        self._vfs.watch("sync", self.path)
        super().xSync(flags)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        self._vfs.watch("truncate", self.path)
        super().xTruncate(newsize)


def failure(code: int) -> apsw.Error:
    """What a call that fails with one of SQLite's codes raises."""
    error = apsw.exception_for(code)
    error.extendedresult = code
    return error
