"""The one contract of this layer: bytes somewhere, read by ranges."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ziggurat.storage.ranges import ByteRange


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """What tells one state of a source from another.

    Attributes:
        size: bytes.
        tag: the store's ETag, or a local file's modification time in nanoseconds ("mtime:...").
    """

    size: int
    tag: str


class ByteSource(Protocol):
    """Random access to immutable bytes. Safe to use from several threads."""

    @property
    def url(self) -> str:
        """Where the bytes lie, for messages; without credentials."""
        ...

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    @property
    def version(self) -> SourceVersion:
        """What was there when the source was opened."""
        ...

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Reads all ranges, in the order given, in as few requests as is sensible.

        Raises:
            SourceChanged: if the bytes are no longer those that were opened, or a range leaves them.
            StoreUnavailable: if the store does not answer.
        """
        ...

    def close(self) -> None:
        """Releases what is held; reading afterwards is an error."""
        ...


@runtime_checkable
class Filling(Protocol):
    """A source that puts bytes where they are wanted, without a copy between."""

    def read_into(self, start: int, room: memoryview) -> None:
        """Fills a buffer of bytes with those from ``start`` on.

        Raises:
            SourceChanged: if the bytes are no longer those that were opened, or the range leaves them.
            StoreUnavailable: if the store does not answer.
        """
        ...
