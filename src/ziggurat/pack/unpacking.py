"""Images of a pack, written as the files that they were."""

import hashlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from ziggurat.errors import SourceError, SourceRefused, StoreFull, StoreUnavailable, WriteError
from ziggurat.pack.contents import Content, contents
from ziggurat.pack.entry import Entry
from ziggurat.pack.pack import Pack
from ziggurat.pack.packing import Outcome
from ziggurat.storage.destination import Destination, open_destination
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.stored import Digests, pieces, writing

AT_ONCE: Final = 8
"""Files written side by side: each waits for the disk or the store."""


def checked(source: ByteSource, sha256: bytes) -> Iterator[bytes]:
    """All of an image, piece by piece.

    Args:
        source: of the image.
        sha256: that it must have; empty if that is not known.

    Raises:
        SourceError: if it cannot be read, or is not what was packed; then the last piece is not given.
    """
    digest, left = hashlib.sha256(), source.size
    for piece in pieces(source, source.size):
        digest.update(piece)
        left -= len(piece)
        if not left and sha256 not in {b"", digest.digest()}:
            raise SourceRefused(f"{source.url} is damaged: its SHA-256 is {digest.hexdigest()}, not {sha256.hex()}")
        yield piece


def unpack_images(
    pack: Pack,
    place: str,
    *,
    where: str | None = None,
    overwrite: bool = False,
    progress: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Writes the images of a pack to a folder or prefix, each whole or not at all.

    Args:
        pack: the pack.
        place: folder, or s3:, gs: or az: URL.
        where: an SQL expression that chooses images.
        overwrite: other files that lie there are replaced.
        progress: called now and then.

    Raises:
        StoreFull: if there is no room left.
        StoreUnavailable: if the store does not answer.
        UsageError: if nothing can be written there.
    """
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="ziggurat-") as scratch, ThreadPoolExecutor(AT_ONCE) as threads:
        target = _Target(open_destination(place, scratch=scratch), overwrite=overwrite)
        waiting: deque[tuple[Entry, Future[bool]]] = deque()

        def settle() -> None:
            entry, future = waiting.popleft()
            _count(outcome, entry, future)
            progress(outcome)

        try:
            for entry, content in contents(pack, pack.stored(where)):
                waiting.append((entry, threads.submit(target.put, entry, content)))
                if len(waiting) > 2 * AT_ONCE:
                    settle()
            while waiting:
                settle()
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return outcome


def _count(outcome: Outcome, entry: Entry, future: Future[bool]) -> None:
    try:
        written = future.result()
    except (StoreFull, StoreUnavailable):
        raise
    except (SourceError, WriteError) as error:
        outcome.left.append((entry.key, f"{type(error).__name__}: {error}"))
        return
    outcome.packed += written
    outcome.there += not written
    outcome.bytes += entry.length if written else 0


class _Target:
    """Where files are written to."""

    def __init__(self, destination: Destination, *, overwrite: bool) -> None:
        self._destination = destination
        self._overwrite = overwrite

    def put(self, entry: Entry, content: Content) -> bool:
        """Writes a file; false if it was there already.

        Raises:
            SourceError: if the image cannot be read.
            WriteError: if it cannot be written.
        """
        destination, key = self._destination, entry.key
        destination.check_name(key)
        if isinstance(content, SourceError):
            raise content
        if isinstance(content, bytes) and destination.matches(key, _digests([content])):
            return False
        token = f"unpack-{entry.id}"
        temporary = destination.temporary(key, token)
        try:
            parts = [content] if isinstance(content, bytes) else checked(content, entry.sha256)
            with writing(str(temporary)), temporary.open("wb") as file:
                digests = _digests(parts, file.write)
            if not isinstance(content, bytes) and destination.matches(key, digests):
                return False
            destination.publish(temporary, key, digests, overwrite=self._overwrite)
        finally:
            destination.cleanup(key, token)
        return True


def _digests(parts: Iterable[bytes], write: Callable[[bytes], object] = len) -> Digests:
    """What identifies bytes, which are written on the way."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    for part in parts:
        sha256.update(part)
        md5.update(part)
        write(part)
        size += len(part)
    return Digests(sha256.hexdigest(), md5.hexdigest(), size)
