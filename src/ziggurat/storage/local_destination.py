"""Results in a folder of this machine."""

import ctypes
import errno
import os
from pathlib import Path
from typing import Final

from ziggurat.errors import TargetExists, TargetRefused
from ziggurat.storage.local import LocalSource, local_tag
from ziggurat.storage.names import check_key, temporary_name
from ziggurat.storage.stored import Digests, ReadBack, Stored, require_size, writing
from ziggurat.storage.urls import path_url

_NO_LINKS: Final = frozenset({
    errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EACCES
})  # fmt: skip
"""What file systems without hard links say; some say EACCES."""

_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1


class LocalDestination(ReadBack):
    """A folder; made when the first result comes. Safe to use from several threads and processes.

    Links inside the folder may lead to other folders inside it, never out of it.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))

    def check_name(self, key: str) -> None:
        """Accepts a key that is safe and leads to a file inside the folder.

        Raises:
            TargetRefused: if it does not.
        """
        self._path(key)

    def _path(self, key: str) -> Path:
        check_key(key)
        folder, name = os.path.split(self._root / key)
        real = Path(os.path.realpath(folder))
        if not real.is_relative_to(self._root):
            raise TargetRefused(
                f"the target {key!a} leads out of {self._root} through a link, to {real}; remove the link, or "
                "make that folder the destination"
            )
        return real / name

    def temporary(self, key: str, token: str) -> Path:
        """Where to write the result first: beside its target, whose folder is made.

        Raises:
            TargetRefused: if the key is not safe.
            WriteError: if the folder cannot be made.
        """
        folder = self._path(key).parent
        with writing(str(folder)):
            _make_folder(folder)
        return folder / temporary_name(token)

    def exists(self, key: str) -> Stored | None:
        """What lies at the target, be it a file, a folder or a link; None if nothing does."""
        path = self._path(key)
        with writing(str(path)):
            try:
                status = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return Stored(status.st_size, local_tag(status))

    def publish(self, temporary: Path, key: str, digests: Digests, *, overwrite: bool) -> Stored:
        """Moves the temporary file to its target, all or nothing, and makes sure that it survives a power cut.

        Raises:
            TargetExists: if something lies there and ``overwrite`` is false; the temporary file stays.
            ChecksumMismatch: if the temporary file is not as long as it was.
            WriteError: if the disk is full, or does not allow it.
        """
        require_size(temporary, digests)
        return self.move(temporary, key, overwrite=overwrite)

    def move(self, temporary: Path, key: str, *, overwrite: bool) -> Stored:
        """As ``publish``, of a file whose digests nobody needs.

        Raises:
            TargetExists: if something lies there and ``overwrite`` is false; the temporary file stays.
            WriteError: if the disk is full, or does not allow it.
        """
        path = self._path(key)
        with writing(str(path)):
            _sync(temporary)
            if overwrite:
                temporary.replace(path)
            elif not _move_new(temporary, path):
                raise TargetExists(f"{path} exists already; remove it, or ask for overwriting")
            _sync(path.parent)
            status = path.lstat()
        return Stored(status.st_size, local_tag(status))

    def remove(self, key: str) -> None:
        """Removes what lies at the target, if something does."""
        path = self._path(key)
        with writing(str(path)):
            path.unlink(missing_ok=True)

    def cleanup(self, key: str, token: str) -> None:
        """Removes the temporary file of an attempt, if it is there."""
        path = self._path(key).parent / temporary_name(token)
        with writing(str(path)):
            path.unlink(missing_ok=True)

    def source(self, key: str) -> LocalSource:
        """The target, to read from."""
        return LocalSource(self._path(key))

    def url(self, key: str) -> str:
        """What the target is called."""
        self.check_name(key)
        return path_url(self._root / key)


def _make_folder(folder: Path) -> None:
    """Makes a folder and those above it, each recorded on the disk in the one above."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
    _sync(folder.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _move_new(temporary: Path, path: Path) -> bool:
    """Moves a file to a name that is free; false, and nothing done, if it is not."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename_new(temporary, path)
    temporary.unlink()
    return True


def _rename_new(temporary: Path, path: Path) -> bool:
    """As ``_move_new``, where there are no hard links.

    Where the file system cannot rename without replacing either, the name is looked at first: a file that
    another program makes at that very moment would be replaced.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        old, new = os.fsencode(temporary), os.fsencode(path)
        if library.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE) == 0:
            return True
        code = ctypes.get_errno()
        if code == errno.EEXIST:
            return False
        if code not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise OSError(code, os.strerror(code))
    if os.path.lexists(path):
        return False
    temporary.rename(path)
    return True
