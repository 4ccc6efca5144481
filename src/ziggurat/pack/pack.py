"""A pack as a mapping of keys to encoded images, read where it lies: on a disk, in a store, on a web server."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import batched
from pathlib import Path
from random import Random
from typing import Final, Self

import apsw

from ziggurat.errors import SourceNotFound
from ziggurat.image import DEFAULT_MEMORY, Image, open_image
from ziggurat.pack.connection import Steps, check_there, connected, open_reader, open_remote, reading
from ziggurat.pack.entry import CHUNK, Entry, Tables
from ziggurat.pack.foreign import ForeignTables
from ziggurat.pack.packed import PackTables
from ziggurat.pack.quick import Quick
from ziggurat.pack.schema import Column
from ziggurat.pack.vfs import SourceFile
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.pack_url import PackPlace, Table
from ziggurat.storage.protocol import ByteSource, SourceVersion
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.urls import local_path

SCANNED: Final = 64
"""Images that a scan has in memory."""

AT_ONCE: Final = 16
"""Images that are fetched side by side from a store."""

_inherited: list[object] = []
"""Connections of the process that this one was forked from, and what hangs on them: not to be used, nor closed."""

_reopening = threading.Lock()


class Pack(Mapping[str, bytes]):
    """Encoded images by their keys. Safe to use from several threads, and in processes forked from this one.

    ``pack[key]`` is the file's bytes, ``pack.image(key)`` the open image, ``pack.batch(keys)`` many files at once.
    Iterating gives the keys in the order in which the images lie. Close it, or use ``with``.

    Args:
        place: path of the pack, or its s3:, gs:, az:, http: or https: URL.
        table: where the images are in a database that is no pack.
        network: how stores are reached; None is what ``configure`` set in this process.

    Raises:
        SourceError: if there is none, or it cannot be read.
    """

    def __init__(self, place: str | Path, *, table: Table | None = None, network: NetworkOptions | None = None) -> None:
        self.place = PackPlace(os.fspath(place), table)
        self._network = network
        self._process = 0
        self._open()

    @classmethod
    def open(cls, place: str | Path, *, table: Table | None = None, network: NetworkOptions | None = None) -> Self:
        """The same as ``Pack(...)``."""
        return cls(place, table=table, network=network)

    def _open(self) -> None:
        place, table = self.place.place, self.place.table
        path = local_path(place)
        self._path = None if path is None else os.fspath(path)
        self._lock = threading.RLock()
        self._depth = 0
        self._file: SourceFile | None = None
        self._source: ByteSource | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._own = threading.local()
        self._quick: Quick | None = None
        if path is None:
            self._file, self._source = open_remote(place, self._network)
            self._db = connected(self._file, place)
        else:
            self._db = open_reader(path, place)
        self._tables: Tables
        try:
            with reading(place, self._file), self._db as db:
                self._steps = Steps(db)
                if table is not None:
                    self._tables = ForeignTables(db, place, table)
                else:
                    self._tables = tables = PackTables(db, place, self._network)
                    if self._file is None:
                        self._quick = tables.quick(db)
                    else:
                        self._file.listed = tables.listed
        except BaseException:
            self._let_go()
            raise
        # The last that is done: other threads of a forked process wait for it.
        self._process = os.getpid()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of attributes."""
        return self._tables.columns

    @property
    def facts(self) -> Mapping[str, str]:
        """What the pack says of itself."""
        return self._tables.facts

    @contextmanager
    def snapshot(self) -> Iterator[apsw.Connection]:
        """One state of the pack for all that is read inside. Many reads are faster inside one: its lock is taken once.

        Whoever changes the pack waits until it ends.
        """
        if self._process != os.getpid():
            self._reopen()
        with self._lock, reading(self.place.place, self._file):
            self._steps.taken = 0
            if not self._depth:
                if self._path is not None:
                    check_there(self._path, self.place.place)
                self._db.execute("BEGIN")
            self._depth += 1
            try:
                yield self._db
            finally:
                self._depth -= 1
                if not self._depth and self._quick is not None:
                    self._quick.rest()
                # Where the disk fails, SQLite ends it itself.
                if not self._depth and self._db.in_transaction:
                    self._db.execute("COMMIT")

    def _reopen(self) -> None:
        """Opens the pack anew in a forked process: SQLite's connections and locks do not survive that."""
        with _reopening:
            if self._process != os.getpid():
                _inherited.extend((self._db, self._quick))
                self._open()

    def __len__(self) -> int:
        """How many images there are."""
        with self.snapshot() as db:
            return self._tables.count(db)

    def __iter__(self) -> Iterator[str]:
        """The keys, in the order in which the images lie."""
        with self.snapshot() as db:
            images = self._tables.lying(db)
        yield from images.keys

    def __contains__(self, key: object) -> bool:
        """Whether there is an image of this key."""
        with self.snapshot() as db:
            return isinstance(key, str) and self._tables.find(db, key) is not None

    def __getitem__(self, key: str) -> bytes:
        """The bytes of an image.

        Raises:
            KeyError: if there is none of this key.
            SourceError: if they cannot be read.
        """
        found = self._inside(key)
        if found is None:
            with self.snapshot() as db:
                found = self._tables.whole(db, key)
        if found is None:
            raise KeyError(key)
        return found

    def _inside(self, key: str) -> bytes | None:
        """The same in as few steps as can be, inside a snapshot of this thread; what is unusual is left to others."""
        if not self._depth or self._quick is None or self._process != os.getpid():
            return None
        with self._lock:
            if not self._depth:
                return None
            self._steps.taken = 0
            return self._quick.get(key)

    def listing(self) -> Iterator[str]:
        """The keys, in the order that costs least: of a pack their own."""
        for key, _ in self._in_chunks(self._tables.keys):
            yield key

    def entries(self, where: str | None = None) -> Iterator[Entry]:
        """What is known of the images, in the order of ``listing``.

        Args:
            where: an SQL expression over attributes, ``key``, ``length``, ``format``, ``height``, ``width``, ``bands``
                and ``dtype``; None gives all.

        Raises:
            SourceError: if the expression makes no sense.
        """

        def chunk(db: apsw.Connection, after: Entry | None) -> list[Entry]:
            return self._tables.entries(db, where, after)

        yield from self._in_chunks(chunk)

    def stored(self, where: str | None = None) -> Iterator[Entry]:
        """As ``entries``, in the order in which the images lie."""
        for part in batched(self.places(where), CHUNK):
            with self.snapshot() as db:
                found = {entry.id: entry for entry in self._tables.told(db, [key for _, key in part])}
            # What is removed meanwhile is left out.
            yield from (found[place] for place, _ in part if place in found)

    def places(self, where: str | None = None) -> list[tuple[int, str]]:
        """Numbers and keys of the images that ``entries`` gives, in the order in which they lie."""
        return sorted((entry.id, entry.key) for entry in self.entries(where))

    def _in_chunks[T](self, chunk: Callable[[apsw.Connection, T | None], list[T]]) -> Iterator[T]:
        """All of what a query gives, without a transaction between two chunks: whoever iterates may take his time."""
        last: T | None = None
        while True:
            with self.snapshot() as db:
                found = chunk(db, last)
            if not found:
                return
            yield from found
            last = found[-1]

    def entry(self, key: str) -> Entry:
        """What is known of one image, without its attributes.

        Raises:
            SourceNotFound: if there is none of this key.
        """
        with self.snapshot() as db:
            found = self._tables.find(db, key)
        if found is None:
            raise SourceNotFound(f"{self.place.place} has no image {key[:300]!a}; `ziggurat ls` lists what it has")
        return found

    def batch(self, keys: Sequence[str]) -> list[bytes]:
        """The bytes of several images; of a pack in a store they are fetched side by side.

        Raises:
            KeyError: if there is none of a key.
            SourceError: if they cannot be read.
        """
        if self._file is not None and len(keys) > 1:
            return self._side_by_side(keys)
        with self.snapshot():
            return [self[key] for key in keys]

    def _side_by_side(self, keys: Sequence[str]) -> list[bytes]:
        # Of a pack that is closed, or comes from before a fork, this says so.
        with self.snapshot():
            if self._threads is None:
                self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ziggurat-pack")
            threads = self._threads
        return list(threads.map(self._apart, keys))

    def _apart(self, key: str) -> bytes:
        """The bytes of an image, through a connection of this thread's own."""
        file, place = self._file, self.place.place
        if file is not None and not hasattr(self._own, "db"):
            self._own.db = connected(file, place)
            self._own.steps = Steps(self._own.db)
        with reading(place, file):
            self._own.steps.taken = 0
            found = self._tables.whole(self._own.db, key)
        if found is None:
            raise KeyError(key)
        return found

    def scan(self) -> Iterator[tuple[str, bytes]]:
        """Keys and bytes of all images, in the order in which they lie: one pass from one end to the other."""
        with self.snapshot() as db:
            images = self._tables.lying(db)
        for start in range(0, len(images.keys), SCANNED):
            some = images[start : start + SCANNED]
            with self.snapshot() as db:
                found = self._tables.scan(db, some)
            yield from ((key, data) for key, data in zip(some.keys, found, strict=True) if data is not None)

    def sample(self, count: int, *, seed: int | None = None) -> list[str]:
        """Keys of some images, each at most once.

        Args:
            count: how many; all there are if there are fewer.
            seed: the same one gives the same keys.
        """
        keys = list(self.listing())
        return Random(seed).sample(keys, min(count, len(keys)))  # noqa: S311 - no secret

    def read(self, entry: Entry, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Some bytes of an image, in the order of the ranges.

        Raises:
            SourceError: if they cannot be read.
        """
        with self.snapshot() as db:
            return self._tables.read(db, entry, ranges)

    def source(self, key: str) -> "PackedSource":
        """An image as a source of bytes.

        Raises:
            SourceNotFound: if there is none of this key.
        """
        return PackedSource(self, self.entry(key))

    def image(self, key: str, *, memory: int = DEFAULT_MEMORY) -> Image:
        """An open image; the pack must stay open as long.

        Args:
            key: of the image.
            memory: bytes that one ``read`` may take.

        Raises:
            SourceNotFound: if there is none of this key.
            FormatError: if the bytes are not an image that can be read.
        """
        return open_image(self.source(key), memory=memory)

    def close(self) -> None:
        """Lets go of the file, when what other threads are reading of it has been read."""
        if self._process == os.getpid():
            if self._threads is not None:
                self._threads.shutdown()
            with self._lock:
                self._let_go()

    def _let_go(self) -> None:
        # By force: what could not be read before is no news.
        self._db.close(True)
        if self._source is not None:
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        """A pack in another process is opened anew."""
        return _reopened, (type(self), self.place, self._network)

    def __repr__(self) -> str:
        return f"<Pack {self.place.place}>"


def _reopened(kind: type[Pack], place: PackPlace, network: NetworkOptions | None) -> Pack:
    return kind(place.place, table=place.table, network=network)


def version_of(entry: Entry) -> SourceVersion:
    """What tells an image from another one under the same key: its digest, or its row in a database without."""
    return SourceVersion(entry.length, entry.sha256.hex() or f"row:{entry.id}")


class PackedSource:
    """The bytes of one packed image. Closing it leaves the pack open."""

    def __init__(self, pack: Pack, entry: Entry) -> None:
        self._pack = pack
        self._entry = entry
        self.url = pack.place.key_url(entry.key)
        self.size = entry.length
        self.version = version_of(entry)

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The bytes of all ranges, in the order given.

        Raises:
            SourceError: if they cannot be read.
        """
        return self._pack.read(self._entry, ranges)

    def close(self) -> None:
        """The pack stays open for others."""


def _after_fork() -> None:
    global _reopening  # noqa: PLW0603 - a thread that is not here any more may have held it
    _reopening = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
