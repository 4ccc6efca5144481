"""Images in a table of any SQLite database, such as ``Images(ObjId INT, img BLOB, size INT)``."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import apsw

from ziggurat.errors import SourceChanged, SourceRefused, UsageError
from ziggurat.pack.connection import number
from ziggurat.pack.entry import CHUNK, Entry, Kind, Lying, not_too_much
from ziggurat.pack.schema import Column, quoted
from ziggurat.storage.pack_url import Table
from ziggurat.storage.ranges import ByteRange

_UNKNOWN = Kind()
_FIRST = -(1 << 63)
_WHOLE = re.compile(r"-?[0-9]{1,19}")


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
        # The schema itself is asked first: views and virtual tables run what is written in them.
        tables = [
            str(name)
            for name, sql in db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
            if not str(sql).upper().startswith("CREATE VIRTUAL")
        ]
        found = next((name for name in tables if name.lower() == table.name.lower()), None)
        if found is None:
            raise UsageError(f"{place} has no table {table.name!a}; it has {', '.join(tables)[:1000] or 'none'}")
        own = {name.lower(): (name, kind) for _, name, kind, *_ in db.execute(f"PRAGMA table_info({quoted(found)})")}
        for wanted in (table.key, table.blob):
            if wanted.lower() not in own:
                raise UsageError(
                    f"{place}: {found} has no column {wanted!a} that is stored; it has {', '.join(own)[:1000]}"
                )
        if any(hidden for *_, hidden in db.execute(f"PRAGMA table_xinfo({quoted(found)})")):
            raise UsageError(f"{place}: {found} has computed columns, and cannot be read in parts")
        row = next((name for name in ("rowid", "_rowid_", "oid") if name not in own), None)
        try:
            db.execute(f"SELECT {row} FROM {quoted(found)} LIMIT 0")
        except apsw.SQLError:
            row = None
        if row is None:
            raise UsageError(f"{place}: {found} has no row numbers (WITHOUT ROWID), and cannot be read in parts")
        self._place = place
        self.facts: Mapping[str, str] = {}
        self._name = found
        self._key, self._blob = quoted(own[table.key.lower()][0]), own[table.blob.lower()][0]
        self._row = row
        self._from = (
            f"FROM {quoted(found)} WHERE typeof({self._key}) IN ('integer', 'real', 'text') "
            f"AND typeof({quoted(self._blob)}) = 'blob'"
        )
        self.columns: tuple[Column, ...] = tuple(
            Column(name, kind)
            for name, kind in own.values()
            if name.lower() not in {table.key.lower(), table.blob.lower()}
        )
        plan = db.execute(f"EXPLAIN QUERY PLAN SELECT {row} {self._from} AND {self._key} = ?", ("",)).fetchall()
        self._indexed = all(str(row[3]).startswith("SEARCH") for row in plan)
        self._rows: dict[str, int] | None = None

    def count(self, db: apsw.Connection) -> int:
        """How many images there are."""
        return number(db, f"SELECT count(*) {self._from}")

    def lying(self, db: apsw.Connection) -> Lying:
        """All images, in the order in which they lie."""
        sql = f"SELECT {self._key}, {self._row} {self._from} ORDER BY {self._row}"
        rows: list[tuple[object, int]] = db.execute(sql).fetchall()  # type: ignore[assignment]
        return Lying([str(key) for key, _ in rows], [row for _, row in rows])

    def scan(self, db: apsw.Connection, some: Lying) -> list[bytes | None]:
        """The bytes of images that lie behind each other; None for those that were removed meanwhile."""
        sql = f"SELECT {self._row}, {quoted(self._blob)} {self._from} AND {self._row} BETWEEN ? AND ?"
        found: dict[int, bytes] = dict(db.execute(sql, (some.ids[0], some.ids[-1])))
        return [found.get(row) for row in some.ids]

    def keys(self, db: apsw.Connection, after: tuple[str, int] | None) -> list[tuple[str, int]]:
        """The keys behind one, in the order in which the images lie."""
        sql = f"SELECT {self._key}, {self._row} {self._from} AND {self._row} > ? ORDER BY {self._row} LIMIT {CHUNK}"
        last, found = _FIRST if after is None else after[1], []
        for key, row in db.execute(sql, (last,)):
            last = self._next(row, last)
            found.append((str(key), row))
        return found

    def _next(self, row: int, last: int) -> int:
        """A row's number that comes behind another one; in damaged pages it might not, and a listing never end."""
        if row <= last:
            raise SourceRefused(f"{self._place} is damaged: the rows of {self._name} are not in order behind {last}")
        return row

    def entries(self, db: apsw.Connection, where: str | None, after: Entry | None) -> list[Entry]:
        """The images behind one with their attributes, in the order in which they lie."""
        condition = f" AND ({where}\n)" if where is not None else ""
        last = _FIRST if after is None else after.id
        found = not_too_much(
            self._select(db, f" AND {self._row} > ?{condition} ORDER BY {self._row} LIMIT {CHUNK}", last)
        )
        for entry in found:
            last = self._next(entry.id, last)
        return found

    def told(self, db: apsw.Connection, keys: Sequence[str]) -> list[Entry]:
        """The images of these keys with their attributes, in any order."""
        rows = [self._number(db, key) for key in keys]
        return list(self._select(db, f" AND {self._row} IN (SELECT value FROM json_each(?))", json.dumps(rows)))

    def _select(self, db: apsw.Connection, rest: str, binding: int | str) -> Iterator[Entry]:
        """Images with their attributes, none of which are bytes."""
        names = [column.name for column in self.columns]
        own = "".join(f", CASE WHEN typeof({name}) <> 'blob' THEN {name} END" for name in map(quoted, names))
        sql = f"SELECT {self._key}, {self._row}, length({quoted(self._blob)}){own} {self._from}{rest}"
        for key, row, length, *values in db.execute(sql, (binding,)):
            yield Entry(str(key), row, _UNKNOWN, length, b"", dict(zip(names, values, strict=True)))

    def find(self, db: apsw.Connection, key: str) -> Entry | None:
        """The image of a key; of several, the first."""
        place = self._number(db, key)
        if place is None:
            return None
        sql = f"SELECT length({quoted(self._blob)}) {self._from} AND {self._row} = ?"
        row = db.execute(sql, (place,)).fetchone()
        return None if row is None else Entry(key, place, _UNKNOWN, row[0], b"")

    def _number(self, db: apsw.Connection, key: str) -> int | None:
        if not self._indexed:
            if self._rows is None:
                # Without an index every look for a key would be a look at all images.
                found = db.execute(f"SELECT {self._key}, {self._row} {self._from} ORDER BY {self._row} DESC")
                self._rows = {str(own): row for own, row in found}
            return self._rows.get(key)
        sql = f"SELECT {self._key}, {self._row} {self._from} AND {self._key} IN (?, ?, ?) ORDER BY {self._row}"
        # A number is found by what is written for it, and by nothing else that means the same.
        return next((int(row) for own, row in db.execute(sql, _meanings(key)) if str(own) == key), None)

    def whole(self, db: apsw.Connection, key: str) -> bytes | None:
        """The bytes of the image of a key."""
        place = self._number(db, key)
        if place is None:
            return None
        row = db.execute(f"SELECT {quoted(self._blob)} {self._from} AND {self._row} = ?", (place,)).fetchone()
        return None if row is None else row[0]

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


def _meanings(key: str) -> tuple[str, int | None, float | None]:
    """What a column may hold whose value is written like this: text, an integer, a number."""
    whole = int(key) if _WHOLE.fullmatch(key) else None
    try:
        number = float(key)
    except ValueError:
        number = None
    return key, whole if whole is not None and abs(whole) < 1 << 63 else None, number
