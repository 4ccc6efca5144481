"""Bytes that are in memory already, as a source; and ``memory:`` URLs for them within one process."""

from collections.abc import Sequence

from ziggurat.errors import SourceChanged, SourceNotFound, UsageError
from ziggurat.storage.protocol import SourceVersion
from ziggurat.storage.ranges import ByteRange

_held: dict[str, bytes] = {}


class MemorySource:
    """Bytes in memory, read as any other source.

    Args:
        url: what to call it.
        data: the bytes.
        version: of the place where they were read; None makes one of their length.
    """

    def __init__(self, url: str, data: bytes, *, version: SourceVersion | None = None) -> None:
        self._url = url
        self._data: bytes | None = data
        self._version = SourceVersion(len(data), "memory") if version is None else version

    @property
    def url(self) -> str:
        """What it is called."""
        return self._url

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._version.size

    @property
    def version(self) -> SourceVersion:
        """Of the place where the bytes were read, if that was given."""
        return self._version

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The bytes of all ranges, in the order given.

        Raises:
            SourceChanged: if a range leaves the bytes.
            UsageError: if the source is closed.
        """
        data = self._data
        if data is None:
            raise UsageError(f"{self._url} is closed; open it again to read from it")
        for item in ranges:
            if item.end > len(data):
                raise SourceChanged(f"{self._url} has {len(data)} bytes; {item.start} to {item.end} were asked for")
        return [data[item.start : item.end] for item in ranges]

    def close(self) -> None:
        """Lets go of the bytes."""
        self._data = None


def hold(name: str, data: bytes) -> str:
    """Keeps bytes under a name in this process, until ``release``.

    Returns:
        The URL, ``memory:<name>``, that opens them.
    """
    _held[name] = data
    return f"memory:{name}"


def release(name: str) -> None:
    """Forgets what ``hold`` keeps under a name; no matter whether there is something."""
    _held.pop(name, None)


def open_held(name: str) -> MemorySource:
    """A source over what ``hold`` keeps.

    Raises:
        SourceNotFound: if nothing has that name in this process.
    """
    data = _held.get(name)
    if data is None:
        raise SourceNotFound(f"memory:{name}: nothing is held under this name in this process")
    return MemorySource(f"memory:{name}", data)
