"""Putting images into a pack: one process, many images a transaction, nothing that was committed ever lost."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, Self

import apsw

from ziggurat import __version__
from ziggurat.errors import SourceChanged, TargetExists, TargetRefused, UsageError
from ziggurat.pack.compacted import listed, sweep
from ziggurat.pack.connection import changing, number, open_writer, reading, settle, unlock
from ziggurat.pack.entry import Kind, Value
from ziggurat.pack.packed import KINDS, Spans, beside, parted
from ziggurat.pack.schema import (
    APPLICATION_ID,
    ATTRIBUTE,
    LARGEST,
    PAGE,
    TABLES,
    TAKEN,
    VERSION,
    Column,
    attribute_index,
    attribute_table,
    check_schema,
    page_for,
    quoted,
)
from ziggurat.storage.local_destination import LocalDestination
from ziggurat.storage.names import check_key
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.stored import pieces, writing

BATCH_BYTES: Final = 1 << 25
BATCH_SECONDS: Final = 2.0
"""After so much, or so long, what was added is committed."""

_NUMBERS = ("SELECT max(id) FROM data", "SELECT max(CAST(value AS INTEGER)) FROM pack WHERE key = 'last'")
"""The largest number that an image has, and the largest that one had."""

PIECE: Final = 1 << 22
"""Bytes of a large image that are in memory at a time."""

LIMIT: Final = "beside_over"
"""The fact of a pack that says over which size images lie beside it."""

INSERT_IMAGE: Final = "INSERT INTO image VALUES (?, ?, ?, ?, ?)"
INSERT_DATA: Final = "INSERT INTO data VALUES (?, ?)"

STEPS: Final = 100_000
"""Of SQLite's machine, between two looks whether somebody wants it to stop."""


class Packable(NamedTuple):
    """An image on its way into a pack, or out of one.

    Attributes:
        key: its name.
        kind: its form, and the bytes that it shares with others: it begins with ``kind.head``.
        rest: its other bytes; of a large one the source to take all bytes from.
        length: bytes.
        sha256: of all its bytes.
        attributes: values of the pack's columns.
        spans: bytes of the image that are to lie with the coarse ones of all others, behind its head.
    """

    key: str
    kind: Kind
    rest: bytes | ByteSource
    length: int
    sha256: bytes
    attributes: Mapping[str, Value] = MappingProxyType({})
    spans: Spans = ()


class PackWriter:
    """The one process that changes a pack. Leaving ``with`` commits; an error undoes the open transaction.

    Args:
        path: of the pack; a file that is not there is made.
        columns: of attributes, when it is made; of one that is there they are added where it has them not.
        beside_over: bytes of an image over which it lies beside the pack, in a folder of the pack's name; remembered.
        wait: for another process to be done with it, up to a minute.

    Raises:
        PackLocked: if another process writes it.
        SourceRefused: if it is there and no pack.
        WriteError: if it cannot be written.
    """

    def __init__(
        self, path: Path, *, columns: Sequence[Column] = (), beside_over: int | None = None, wait: bool = False
    ) -> None:
        self.path = path
        self._db, self._lock = open_writer(path, page=PAGE, wait=wait)
        self._beside_over = LARGEST
        self._kinds: dict[Kind, int] = {}
        self._pending = 0
        self._since = 0.0
        try:
            with reading(str(path)):
                self.made = not number(self._db, "SELECT count(*) FROM sqlite_schema")
                self.columns = () if self.made else check_schema(self._db, str(path))
            with changing(path):
                settle(self._db, path, new=self.made)
                if self.made:
                    self._make(columns)
            self.add_columns(columns)
            with reading(str(path)):
                self._next = max(number(self._db, sql) for sql in _NUMBERS) + 1
            self._limit(beside_over)
        except BaseException:
            self.close()
            raise

    def _limit(self, beside_over: int | None) -> None:
        """Takes the size over which images lie beside the pack, or the one that was said before."""
        said = self.fact(LIMIT)
        if beside_over is not None and str(beside_over) != said:
            self.say(LIMIT, said := str(beside_over))
        self._beside_over = min(int(said), LARGEST) if said is not None and said.isdecimal() else LARGEST

    def _make(self, columns: Sequence[Column]) -> None:
        with self._alone() as db:
            for table in (*list(TABLES.values())[:-2], attribute_table(tuple(columns)), *list(TABLES.values())[-2:]):
                db.execute(table)
            db.pragma("application_id", APPLICATION_ID)
            db.pragma("user_version", VERSION)
            facts = (("made_by", f"Ziggurat {__version__}"), ("made_at", str(time.time())))
            db.executemany("INSERT INTO pack VALUES (?, ?)", facts)
        self.columns = tuple(columns)

    def add_columns(self, columns: Sequence[Column]) -> None:
        """Commits, and gives the images further attributes.

        Raises:
            UsageError: if the pack has a column of this name and another type, or no column can have this name.
            WriteError: if there would be too many, or they cannot be written.
        """
        for column in columns:
            if column.name.lower() in TAKEN:
                raise UsageError(f"no attribute can be called {column.name}: every image has one; take another name")
        own = {column.name.lower(): column for column in self.columns}
        wanted = [column for column in columns if column.name.lower() not in own]
        for column in columns:
            there = own.get(column.name.lower())
            if there is not None and column.type not in {there.type, "INTEGER"}:
                raise UsageError(
                    f"{self.path}: the attribute {column.name} is {there.type} there and {column.type} here; "
                    "give it another name"
                )
        if not wanted:
            return
        with self._alone() as db:
            for column in wanted:
                db.execute(f"ALTER TABLE {ATTRIBUTE} ADD COLUMN {quoted(column.name)} {column.type}")
        self.columns = (*self.columns, *wanted)

    def say_of(self, key: str, values: Mapping[str, Value]) -> bool:
        """Gives attributes to an image, in the open transaction; others that it has stay. False if it is not there."""
        with self._changing() as db:
            row = db.execute("SELECT id FROM image WHERE key = ?", (key,)).fetchone()
            if row is None:
                return False
            db.execute(f"INSERT OR IGNORE INTO {ATTRIBUTE} (id) VALUES (?)", row)
            if values:
                own = ", ".join(f"{quoted(name)} = ?" for name in values)
                db.execute(f"UPDATE {ATTRIBUTE} SET {own} WHERE id = ?", (*values.values(), *row))
        return True

    def index_columns(self, names: Sequence[str]) -> None:
        """Makes indexes of attributes, where they are missing.

        Raises:
            UsageError: if there is no such attribute.
        """
        own = {column.name for column in self.columns}
        for name in names:
            if name not in own:
                raise UsageError(f"{self.path} has no attribute {name!a}; it has {', '.join(sorted(own)) or 'none'}")
        with self._alone() as db:
            there = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_schema WHERE type = 'index'")}
            for sql in {attribute_index(name) for name in names} - there:
                db.execute(sql)

    def say(self, fact: str, value: str) -> None:
        """Notes a fact of the pack as a whole, in the open transaction."""
        with self._changing():
            self._db.execute("INSERT OR REPLACE INTO pack VALUES (?, ?)", (fact, value))

    def fact(self, name: str) -> str | None:
        """A fact of the pack as a whole."""
        with reading(str(self.path)):
            row = self._db.execute("SELECT value FROM pack WHERE key = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def totals(self) -> tuple[int, int]:
        """How many images there are, and how many bytes they have."""
        with reading(str(self.path)):
            count = number(self._db, "SELECT count(*) FROM image")
            return count, number(self._db, "SELECT sum(length) FROM image")

    def is_empty(self) -> bool:
        """Whether there is no image."""
        with reading(str(self.path)):
            return not self._db.execute("SELECT 1 FROM image LIMIT 1").fetchall()

    def size(self) -> int:
        """Bytes of the file, with what is not committed."""
        with reading(str(self.path)):
            return number(self._db, "PRAGMA page_count") * number(self._db, "PRAGMA page_size")

    def free(self) -> int:
        """Bytes of the file that the next images will use."""
        with reading(str(self.path)):
            return number(self._db, "PRAGMA freelist_count") * number(self._db, "PRAGMA page_size")

    def find(self, key: str) -> tuple[int, bytes] | None:
        """Length and SHA-256 of the image of a key."""
        with reading(str(self.path)):
            row = self._db.execute("SELECT length, sha256 FROM image WHERE key = ?", (key,)).fetchone()
        return None if row is None else (row[0], row[1])

    def put(self, image: Packable, *, replace: bool = False) -> bool:
        """Adds an image; it is safe when ``commit`` has returned, or enough others have been added.

        Args:
            image: what to add.
            replace: take the place of another image of this key.

        Returns:
            False if the same image was there already.

        Raises:
            TargetRefused: if it cannot be unpacked everywhere under its key.
            TargetExists: if another image has this key.
            WriteError: if it cannot be written.
        """
        check_key(image.key)
        with self._changing():
            row = (image.key, self._next, self._kind(image.kind), image.length, image.sha256)
            # What may fail for its own sake is undone alone, not with those before it.
            by_itself = replace or not isinstance(image.rest, bytes) or image.length > self._beside_over
            with self._apart() if by_itself else nullcontext():
                if not self._claim(row, replace=replace):
                    return False
                self._put_data(self._next, image)
                self._put_said(self._next, [image])
        self._added([image])
        return True

    def put_new(self, images: Sequence[Packable]) -> bool:
        """Adds images together, which takes a fraction of the time of adding each.

        Returns:
            False, and nothing is added, if ``put`` is needed to add each or to say why it cannot be: keys are taken or
            not possible, images are large.

        Raises:
            WriteError: if they cannot be written.
        """
        data = [(place, image.rest) for place, image in enumerate(images, self._next) if isinstance(image.rest, bytes)]
        if len(data) < len(images) or any(image.spans or image.length > self._beside_over for image in images):
            return False
        try:
            for image in images:
                check_key(image.key)
        except TargetRefused:
            return False
        with self._changing() as db:
            rows = [
                (image.key, place, self._kind(image.kind), image.length, image.sha256)
                for place, image in enumerate(images, self._next)
            ]
            try:
                with self._apart():
                    db.executemany(INSERT_IMAGE, rows)
                    db.executemany(INSERT_DATA, data)
                    self._put_said(self._next, images)
            except apsw.ConstraintError:
                return False
        self._added(images)
        return True

    def _added(self, images: Sequence[Packable]) -> None:
        """Commits now and then."""
        self._next += len(images)
        self._pending += sum(image.length for image in images)
        if self._pending >= BATCH_BYTES or time.monotonic() - self._since > BATCH_SECONDS:
            self.commit()

    def _claim(self, row: tuple[str, int, int, int, bytes], *, replace: bool) -> bool:
        """Takes a key; false if the same image has it already."""
        key, _, _, length, sha256 = row
        try:
            self._db.execute(INSERT_IMAGE, row)
        except apsw.ConstraintError:
            if self.find(key) == (length, sha256):
                return False
            if not replace:
                raise TargetExists(
                    f"{self.path} has another image {key!a}; remove it first, or ask for replacing"
                ) from None
            self.remove(key)
            self._db.execute(INSERT_IMAGE, row)
        return True

    def _put_data(self, place: int, image: Packable) -> None:
        db = self._db
        if image.length > self._beside_over:
            self._put_beside(image)
            db.execute(INSERT_DATA, (place, None))
        elif not isinstance(image.rest, bytes):
            self._stream(place, image, image.rest)
        elif not image.spans:
            db.execute(INSERT_DATA, (place, image.rest))
        else:
            coarse, rest, spans = parted(image.rest, len(image.kind.head), image.spans)
            db.execute("INSERT INTO coarse VALUES (?, ?, ?)", (place, spans, coarse))
            db.execute(INSERT_DATA, (place, rest))

    def _put_said(self, first: int, images: Sequence[Packable]) -> None:
        """Writes attributes of images that are numbered from the first on."""
        names = [column.name for column in self.columns]
        sql = f"INSERT INTO {ATTRIBUTE} VALUES (?{', ?' * len(names)})"
        said = ((place, image.attributes) for place, image in enumerate(images, first) if image.attributes)
        self._db.executemany(sql, ((place, *map(values.get, names)) for place, values in said))

    def _stream(self, place: int, image: Packable, source: ByteSource) -> None:
        """Writes a large image piece by piece; what is read is what was hashed, or nothing is kept."""
        self._db.execute("INSERT INTO data VALUES (?, zeroblob(?))", (place, image.length))
        digest = hashlib.sha256()
        with self._db.blob_open("main", "data", "bytes", place, True) as blob:
            for piece in pieces(source, image.length, PIECE):
                digest.update(piece)
                blob.write(piece)
        _require(digest, image)

    def _put_beside(self, image: Packable) -> None:
        """Writes an image into the folder beside the pack, under the name of its digest."""
        folder, _, name = beside(str(self.path), image.sha256).rpartition("/")
        place = LocalDestination(Path(folder))
        temporary = place.temporary(name, "new")
        digest = hashlib.sha256(image.kind.head)
        try:
            with writing(str(temporary)), temporary.open("wb") as file:
                if isinstance(image.rest, bytes):
                    file.write(image.kind.head)
                    file.write(image.rest)
                    digest.update(image.rest)
                else:
                    for piece in pieces(image.rest, image.length, PIECE):
                        digest.update(piece)
                        file.write(piece)
            _require(digest, image)
            place.move(temporary, name, overwrite=True)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _kind(self, kind: Kind) -> int:
        place = self._kinds.get(kind)
        if place is None:
            sql = "INSERT INTO kind (format, height, width, bands, dtype, head) VALUES (?, ?, ?, ?, ?, ?)"
            self._db.execute(sql, kind)
            place = self._db.last_insert_rowid()
            if len(self._kinds) >= KINDS:
                self._kinds.clear()
            self._kinds[kind] = place
        return place

    def remove(self, key: str) -> bool:
        """Removes an image; false if there is none of this key. The room is used for the next ones."""
        with self._changing() as db:
            row = db.execute("SELECT id FROM image WHERE key = ?", (key,)).fetchone()
            if row is None:
                return False
            db.execute("DELETE FROM image WHERE key = ?", (key,))
            # Numbers are not given again: who has the image open must not find another one in its place.
            db.execute("INSERT OR REPLACE INTO pack VALUES ('last', ?)", (str(self._next - 1),))
            for table in (ATTRIBUTE, "coarse", "data"):
                db.execute(f"DELETE FROM {table} WHERE id = ?", row)
        return True

    def commit(self) -> None:
        """Makes sure that everything so far survives a power cut.

        Raises:
            WriteError: if it cannot be written.
        """
        if self._db.in_transaction:
            with self._undoing():
                self._db.execute("COMMIT")
        self._pending = 0

    def compact(self) -> None:
        """Writes the pack anew, without holes: what is listed first, then all coarse bytes, then the others.

        It takes as much room again while it lasts. Nothing is lost if it is interrupted.

        Raises:
            WriteError: if there is not enough room.
        """
        self.commit()
        with changing(self.path):
            # Python is called now and then, so that Ctrl-C ends it.
            self._db.set_progress_handler(lambda: False, STEPS)
            try:
                mean = number(self._db, "SELECT CAST(avg(length) AS INTEGER) FROM image")
                self._db.pragma("page_size", page_for(mean))
                self._db.execute("VACUUM")
            finally:
                self._db.set_progress_handler(None)
            self.say("listed", str(listed(self._db)))
        self.commit()
        with reading(str(self.path)):
            sweep(self._db, self.path)

    @contextmanager
    def _alone(self) -> Iterator[apsw.Connection]:
        """A transaction for nothing else; what was open is committed before."""
        self.commit()
        with self._changing() as db:
            yield db
        self.commit()

    @contextmanager
    def _changing(self) -> Iterator[apsw.Connection]:
        """The open transaction, or a new one. What SQLite cannot write undoes it."""
        with self._undoing():
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
                self._since = time.monotonic()
            yield self._db

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Undoes what does not come to its end, and nothing that was done before; where SQLite cannot write, all is."""
        self._db.execute("SAVEPOINT apart")
        try:
            yield
        except BaseException as error:
            if not isinstance(error, apsw.Error) or isinstance(error, apsw.ConstraintError):
                self._db.execute("ROLLBACK TO apart")
            raise
        finally:
            if self._db.in_transaction:
                self._db.execute("RELEASE apart")

    @contextmanager
    def _undoing(self) -> Iterator[None]:
        """Undoes the open transaction where SQLite fails, unless it only had to wait for others too long."""
        with changing(self.path):
            try:
                yield
            except (apsw.BusyError, apsw.LockedError):
                raise
            except apsw.Error:
                # Those that were undone with it are not to be referred to.
                self._kinds.clear()
                self._pending = 0
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Undoes what was not committed, and lets others write."""
        if self._lock < 0:
            return
        lock, self._lock = self._lock, -1
        try:
            # What cannot be undone now is undone by whoever opens it next.
            with suppress(apsw.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                # Leaves one file at rest.
                self._db.pragma("journal_mode", "DELETE")
            self._db.close()
        finally:
            unlock(self.path, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.close()


def _require(digest: "hashlib._Hash", image: Packable) -> None:
    if digest.digest() != image.sha256:
        raise SourceChanged(f"{image.key} changed while it was packed; run the same again")
