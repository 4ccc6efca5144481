"""A folder as zarr-python asks for it: a store that is only read, one array at a time."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import closing
from threading import Lock
from typing import Final

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from ziggurat.errors import CorruptImage, SourceNotFound
from ziggurat.format.zarr.documents import LONGEST, Folder
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

HELD: Final = 32
"""Files that are kept open, of those that are read in parts: shards."""

METADATA: Final = frozenset({"zarr.json", ".zarray", ".zattrs"})


class FolderStore(Store):
    """One array of a folder.

    Its documents are those that were checked before; others that lie there by now are not looked at.

    Args:
        folder: where its files lie.
        path: of the array below the folder.
        documents: its documents by name.
    """

    def __init__(self, folder: Folder, path: str, documents: dict[str, bytes]) -> None:
        super().__init__(read_only=True)
        self._folder = folder
        self._prefix = f"{path}/" if path else ""
        self._documents = documents
        self._held: OrderedDict[str, ByteSource] = OrderedDict()
        self._lock = Lock()
        self.longest = LONGEST

    def __eq__(self, value: object) -> bool:
        return self is value

    def __hash__(self) -> int:
        return id(self)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """All of a file, or a part; None if there is no such file."""
        return await asyncio.to_thread(self.get_sync, key, prototype=prototype, byte_range=byte_range)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The same, in this thread."""
        if key in METADATA:
            data = self._documents.get(key)
        elif byte_range is None:
            data = self._whole(key)
        else:
            parts = self._parts(key, [byte_range])
            data = None if parts is None else parts[0]
        return None if data is None else (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    async def get_ranges(
        self, key: str, byte_ranges: Sequence[ByteRequest | None], *, prototype: BufferPrototype, **_: int
    ) -> AsyncIterator[Sequence[tuple[int, Buffer | None]]]:
        """Parts of a file in one batch: the source joins those that lie close together.

        Raises:
            FileNotFoundError: in a group, if there is no such file.
        """
        yield await asyncio.to_thread(self.get_ranges_sync, key, byte_ranges, prototype=prototype)

    def get_ranges_sync(
        self, key: str, byte_ranges: Sequence[ByteRequest | None], *, prototype: BufferPrototype, **_: int
    ) -> Sequence[tuple[int, Buffer | None]]:
        """The same, in this thread.

        Raises:
            FileNotFoundError: in a group, if there is no such file.
        """
        parts = self._parts(key, byte_ranges)
        if parts is None:
            raise BaseExceptionGroup(key, [FileNotFoundError(key)])
        return [(index, prototype.buffer.from_bytes(data)) for index, data in enumerate(parts)]

    def _whole(self, key: str) -> bytes | None:
        try:
            source = self._folder.open(self._prefix + key)
        except SourceNotFound:
            return None
        with closing(source):
            if source.size > self.longest:
                raise CorruptImage(f"{source.url} has {source.size} bytes; no chunk of this array has so many")
            return source.read_ranges([ByteRange(0, source.size)])[0]

    def _parts(self, key: str, wanted: Sequence[ByteRequest | None]) -> list[bytes] | None:
        source = self._kept(key)
        return None if source is None else source.read_ranges([_range(item, source) for item in wanted])

    def _kept(self, key: str) -> ByteSource | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        try:
            source = self._folder.open(self._prefix + key, whole=False)
        except SourceNotFound:
            return None
        with self._lock:
            self._held[key] = source
            # Another thread may be reading what is let go of: it closes when nobody has it any more.
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        return source

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Parts of several files."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether there is a document."""
        return key in self._documents

    @property
    def supports_writes(self) -> bool:
        """Never."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """Never."""
        return False

    @property
    def supports_listing(self) -> bool:
        """Never: nothing that is not asked for by name is read."""
        return False

    async def set(self, key: str, value: Buffer) -> None:
        """Never."""
        raise self._unasked(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Never; a store that is read without waiting must say so."""
        raise self._unasked(key, value)

    def delete_sync(self, key: str) -> None:
        """Never, as above."""
        raise self._unasked(key)

    async def delete(self, key: str) -> None:
        """Never."""
        raise self._unasked(key)

    def list(self) -> AsyncIterator[str]:
        """Never."""
        raise self._unasked()

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Never."""
        raise self._unasked(prefix)

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Never."""
        raise self._unasked(prefix)

    def _unasked(self, *_: object) -> NotImplementedError:
        return NotImplementedError(f"{self._folder.url} is only read, and by name")


def _range(wanted: ByteRequest | None, source: ByteSource) -> ByteRange:
    """What is asked for, in bytes.

    Raises:
        CorruptImage: if it is no part of the file.
    """
    match wanted:
        case None:
            start, end = 0, source.size
        case RangeByteRequest(start, end):
            pass
        case OffsetByteRequest(start):
            end = source.size
        case SuffixByteRequest(suffix):
            start, end = source.size - suffix, source.size
    if not 0 <= start <= end <= source.size:
        raise CorruptImage(f"{source.url}: its index points to {start} to {end}, it has {source.size} bytes")
    return ByteRange(start, end)
