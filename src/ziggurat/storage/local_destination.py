"""Results in a folder of this machine."""

import ctypes
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ziggurat.errors import TargetExists, TargetRefused
from ziggurat.storage.local import LocalSource, local_tag, reading
from ziggurat.storage.names import check_key, temporary_name
from ziggurat.storage.stored import Digests, ReadBack, Stored, require_size, writing
from ziggurat.storage.tree import MARK, discard, inner_files, is_folder, is_tree
from ziggurat.storage.urls import path_url

_NO_LINKS: Final = frozenset({
    errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EACCES
})  # fmt: skip
"""What file systems without hard links say; some say EACCES."""

_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2


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
        """Moves the temporary file or folder to its target, all or nothing, and makes sure it survives a power cut.

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
            TargetExists: if something lies there and ``overwrite`` is false, or a folder that is no group; the
                temporary file stays.
            WriteError: if the disk is full, or does not allow it.
        """
        path = self._path(key)
        with writing(str(path)):
            _sync_all(temporary)
            if overwrite:
                _replace(temporary, path)
            elif not _move_new(temporary, path):
                raise TargetExists(f"{path} exists already; remove it, or ask for overwriting")
            _sync(path.parent)
            status = path.lstat()
        return Stored(status.st_size, local_tag(status))

    def inner(self, key: str) -> Sequence[str] | None:
        """Names of the files in the folder that lies at the target; None where it is a file.

        Raises:
            SourceError: if it cannot be read.
        """
        path = self._path(key)
        if not is_folder(path):
            return None
        with reading(str(path)):
            return inner_files(path)

    def remove(self, key: str) -> None:
        """Removes what lies at the target, if something does; a folder only by a name of one."""
        path = self._path(key)
        with writing(str(path)):
            if is_tree(key):
                discard(path)
            else:
                path.unlink(missing_ok=True)

    def cleanup(self, key: str, token: str) -> None:
        """Removes the temporary file or folder of an attempt, if it is there."""
        path = self._path(key).parent / temporary_name(token)
        with writing(str(path)):
            discard(path)

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


def _sync_all(path: Path) -> None:
    """Of a folder, all that is in it, too."""
    if is_folder(path):
        for inner in path.rglob("*"):
            _sync(inner)
    _sync(path)


def _replace(temporary: Path, path: Path) -> None:
    """Moves a file to a name, in the place of a file that has it; or a folder, in the place of a group.

    Where the file system cannot exchange two names, the old group is removed before the new one is there.
    """
    if not is_folder(temporary):
        temporary.replace(path)
    elif not os.path.lexists(path):
        temporary.rename(path)
    elif is_folder(path) and not (path / MARK).is_file():
        raise TargetExists(f"{path} is a folder without {MARK}, which is not replaced; move it away")
    elif _renameat2(temporary, path, _RENAME_EXCHANGE) == 0:
        discard(temporary)
    else:
        discard(path)
        temporary.rename(path)


def _move_new(temporary: Path, path: Path) -> bool:
    """Moves a file or folder to a name that is free; false, and nothing done, if it is not."""
    if is_folder(temporary):
        return _rename_new(temporary, path)
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
    code = _renameat2(temporary, path, _RENAME_NOREPLACE)
    if code in {0, errno.EEXIST}:
        return code == 0
    if code not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
        raise OSError(code, os.strerror(code))
    if os.path.lexists(path):
        return False
    temporary.rename(path)
    return True


def _renameat2(old: Path, new: Path, flag: int) -> int:
    """Linux's renaming without replacing, or with exchanging; 0, or the error's number."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return errno.ENOSYS
    done = library.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flag) == 0
    return 0 if done else ctypes.get_errno()
