"""How images lie in a pack: behind a head that many share, and in parts where the coarse bytes lie together."""

import json
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import apsw

from ziggurat.errors import SourceChanged, SourceRefused
from ziggurat.pack.connection import number
from ziggurat.pack.entry import CHUNK, Entry, Kind, Lying
from ziggurat.pack.schema import ATTRIBUTE, Column, check_schema, quoted
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source

BESIDE: Final = ".files/"
"""What follows a pack's name in that of the folder of the images that lie beside it."""

KINDS: Final = 1 << 14
"""Kinds that are remembered."""

type Spans = tuple[tuple[int, int], ...]


def beside(place: str, sha256: bytes) -> str:
    """Where an image lies that is too large for the pack."""
    name = sha256.hex()
    before, mark, query = place.partition("?") if place.startswith(("http:", "https:")) else (place, "", "")
    return f"{before}{BESIDE}{name[:2]}/{name}{mark}{query}"


class PackTables:
    """The tables of a pack.

    Args:
        db: the database.
        place: its path or URL.
        network: how stores are reached.

    Raises:
        SourceRefused: if it is no pack.
    """

    def __init__(self, db: apsw.Connection, place: str, network: NetworkOptions | None = None) -> None:
        self._place = place
        self._network = network
        self.columns: tuple[Column, ...] = check_schema(db, place)
        self.facts: Mapping[str, str] = dict(db.execute("SELECT key, value FROM pack"))
        self._split = bool(db.execute("SELECT 1 FROM coarse LIMIT 1").fetchall())
        self._kinds: dict[int, Kind] = {}

    def count(self, db: apsw.Connection) -> int:
        """How many images there are."""
        return number(db, "SELECT count(*) FROM image")

    def lying(self, db: apsw.Connection) -> Lying:
        """All images, in the order in which they lie."""
        keys, ids, kinds, lengths = list[str](), array("q"), array("q"), array("q")
        for key, image, kind, length in db.execute("SELECT key, id, kind, length FROM image ORDER BY id"):
            keys.append(key)
            ids.append(image)
            kinds.append(kind)
            lengths.append(length)
        return Lying(keys, ids, kinds, lengths)

    def scan(self, db: apsw.Connection, some: Lying) -> list[bytes]:
        """The bytes of images that lie behind each other."""
        found = {}
        if not self._split:
            sql = "SELECT id, bytes FROM data WHERE id BETWEEN ? AND ?"
            found = dict(db.execute(sql, (some.ids[0], some.ids[-1])))
        images = []
        for key, image, kind, length in zip(some.keys, some.ids, some.kinds, some.lengths, strict=True):
            rest = found.get(image)
            head = self._kind(db, kind).head
            data = None if rest is None else head + rest if head else rest
            if data is None or len(data) != length:
                data = self.whole(db, key)
            images.append(data or b"")
        return images

    def keys(self, db: apsw.Connection, after: str | None) -> list[str]:
        """The next keys behind one, in their own order."""
        sql = "SELECT key FROM image WHERE key > ? ORDER BY key LIMIT ?"
        return [key for (key,) in db.execute(sql, (after or "", CHUNK))]

    def entries(self, db: apsw.Connection, where: str | None, after: Entry | None) -> list[Entry]:
        """The next images behind one with their attributes, in the order of their keys."""
        condition = f" AND ({where}\n)" if where is not None else ""
        # Conditions speak of the form, too.
        told = " JOIN kind ON kind.id = image.kind" if where is not None else ""
        rest = f"{told} WHERE image.key > ?{condition} ORDER BY image.key LIMIT {CHUNK}"
        return self._select(db, rest, "" if after is None else after.key)

    def told(self, db: apsw.Connection, keys: Sequence[str]) -> list[Entry]:
        """The images of these keys with their attributes, in any order."""
        return self._select(db, " WHERE image.key IN (SELECT value FROM json_each(?))", json.dumps(keys))

    def _select(self, db: apsw.Connection, rest: str, binding: str) -> list[Entry]:
        names = [column.name for column in self.columns]
        own = "".join(f", {ATTRIBUTE}.{quoted(name)}" for name in names)
        joined = f" LEFT JOIN {ATTRIBUTE} ON {ATTRIBUTE}.id = image.id" if names else ""
        found = []
        sql = f"SELECT image.key, image.id, image.kind, image.length, image.sha256{own} FROM image{joined}{rest}"
        for key, image, kind, length, sha256, *values in db.execute(sql, (binding,)):
            attributes = dict(zip(names, values, strict=True))
            found.append(Entry(key, image, self._kind(db, kind), length, sha256, attributes))
        return found

    def find(self, db: apsw.Connection, key: str) -> Entry | None:
        """The image of a key."""
        row = db.execute("SELECT id, kind, length, sha256 FROM image WHERE key = ?", (key,)).fetchone()
        return None if row is None else Entry(key, row[0], self._kind(db, row[1]), row[2], row[3])

    def _kind(self, db: apsw.Connection, place: int) -> Kind:
        known = self._kinds.get(place)
        if known is None:
            sql = "SELECT format, height, width, bands, dtype, head FROM kind WHERE id = ?"
            row = db.execute(sql, (place,)).fetchone()
            if row is None:
                raise SourceRefused(f"{self._place} is damaged: it has no kind {place}, which an image is said to have")
            if len(self._kinds) >= KINDS:
                self._kinds.clear()
            known = self._kinds[place] = Kind(*row)
        return known

    def whole(self, db: apsw.Connection, key: str) -> bytes | None:
        """The bytes of the image of a key."""
        if self._split:
            entry = self.find(db, key)
            return None if entry is None else self.read(db, entry, [ByteRange(0, entry.length)])[0]
        sql = "SELECT kind, length, data.bytes, image.id, sha256 FROM image LEFT JOIN data USING (id) WHERE key = ?"
        row = db.execute(sql, (key,)).fetchone()
        if row is None:
            return None
        place, length, rest, image, sha256 = row
        kind = self._kinds.get(place) or self._kind(db, place)
        if rest is None:
            return self.read(db, Entry(key, image, kind, length, sha256), [ByteRange(0, length)])[0]
        data: bytes = kind.head + rest
        if len(data) != length:
            raise self._damaged(key, f"has {len(data)} bytes, not {length}")
        return data

    def read(self, db: apsw.Connection, entry: Entry, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Some of an image's bytes."""
        for item in ranges:
            if item.end > entry.length:
                raise SourceChanged(f"{entry.key} has {entry.length} bytes; {item.start} to {item.end} were asked for")
        row = db.execute("SELECT bytes IS NULL FROM data WHERE id = ?", (entry.id,)).fetchone()
        if row is None:
            raise self._damaged(entry.key, "has no bytes")
        if row[0]:
            return self._beside(entry, ranges)
        head = entry.kind.head
        spans = self._spans(db, entry) if self._split else ()
        parts = [part for item in ranges for part in stretches(item, len(head), spans)]
        coarse = _Blob(db, "coarse", entry.id) if any(name == "coarse" for name, _, _ in parts) else None
        data = _Blob(db, "data", entry.id) if any(name == "data" for name, _, _ in parts) else None
        found = []
        for item in ranges:
            pieces = []
            for name, start, end in stretches(item, len(head), spans):
                blob = {"coarse": coarse, "data": data}.get(name)
                pieces.append(head[start:end] if blob is None else blob.read(start, end))
            found.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            if len(found[-1]) != item.length:
                raise self._damaged(entry.key, f"has not all of its {entry.length} bytes")
        return found

    def _spans(self, db: apsw.Connection, entry: Entry) -> Spans:
        """Which of an image's bytes lie with the coarse ones."""
        sql = "SELECT spans, length(bytes) FROM coarse WHERE id = ?"
        row = db.execute(sql, (entry.id,)).fetchone()
        if row is None:
            return ()
        spans, length = row
        head = len(entry.kind.head)
        if spans is None:
            return ((head, head + length),)
        return unpacked(spans)

    def _beside(self, entry: Entry, ranges: Sequence[ByteRange]) -> list[bytes]:
        source = open_source(beside(self._place, entry.sha256), network=self._network)
        try:
            if source.size != entry.length:
                raise self._damaged(entry.key, f"lies beside it with {source.size} bytes, not {entry.length}")
            return source.read_ranges(ranges)
        finally:
            source.close()

    def _damaged(self, key: str, what: str) -> SourceRefused:
        return SourceRefused(f"{self._place} is damaged: {key} {what}; `ziggurat verify` says what else is")


class _Blob:
    """The bytes of a row, without those in front of what is wanted."""

    def __init__(self, db: apsw.Connection, table: str, number: int) -> None:
        self._blob = db.blob_open("main", table, "bytes", number, False)

    def read(self, start: int, end: int) -> bytes:
        """Some of them; fewer at their end."""
        self._blob.seek(min(start, self._blob.length()))
        return self._blob.read(end - start)


def stretches(item: ByteRange, head: int, spans: Spans) -> Iterator[tuple[str, int, int]]:
    """Where the bytes of a range lie: in which part, and from where to where in it.

    Args:
        item: of the image's bytes.
        head: bytes that it shares with others: the part "head".
        spans: bytes of the image that lie in the part "coarse", in order; all others lie in the part "data".
    """
    if item.start < head:
        yield "head", item.start, min(item.end, head)
    at, before = max(item.start, head), 0
    for start, end in spans:
        if at < min(start, item.end):
            yield "data", at - head - before, min(start, item.end) - head - before
            at = min(start, item.end)
        if start <= at < min(end, item.end):
            yield "coarse", before + at - start, before + min(end, item.end) - start
            at = min(end, item.end)
        before += end - start
    if at < item.end:
        yield "data", at - head - before, item.end - head - before


def parted(rest: bytes, head: int, spans: Spans) -> tuple[bytes, bytes, bytes | None]:
    """An image's bytes behind its head in two parts.

    Args:
        rest: the bytes.
        head: how many are in front of them.
        spans: bytes of the image, in order, that are the coarse ones.

    Returns:
        The coarse bytes, the others, and the spans as they are stored: pairs of 64-bit numbers, little-endian, or
        None where the coarse ones are those right behind the head.
    """
    coarse, others, at = [], [], head
    for start, end in spans:
        others.append(rest[at - head : start - head])
        coarse.append(rest[start - head : end - head])
        at = end
    others.append(rest[at - head :])
    at_front = len(spans) == 1 and spans[0][0] == head
    stored = None if at_front else b"".join(struct.pack("<QQ", *span) for span in spans)
    return b"".join(coarse), b"".join(others), stored


@lru_cache(maxsize=256)
def unpacked(data: bytes) -> Spans:
    """Spans as they were before."""
    return tuple((start, end) for start, end in struct.iter_unpack("<QQ", data))
