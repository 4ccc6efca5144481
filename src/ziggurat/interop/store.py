"""A read-only Zarr store over levels of pixels: documents are made once, chunks when they are asked for.

Zarr v3 core specification 3.1, "Stores"; ``zarr.abc.store`` of zarr-python 3.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import product
from typing import Final, Protocol

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from ziggurat.interop.multiscale import Grid

KEPT: Final = 256 << 20
"""Bytes of chunks that a store keeps unless told otherwise."""

_CHUNKS: Final = "c"


class Hierarchy(Protocol):
    """A Zarr group of levels, as bytes."""

    @property
    def documents(self) -> Mapping[str, bytes]:
        """All ``zarr.json``, by key."""
        ...

    @property
    def grids(self) -> Sequence[Grid]:
        """The arrays, finest level first; their paths are their numbers."""
        ...

    def chunk(self, level: int, place: Sequence[int]) -> bytes:
        """The bytes of one chunk that the grid has. May be called from several threads.

        Raises:
            ZigguratError: if it cannot be had.
        """
        ...

    def close(self) -> None:
        """Lets go of what it reads from."""
        ...


class ImageStore(Store):
    """A store that nothing can be written to. Made by ``ziggurat.zarr_store``; safe to use from several threads.

    Args:
        hierarchy: what it shows.
        again: makes an equal store in another process; None for one that cannot be pickled.
        cache: bytes of chunks that are kept.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, hierarchy: Hierarchy, again: "partial[ImageStore] | None" = None, cache: int = KEPT) -> None:
        super().__init__(read_only=True)
        self._hierarchy = hierarchy
        self._again = again
        self._kept = _Kept(cache)
        self._is_open = True

    @property
    def hierarchy(self) -> Hierarchy:
        """What it shows."""
        return self._hierarchy

    def __eq__(self, value: object) -> bool:
        """Whether both were opened alike."""
        if not isinstance(value, ImageStore) or self._again is None or value._again is None:
            return self is value
        mine, other = self._again, value._again
        return (mine.func, mine.args, mine.keywords) == (other.func, other.args, other.keywords)

    __hash__ = None  # type: ignore[assignment]  # as all stores of zarr-python

    def __repr__(self) -> str:
        shapes = [" x ".join(map(str, grid.shape)) for grid in self._hierarchy.grids]
        return f"<ImageStore {', '.join(shapes)}>"

    def __reduce__(self) -> tuple[object, tuple[()]]:
        if self._again is None:
            raise TypeError("this store reads from an image that has no address; open it by its URL to pickle it")
        return self._again, ()

    def close(self) -> None:
        """Lets go of the image."""
        super().close()
        self._hierarchy.close()

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The bytes of a key, or of a part of it; None if there is no such key."""
        found = self._hierarchy.documents.get(key)
        if found is None:
            place = self._place(key)
            if place is None:
                return None
            found = self._kept.find(key)
            if found is None:
                found = await asyncio.to_thread(self._kept.get, key, partial(self._hierarchy.chunk, *place))
        return prototype.buffer.from_bytes(found if byte_range is None else _part(found, byte_range))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Several at once."""
        return list(await asyncio.gather(*(self.get(key, prototype, wanted) for key, wanted in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        return key in self._hierarchy.documents or self._place(key) is not None

    def _place(self, key: str) -> tuple[int, list[int]] | None:
        """Level and place of a chunk; None if there is no such chunk."""
        level, *rest = key.split("/")
        numbers = [level, *rest[1:]]
        if rest[:1] != [_CHUNKS] or any(not _is_number(part) for part in numbers):
            return None
        grids = self._hierarchy.grids
        place = [int(part) for part in rest[1:]]
        if int(level) >= len(grids) or grids[int(level)].part(place) is None:
            return None
        return int(level), place

    async def set(self, key: str, value: Buffer) -> None:
        """Refused: the store is read-only."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refused: the store is read-only."""
        self._check_writable()

    def _keys(self) -> Iterator[str]:
        yield from self._hierarchy.documents
        for level, grid in enumerate(self._hierarchy.grids):
            for place in product(*map(range, grid.counts)):
                yield "/".join(map(str, (level, _CHUNKS, *place)))

    async def list(self) -> AsyncIterator[str]:
        """All keys."""
        for key in self._keys():
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """All keys that begin so."""
        for key in self._keys():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names of what lies directly below a path."""
        for name in self._names([part for part in prefix.split("/") if part]):
            yield name

    def _names(self, path: Sequence[str]) -> Iterable[str]:
        prefix = "".join(f"{part}/" for part in path)
        documents = self._hierarchy.documents
        named = dict.fromkeys(key[len(prefix) :].split("/")[0] for key in documents if key.startswith(prefix))
        return [*named, *self._places(path)]

    def _places(self, path: Sequence[str]) -> Iterable[str]:
        """Names of chunks, and of what they lie in, directly below a path."""
        grids = self._hierarchy.grids
        if not path or not _is_number(path[0]) or int(path[0]) >= len(grids):
            return []
        if len(path) == 1:
            return [_CHUNKS]
        counts, place = grids[int(path[0])].counts, path[2:]
        if path[1] != _CHUNKS or len(place) >= len(counts):
            return []
        inside = all(_is_number(at) and int(at) < count for at, count in zip(place, counts, strict=False))
        return map(str, range(counts[len(place)])) if inside else []


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")


def _part(data: bytes, wanted: ByteRequest) -> bytes:
    match wanted:
        case RangeByteRequest(start, end):
            return data[start:end]
        case OffsetByteRequest(offset):
            return data[offset:]
        case SuffixByteRequest(suffix):
            return data[-suffix:] if suffix else b""
    raise TypeError(f"Unexpected byte_range, got {wanted!r}")


class _Kept:
    """Chunks that were made last, and those that are being made: nobody makes one twice at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._data: OrderedDict[str, bytes] = OrderedDict()
        self._coming: dict[str, Future[bytes]] = {}
        self._lock = threading.Lock()

    def find(self, key: str) -> bytes | None:
        with self._lock:
            found = self._data.get(key)
            if found is not None:
                self._data.move_to_end(key)
            return found

    def get(self, key: str, make: "partial[bytes]") -> bytes:
        with self._lock:
            if key in self._data:
                return self._data[key]
            coming = self._coming.get(key)
            mine: Future[bytes] | None = None
            if coming is None:
                coming = mine = self._coming[key] = Future()
        if mine is None:
            return coming.result()
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                del self._coming[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._coming[key]
            self._keep(key, made)
        mine.set_result(made)
        return made

    def _keep(self, key: str, made: bytes) -> None:
        if len(made) > self._most:
            return
        self._data[key] = made
        self._bytes += len(made)
        while self._bytes > self._most:
            _, gone = self._data.popitem(last=False)
            self._bytes -= len(gone)
