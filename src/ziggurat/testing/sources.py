"""Sources for tests: bytes in memory, and a wrapper that counts what is asked of another source."""

from collections.abc import Sequence
from hashlib import sha256

from ziggurat.errors import SourceChanged
from ziggurat.storage.protocol import ByteSource, SourceVersion
from ziggurat.storage.ranges import ByteRange


class BytesSource:
    """A ``ByteSource`` over bytes in memory.

    Args:
        data: what lies there.
        url: the name that messages give it.
    """

    def __init__(self, data: bytes, url: str = "memory:test") -> None:
        self._data = bytes(data)
        self._url = url
        self.closed = False

    @property
    def url(self) -> str:
        """The name given."""
        return self._url

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._data)

    @property
    def version(self) -> SourceVersion:
        """Tagged by the digest of the bytes."""
        return SourceVersion(len(self._data), sha256(self._data).hexdigest())

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Copies of the ranges.

        Raises:
            SourceChanged: if a range leaves the bytes.
        """
        assert not self.closed, f"{self._url} was read after it had been closed"
        for item in ranges:
            if item.end > len(self._data):
                raise SourceChanged(f"{self._url} has {len(self._data)} bytes, {item.start} to {item.end} leaves them")
        return [self._data[item.start : item.end] for item in ranges]

    def close(self) -> None:
        """Makes every later read fail."""
        self.closed = True


class CountingSource:
    """A ``ByteSource`` that passes everything on to another one and keeps count.

    Attributes:
        requests: calls of ``read_ranges``.
        ranges: every range asked for, in order.
        closed: calls of ``close``.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.requests = 0
        self.ranges: list[ByteRange] = []
        self.closed = 0

    @property
    def bytes_read(self) -> int:
        """Sum of the lengths of all ranges asked for."""
        return sum(item.length for item in self.ranges)

    @property
    def url(self) -> str:
        """The other source's."""
        return self._source.url

    @property
    def size(self) -> int:
        """The other source's."""
        return self._source.size

    @property
    def version(self) -> SourceVersion:
        """The other source's."""
        return self._source.version

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Reads through, counting."""
        self.requests += 1
        self.ranges.extend(ranges)
        return self._source.read_ranges(ranges)

    def reset(self) -> None:
        """Starts counting anew."""
        self.requests = 0
        self.ranges = []

    def close(self) -> None:
        """Closes the other source."""
        self.closed += 1
        self._source.close()
