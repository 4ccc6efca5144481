"""What is known of a result on its way to its place, and what can go wrong on the way."""

import errno
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ziggurat.errors import ChecksumMismatch, StoreFull, WriteError
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.tree import combined, inner_files, is_folder

PIECE: Final = 1 << 23
"""Bytes of a large file that are in memory at a time."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Digests:
    """What identifies the bytes of a result.

    Attributes:
        sha256: hexadecimal, for the ledger and for reading back.
        md5: hexadecimal, for comparing with a store's ETag; no protection against forgery. Empty of a folder.
        size: bytes.
    """

    sha256: str
    md5: str
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What lies at a target.

    Attributes:
        size: bytes.
        tag: version tag, as ``SourceVersion`` has it.
    """

    size: int
    tag: str


def digests_of(path: Path) -> Digests:
    """Reads a file once and hashes it; of a folder, all its files, whose list is what the digests are of.

    Raises:
        WriteError: if it cannot be read.
    """
    if is_folder(path):
        with writing(str(path)):
            names = inner_files(path)
        found = [(name, digests_of(path / name)) for name in names]
        total, size = combined((name, own.sha256, own.size) for name, own in found)
        return Digests(total, "", size)
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with writing(str(path)), path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE):
            sha256.update(piece)
            md5.update(piece)
            size += len(piece)
    return Digests(sha256.hexdigest(), md5.hexdigest(), size)


def source_digest(source: ByteSource) -> tuple[str, int]:
    """SHA-256, hexadecimal, and size of all that a source holds, in bounded memory.

    Raises:
        SourceError: if it cannot be read, or changes meanwhile.
    """
    sha256 = hashlib.sha256()
    for piece in pieces(source, source.size):
        sha256.update(piece)
    return sha256.hexdigest(), source.size


def pieces(source: ByteSource, length: int, size: int = PIECE) -> Iterator[bytes]:
    """The first bytes of a source, one piece after another.

    Args:
        source: where they are from.
        length: bytes in all.
        size: bytes of a piece; the last one may be shorter.

    Raises:
        SourceError: if it cannot be read, or has fewer bytes; while iterating.
    """
    for start in range(0, length, size):
        yield source.read_ranges([ByteRange(start, min(start + size, length))])[0]


class ReadBack(Protocol):
    """Tells what lies at the targets of a destination by reading it. What is published there is there at once."""

    gathers: bool = False

    def settle(self, tokens: Sequence[str]) -> list[str]:  # noqa: ARG002 - destinations that gather do something
        """Nothing is left to do."""
        return []

    def exists(self, key: str) -> Stored | None:
        """What lies at the target; None if nothing does."""
        ...

    def source(self, key: str) -> ByteSource:
        """The target, to read from."""
        ...

    def inner(self, key: str) -> Sequence[str] | None:  # noqa: ARG002 - destinations that hold folders look
        """Names of the files in the folder that lies at the target; None where it is a file.

        Raises:
            SourceError: if it cannot be read.
        """
        return None

    def digest(self, key: str) -> tuple[str, int]:
        """SHA-256, hexadecimal, and size of what lies at the target, of a folder of its files' list; reads it all.

        Raises:
            SourceError: if it cannot be read.
        """
        names = self.inner(key)
        if names is None:
            return self._digest(key)
        return combined((name, *self._digest(f"{key}/{name}")) for name in names)

    def _digest(self, key: str) -> tuple[str, int]:
        with closing(self.source(key)) as source:
            return source_digest(source)

    def holds(self, key: str, sha256: str) -> bool:
        """Whether bytes with this SHA-256 lie at the target; reads them."""
        return self.exists(key) is not None and self.digest(key)[0] == sha256

    def matches(self, key: str, digests: Digests) -> bool:
        """Whether exactly these bytes lie at the target; reads those of a file only if the size is right."""
        found = self.exists(key)
        if found is None or (found.size != digests.size and self.inner(key) is None):
            return False
        return self.digest(key) == (digests.sha256, digests.size)


def require_size(path: Path, digests: Digests) -> None:
    """Makes sure that a temporary file, or folder, is still as long as when it was hashed.

    Raises:
        ChecksumMismatch: if it is not.
        WriteError: if it is gone.
    """
    with writing(str(path)):
        size = (
            sum((path / name).stat().st_size for name in inner_files(path)) if is_folder(path) else path.stat().st_size
        )
    if size != digests.size:
        raise ChecksumMismatch(f"{path} has {size} bytes, it had {digests.size} when it was verified; write it again")


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Turns what the operating system says into WriteError, or StoreFull where no room is left, with what to do.

    Args:
        place: what is being written, for the message.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull(
                f"{place}: {error.strerror}; free space on the disk or raise the quota, then run the same command again"
            ) from error
        if error.errno == errno.EFBIG:
            advice = "the file system or a limit of the process allows no file of this size"
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            advice = "make the folder writable for this user, or choose another destination"
        elif error.errno in {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}:
            advice = "a file lies where a folder is needed, or the other way round: move it away"
        elif error.errno == errno.ENOENT:
            advice = "the file or its folder was removed meanwhile: run the same command again"
        else:
            advice = "check the disk, then run the same command again"
        raise WriteError(f"{place}: {error.strerror or error}; {advice}") from error
