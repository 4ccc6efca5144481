"""How images lie in a pack: behind a head that many share, and in parts where the coarse bytes lie together."""

import json
import re
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import apsw

from ziggurat.errors import SourceChanged, SourceRefused
from ziggurat.pack.connection import number
from ziggurat.pack.entry import CHUNK, Entry, Kind, Lying, Value, not_too_much
from ziggurat.pack.quick import Quick
from ziggurat.pack.schema import ATTRIBUTE, LONGEST_HEAD, Column, check_schema, quoted
from ziggurat.storage.names import LONGEST_KEY
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source

BESIDE: Final = ".files/"
"""What follows a pack's name in that of the folder of the images that lie beside it."""

KINDS: Final = 1 << 14
"""Kinds that are remembered."""

MOST_SPANS: Final = 64
"""Pieces of an image's bytes that lie with the coarse ones of others."""

SHA256: Final = 32
"""Bytes of a digest."""

_ROW = (str, int, int, int, bytes)
"""What an image's row holds."""

LONGEST_FACT: Final = 1 << 16
MOST_FACTS: Final = 100
"""Characters of a fact of the pack as a whole, and how many of them are heard."""

MOST_LISTED: Final = 1 << 29
"""Bytes of what is listed that may be kept in memory: some eight million images."""

LONGEST_WORD: Final = 64
"""Characters of a format's or a type's name."""

_KIND = (
    f"SELECT CASE WHEN length(format) <= {LONGEST_WORD} THEN format END, height, width, bands, "
    f"CASE WHEN length(dtype) <= {LONGEST_WORD} THEN dtype END, CASE WHEN length(head) <= {LONGEST_HEAD} THEN head END "
    "FROM kind WHERE id = ?"
)

_SPANS = (
    f"SELECT CASE WHEN length(spans) <= {16 * MOST_SPANS} THEN spans END, spans IS NULL FROM coarse "
    "WHERE id = ? AND length(bytes) = ?"
)

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

    Attributes:
        facts: what is said of the pack as a whole.
        listed: bytes at the front of the file in which everything but the images lies, as the pack says.

    Raises:
        SourceRefused: if it is no pack.
    """

    def __init__(self, db: apsw.Connection, place: str, network: NetworkOptions | None = None) -> None:
        self._place = place
        self._network = network
        self.columns: tuple[Column, ...] = check_schema(db, place)
        self.facts: Mapping[str, str] = dict(
            db.execute(f"SELECT key, value FROM pack WHERE length(value) <= {LONGEST_FACT} LIMIT {MOST_FACTS}")
        )
        listed = self.facts.get("listed", "")
        self.listed = min(int(listed), MOST_LISTED) if re.fullmatch("[0-9]{1,18}", listed) else 0
        self._split = bool(db.execute("SELECT 1 FROM coarse LIMIT 1").fetchall())
        self._kinds: dict[int, Kind] = {}

    def count(self, db: apsw.Connection) -> int:
        """How many images there are."""
        # Counted row by row, which can be stopped: pages that point to each other make endless rows.
        return number(db, "SELECT sum(1) FROM image")

    def lying(self, db: apsw.Connection) -> Lying:
        """All images, in the order in which they lie."""
        keys, ids, kinds, lengths = list[str](), array("q"), array("q"), array("q")
        damaged = SourceRefused(f"{self._place} is damaged: what it says of its images makes no sense")
        try:
            for key, image, kind, length in db.execute("SELECT key, id, kind, length FROM image ORDER BY id"):
                keys.append(key)
                ids.append(image)
                kinds.append(kind)
                lengths.append(length)
        except TypeError as error:
            raise damaged from error
        if not {str}.issuperset(map(type, keys)):
            raise damaged
        return Lying(keys, ids, kinds, lengths)

    def scan(self, db: apsw.Connection, some: Lying) -> list[bytes | None]:
        """The bytes of images that lie behind each other; None for those that were removed meanwhile."""
        found = {}
        if not self._split:
            sql = "SELECT id, bytes FROM data WHERE id BETWEEN ? AND ?"
            found = dict(db.execute(sql, (some.ids[0], some.ids[-1])))
        images: list[bytes | None] = []
        for key, image, kind, length in zip(some.keys, some.ids, some.kinds, some.lengths, strict=True):
            rest = found.get(image)
            head = self._kind(db, kind).head
            data = None if rest is None else head + rest if head else rest
            if data is None or len(data) != length:
                data = self.whole(db, key)
            images.append(data)
        return images

    def keys(self, db: apsw.Connection, after: tuple[str, int] | None) -> list[tuple[str, int]]:
        """The next keys behind one, in their own order."""
        last = "" if after is None else after[0]
        sql = "SELECT key, id FROM image WHERE key > ? ORDER BY key LIMIT ?"
        found: list[tuple[str, int]] = db.execute(sql, (last, CHUNK)).fetchall()  # type: ignore[assignment]
        self._check_order(last, [key for key, _ in found])
        return found

    def _check_order(self, last: str, keys: list[str]) -> None:
        """Accepts keys that come behind another one in order; in damaged pages listing them might never end."""
        if keys and not (
            {str}.issuperset(map(type, keys))
            and last < keys[0]
            and keys == sorted(keys)
            and max(map(len, keys)) <= LONGEST_KEY
        ):
            raise SourceRefused(f"{self._place} is damaged: its keys are not in order behind {last[:300]!a}")

    def entries(self, db: apsw.Connection, where: str | None, after: Entry | None) -> list[Entry]:
        """The next images behind one with their attributes, in the order of their keys."""
        condition = f" AND ({where}\n)" if where is not None else ""
        # Conditions speak of the form, too.
        told = " JOIN kind ON kind.id = image.kind" if where is not None else ""
        rest = f"{told} WHERE image.key > ?{condition} ORDER BY image.key LIMIT {CHUNK}"
        last = "" if after is None else after.key
        found = not_too_much(self._select(db, rest, last))
        self._check_order(last, [entry.key for entry in found])
        return found

    def told(self, db: apsw.Connection, keys: Sequence[str]) -> list[Entry]:
        """The images of these keys with their attributes, in any order."""
        return list(self._select(db, " WHERE image.key IN (SELECT value FROM json_each(?))", json.dumps(keys)))

    def _select(self, db: apsw.Connection, rest: str, binding: str) -> Iterator[Entry]:
        names = [column.name for column in self.columns]
        own = "".join(f", {ATTRIBUTE}.{quoted(name)}" for name in names)
        joined = f" LEFT JOIN {ATTRIBUTE} ON {ATTRIBUTE}.id = image.id" if names else ""
        sql = f"SELECT image.key, image.id, image.kind, image.length, image.sha256{own} FROM image{joined}{rest}"
        for row in db.execute(sql, (binding,)):
            yield self._entry(db, row[:5], dict(zip(names, row[5:], strict=True)))

    def find(self, db: apsw.Connection, key: str) -> Entry | None:
        """The image of a key."""
        row = db.execute("SELECT key, id, kind, length, sha256 FROM image WHERE key = ?", (key,)).fetchone()
        return None if row is None else self._entry(db, row, {})

    def _entry(self, db: apsw.Connection, row: tuple[Any, ...], attributes: Mapping[str, Value]) -> Entry:
        """What a row says, if it can be meant."""
        if tuple(map(type, row)) == _ROW:
            key, image, kind, length, sha256 = row
            if length >= 0 and len(sha256) == SHA256:
                return Entry(key, image, self._kinds.get(kind) or self._kind(db, kind), length, sha256, attributes)
        raise SourceRefused(f"{self._place} is damaged: what it says of {str(row[0])[:300]!a} makes no sense")

    def _kind(self, db: apsw.Connection, place: int) -> Kind:
        known = self._kinds.get(place)
        if known is None:
            row = db.execute(_KIND, (place,)).fetchone()
            match row:
                case (
                    str() | None, int() | None, int() | None, int() | None, str() | None, bytes()
                ):  # fmt: skip
                    pass
                case _:
                    raise SourceRefused(
                        f"{self._place} is damaged: its kind {place}, which an image has, makes no sense"
                    )
            if len(self._kinds) >= KINDS:
                self._kinds.clear()
            known = self._kinds[place] = Kind(*row)
        return known

    def whole(self, db: apsw.Connection, key: str) -> bytes | None:
        """The bytes of the image of a key."""
        if self._split:
            entry = self.find(db, key)
            return None if entry is None else self.read(db, entry, [ByteRange(0, entry.length)])[0]
        row = db.execute("SELECT kind, length, id, sha256 FROM image WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        place, length, image, sha256 = row
        kind = self._kinds.get(place) or self._kind(db, place)
        # Two short queries take half the time of one that joins.
        found = db.execute("SELECT bytes FROM data WHERE id = ?", (image,)).fetchone()
        rest = None if found is None else found[0]
        if isinstance(rest, bytes) and len(kind.head) + len(rest) == length:
            return kind.head + rest if kind.head else rest
        entry = self._entry(db, (key, image, place, length, sha256), {})
        return self.read(db, entry, [ByteRange(0, entry.length)])[0]

    def quick(self, db: apsw.Connection) -> Quick | None:
        """What gives most images faster; None where they lie in two parts."""
        return None if self._split else Quick(db, self._kinds)

    def read(self, db: apsw.Connection, entry: Entry, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Some of an image's bytes."""
        for item in ranges:
            if item.end > entry.length:
                raise SourceChanged(f"{entry.key} has {entry.length} bytes; {item.start} to {item.end} were asked for")
        row = db.execute("SELECT typeof(bytes), length(bytes) FROM data WHERE id = ?", (entry.id,)).fetchone()
        if row is None:
            if db.execute("SELECT 1 FROM image WHERE key = ? AND id = ?", (entry.key, entry.id)).fetchall():
                raise self._damaged(entry.key, "has no bytes")
            raise SourceChanged(f"{self._place}: {entry.key} was removed or replaced while it was open; open it again")
        if row[0] == "null":
            return self._beside(entry, ranges)
        head = entry.kind.head
        missing = entry.length - len(head) - row[1] if row[0] == "blob" else -1
        spans = self._spans(db, entry, missing) if missing else ()
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

    def _spans(self, db: apsw.Connection, entry: Entry, length: int) -> Spans:
        """Which of an image's bytes lie with the coarse ones: so many as its others leave open."""
        row = db.execute(_SPANS, (entry.id, length)).fetchone()
        at = len(entry.kind.head)
        match row:
            case (None, 1):
                spans: Spans = ((at, at + length),)
            case (bytes(packed), 0) if len(packed) % 16 == 0:
                spans = unpacked(packed)
            case _:
                spans = ()
        for start, end in spans:
            if not at <= start < end <= entry.length:
                break
            at = end
        else:
            if length > 0 and sum(end - start for start, end in spans) == length:
                return spans
        raise self._damaged(entry.key, f"has not exactly its {entry.length} bytes")

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
