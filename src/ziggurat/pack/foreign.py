"""Images in a table of any SQLite database, such as ``Images(ObjId INT, img BLOB, size INT)``."""

import json
from collections.abc import Mapping, Sequence

import apsw

from ziggurat.errors import SourceChanged, UsageError
from ziggurat.pack.connection import number
from ziggurat.pack.entry import CHUNK, Entry, Kind, Lying
from ziggurat.pack.schema import Column, quoted
from ziggurat.storage.pack_url import Table
from ziggurat.storage.ranges import ByteRange

_UNKNOWN = Kind()


class ForeignTables:
    """A table with a column of keys and one of bytes. Its other columns are attributes.

    Args:
        db: the database.
        place: its path or URL.
        table: which one.

    Raises:
        UsageError: if there is no such table or column.
    """

    def __init__(self, db: apsw.Connection, place: str, table: Table) -> None:
        found = db.execute(
            "SELECT type, name, wr FROM pragma_table_list WHERE schema = 'main' AND lower(name) = lower(?)",
            (table.name,),
        ).fetchone()
        if found is None or found[0] != "table":
            names = [name for kind, name in db.execute("SELECT type, name FROM sqlite_schema") if kind == "table"]
            raise UsageError(f"{place} has no table {table.name!a}; it has {', '.join(names) or 'none'}")
        if found[2]:
            raise UsageError(f"{place}: {table.name} has no row numbers (WITHOUT ROWID), and cannot be read in parts")
        own = {name.lower(): (name, kind) for _, name, kind, *_ in db.execute(f"PRAGMA table_info({quoted(found[1])})")}
        for wanted in (table.key, table.blob):
            if wanted.lower() not in own:
                raise UsageError(f"{place}: {found[1]} has no column {wanted!a}; it has {', '.join(own)}")
        self._place = place
        self.facts: Mapping[str, str] = {}
        self._name = found[1]
        self._key, self._blob = quoted(own[table.key.lower()][0]), own[table.blob.lower()][0]
        self._from = f"FROM {quoted(found[1])} WHERE {self._key} IS NOT NULL AND typeof({quoted(self._blob)}) = 'blob'"
        self.columns: tuple[Column, ...] = tuple(
            Column(name, kind)
            for name, kind in own.values()
            if name.lower() not in {table.key.lower(), table.blob.lower()}
        )
        plan = db.execute(f"EXPLAIN QUERY PLAN SELECT rowid {self._from} AND {self._key} = ?", ("",)).fetchall()
        self._indexed = all(str(row[3]).startswith("SEARCH") for row in plan)
        self._rows: dict[str, int] | None = None

    def count(self, db: apsw.Connection) -> int:
        """How many images there are."""
        return number(db, f"SELECT count(*) {self._from}")

    def lying(self, db: apsw.Connection) -> Lying:
        """All images, in the order in which they lie."""
        sql = f"SELECT {self._key}, rowid {self._from} ORDER BY rowid"
        rows: list[tuple[object, int]] = db.execute(sql).fetchall()  # type: ignore[assignment]
        return Lying([str(key) for key, _ in rows], [row for _, row in rows])

    def scan(self, db: apsw.Connection, some: Lying) -> list[bytes]:
        """The bytes of images that lie behind each other."""
        sql = f"SELECT {quoted(self._blob)} {self._from} AND rowid BETWEEN ? AND ? ORDER BY rowid"
        return [data for (data,) in db.execute(sql, (some.ids[0], some.ids[-1]))]

    def keys(self, db: apsw.Connection, after: str | None) -> list[str]:
        """The keys behind one, in the order in which the images lie."""
        last = -(1 << 63) if after is None else self._number(db, after)
        sql = f"SELECT {self._key} {self._from} AND rowid > ? ORDER BY rowid LIMIT {CHUNK}"
        return [str(key) for (key,) in db.execute(sql, (last,))]

    def entries(self, db: apsw.Connection, where: str | None, after: Entry | None) -> list[Entry]:
        """The images behind one with their attributes, in the order in which they lie."""
        condition = f" AND ({where}\n)" if where is not None else ""
        rest = f" AND rowid > ?{condition} ORDER BY rowid LIMIT {CHUNK}"
        return self._select(db, rest, -(1 << 63) if after is None else after.id)

    def told(self, db: apsw.Connection, keys: Sequence[str]) -> list[Entry]:
        """The images of these keys with their attributes, in any order."""
        rows = [self._number(db, key) for key in keys]
        return self._select(db, " AND rowid IN (SELECT value FROM json_each(?))", json.dumps(rows))

    def _select(self, db: apsw.Connection, rest: str, binding: int | str) -> list[Entry]:
        names = [column.name for column in self.columns]
        own = "".join(f", {quoted(name)}" for name in names)
        sql = f"SELECT {self._key}, rowid, length({quoted(self._blob)}){own} {self._from}{rest}"
        found = []
        for key, row, length, *values in db.execute(sql, (binding,)):
            found.append(Entry(str(key), row, _UNKNOWN, length, b"", dict(zip(names, values, strict=True))))
        return found

    def find(self, db: apsw.Connection, key: str) -> Entry | None:
        """The image of a key; of several, the first."""
        place = self._number(db, key)
        if place is None:
            return None
        sql = f"SELECT length({quoted(self._blob)}) FROM {quoted(self._name)} WHERE rowid = ?"
        row = db.execute(sql, (place,)).fetchone()
        return None if row is None else Entry(key, place, _UNKNOWN, row[0], b"")

    def _number(self, db: apsw.Connection, key: str) -> int | None:
        if not self._indexed:
            if self._rows is None:
                # Without an index every look for a key would be a look at all images.
                found = db.execute(f"SELECT {self._key}, rowid {self._from} ORDER BY rowid DESC")
                self._rows = {str(own): row for own, row in found}
            return self._rows.get(key)
        for value in (key, int(key)) if key.isdecimal() else (key,):
            sql = f"SELECT rowid {self._from} AND {self._key} = ? ORDER BY rowid LIMIT 1"
            row = db.execute(sql, (value,)).fetchone()
            if row is not None:
                return int(row[0])
        return None

    def whole(self, db: apsw.Connection, key: str) -> bytes | None:
        """The bytes of the image of a key."""
        place = self._number(db, key)
        if place is None:
            return None
        sql = f"SELECT {quoted(self._blob)} FROM {quoted(self._name)} WHERE rowid = ?"
        row = db.execute(sql, (place,)).fetchone()
        return None if row is None else bytes(row[0])

    def read(self, db: apsw.Connection, entry: Entry, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Some of an image's bytes."""
        blob = db.blob_open("main", self._name, self._blob, entry.id, False)
        found = []
        for item in ranges:
            if item.end > blob.length():
                raise SourceChanged(
                    f"{self._place}: {entry.key} has {blob.length()} bytes; {item.start} to {item.end} were asked for"
                )
            blob.seek(item.start)
            found.append(blob.read(item.length))
        return found
