"""Files on a disk of this machine."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ziggurat.errors import SourceChanged, SourceNotFound, SourceRefused, StoreUnavailable, UsageError
from ziggurat.storage.allowance import take
from ziggurat.storage.protocol import SourceVersion
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.urls import path_url

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
_PASSING = frozenset({
    errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT, errno.EHOSTDOWN
})  # fmt: skip
"""What a network file system, or a machine under load, may say once and not again."""


_NO_COPYING = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EBADF})
"""What says that a file system, or a container, does not offer copying between files."""


def local_tag(status: os.stat_result) -> str:
    """The version tag of a local file."""
    return f"mtime:{status.st_mtime_ns}"


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Turns what the operating system says into the errors of a source."""
    try:
        yield
    except OSError as error:
        if error.errno in _ABSENT:
            raise SourceNotFound(f"{url}: there is no such file; check the path") from error
        if error.errno in _PASSING:
            raise StoreUnavailable(f"{url}: {error.strerror}; try again later") from error
        raise SourceRefused(f"{url}: {error.strerror}; check the path and its permissions") from error
    except ValueError as error:
        raise SourceRefused(f"{url!a}: no file can have this name ({error})") from error


class LocalSource:
    """A regular file, read by position; safe to use from several threads, but for ``close``.

    Devices, pipes and folders are refused: opening does not wait for the other end of a pipe.

    Args:
        path: of the file; links are followed.

    Raises:
        SourceNotFound: if there is none.
        SourceRefused: if it is no regular file, or may not be read.
        StoreUnavailable: if the file system fails.
    """

    def __init__(self, path: Path | str) -> None:
        self._file = -1
        try:
            self._url = path_url(path)
        except UsageError as error:
            raise SourceRefused(str(error)) from error
        with reading(self._url):
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise SourceRefused(f"{self._url} is no regular file; give the path of one")
        self._version = SourceVersion(status.st_size, local_tag(status))

    @property
    def url(self) -> str:
        """The path, or a file: URL where the path is not text."""
        return self._url

    @property
    def size(self) -> int:
        """Length in bytes, as it was on opening."""
        return self._version.size

    @property
    def version(self) -> SourceVersion:
        """Size and modification time on opening."""
        return self._version

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The bytes of all ranges, in the order given.

        Raises:
            SourceChanged: if the file was changed since it was opened, or a range leaves it.
            StoreUnavailable: if the file system fails.
            TooManyBytes: if this process may not read so much.
            UsageError: if the source is closed.
        """
        take(ranges)
        with self._reading():
            return [self._read(item) for item in ranges]

    def read_into(self, start: int, room: memoryview) -> None:
        """Fills a buffer of bytes with those from ``start`` on.

        Raises:
            SourceChanged: if the file was changed since it was opened, or the range leaves it.
            StoreUnavailable: if the file system fails.
            TooManyBytes: if this process may not read so much.
            UsageError: if the source is closed.
        """
        take([ByteRange(start, start + len(room))])
        with self._reading():
            at = 0
            while at < len(room):
                count = os.preadv(self._file, [room[at:]], start + at)
                if not count:
                    raise SourceChanged(
                        f"{self._url} ends at {start + at}, and {start} to {start + len(room)} were asked for; the "
                        "file is shorter than it was, or than it claims"
                    )
                at += count

    def copy(self, item: ByteRange, target: int) -> bool:
        """Copies a range to where another file stands, without its bytes passing through this process.

        Args:
            item: the range.
            target: descriptor of a file that is open for writing.

        Returns:
            Whether the operating system could; if not, nothing was written.

        Raises:
            SourceChanged: if the file was changed since it was opened, or the range leaves it.
            OSError: if the other file cannot be written to.
        """
        position = item.start
        while position < item.end:
            try:
                copied = os.copy_file_range(self._file, target, item.end - position, position)
            except (AttributeError, OSError) as error:
                if position == item.start and (isinstance(error, AttributeError) or error.errno in _NO_COPYING):
                    return False
                raise
            if not copied:
                raise SourceChanged(f"{self._url} ends at {position}, it had {self.size} bytes; it was changed")
            position += copied
        with self._reading():
            return True

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Refuses what was read of a file that is closed, or changed meanwhile."""
        if self._file < 0:
            raise UsageError(f"{self._url} is closed; open it again to read from it")
        with reading(self._url):
            yield
            status = os.fstat(self._file)
        if (status.st_size, local_tag(status)) != (self._version.size, self._version.tag):
            raise SourceChanged(f"{self._url} was changed while it was read; try again when nothing writes to it")

    def _read(self, item: ByteRange) -> bytes:
        if item.end > self.size:
            raise SourceChanged(
                f"{self._url} has {self.size} bytes; {item.start} to {item.end} were asked for; the file is "
                "shorter than it was, or than it claims"
            )
        data = os.pread(self._file, item.length, item.start)
        if len(data) == item.length:
            return data
        # One call returns at most 2 GiB, and fewer on some network file systems.
        pieces = [data]
        position = item.start + len(data)
        while position < item.end:
            piece = os.pread(self._file, item.end - position, position)
            if not piece:
                raise SourceChanged(f"{self._url} ends at {position}, it had {self.size} bytes; it was changed")
            pieces.append(piece)
            position += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Closes the file. No other thread may be reading."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def __del__(self) -> None:
        self.close()
