"""A ledger as a file: made, opened, locked, changed in transactions. What the rows mean is in ``ledger.py``."""

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import apsw

from ziggurat.convert.ledger.connection import open_writer
from ziggurat.convert.ledger.schema import CONVERSION, Schema
from ziggurat.errors import WriteError
from ziggurat.model import JSON

type SQLiteValue = int | float | str | bytes | None


class LedgerFile:
    """An open ledger with the job's lock. One process, one thread."""

    schema: ClassVar[Schema] = CONVERSION

    def __init__(self, path: Path, connection: apsw.Connection, lock: int) -> None:
        self.path = path
        self._db = connection
        self._lock = lock

    @classmethod
    def create(cls, path: Path, facts: Mapping[str, JSON], columns: Sequence[str] = ()) -> Self:
        """Makes a new ledger.

        Args:
            path: the file; an existing one must be empty.
            facts: what the job is, each value stored as JSON in the table ``job``.
            columns: the manifest's own columns, which become the table ``manifest``.
        """
        connection, lock = open_writer(path, create=True, schema=cls.schema)
        ledger = cls(path, connection, lock)
        with ledger.transaction():
            for statement in cls.schema.statements:
                connection.execute(statement)
            named = "".join(f", {quoted(name)} TEXT" for name in columns)
            connection.execute(f"CREATE TABLE manifest (images_id INTEGER PRIMARY KEY{named}) STRICT")
            started: dict[str, JSON] = {
                "id": uuid.uuid4().hex[:12],
                "created_at": time.time(),
                "manifest_columns": list(columns),
            }
            for key, value in {**started, **facts}.items():
                ledger.set_fact(key, value)
            connection.pragma("application_id", cls.schema.application_id)
            connection.pragma("user_version", cls.schema.version)
        return ledger

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens an existing ledger to go on with its job.

        Raises:
            JobError: if it is no ledger.
            JobLocked: if another process works on it.
        """
        return cls(path, *open_writer(path, create=False, schema=cls.schema))

    def close(self) -> None:
        """Folds the write-ahead log into the file and releases the lock."""
        self._db.close()
        os.close(self._lock)

    def discard(self) -> None:
        """Closes the ledger and removes it with its side files: of a job whose plan came to nothing."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One atomic, durable change; a full disk or a damaged file is a ``WriteError``."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.ReadOnlyError) as error:
            raise WriteError(f"the ledger {self.path} cannot be written: {error}; nothing is lost") from error

    def _all(self, sql: str, bindings: Sequence[SQLiteValue] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; their types are those of the columns."""
        return self._db.execute(sql, bindings).fetchall()

    # -- facts of the job -------------------------------------------------------------------------------------

    def set_fact(self, key: str, value: JSON) -> None:
        """Stores one fact of the job as JSON."""
        self._db.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (key, json.dumps(value)))

    def fact(self, key: str) -> JSON:
        """One fact of the job, or None."""
        found = self._db.execute("SELECT value FROM job WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])


def quoted(name: str) -> str:
    """An SQL identifier for a foreign column name."""
    return '"' + name.replace('"', '""') + '"'
