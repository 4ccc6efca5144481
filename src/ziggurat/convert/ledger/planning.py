"""Rows as they come into a ledger: appended, checked against each other, withdrawn."""

import time
from collections.abc import Iterable, Iterator

from ziggurat.convert.ledger.file import LedgerFile, SQLiteValue
from ziggurat.convert.ledger.schema import INDEXES, State
from ziggurat.convert.manifest import Row

type PlannedRow = tuple[Row, str | None, str | None, str | None]
"""A row, its target's key, and the class and message of what is wrong with it."""

ADD_BATCH = 10_000
"""Rows of the manifest's own columns that are inserted together."""


class PlannedLedger(LedgerFile):
    """A ledger that can be planned. Every method is called inside a transaction."""

    def add_rows(self, rows: Iterable[PlannedRow]) -> None:
        """Appends rows in order; those with something wrong are refused."""
        [(last,)] = self._all("SELECT coalesce(max(id), 0) FROM images")
        columns = self.fact("manifest_columns")
        width = len(columns) if isinstance(columns, list) else 0

        def images() -> Iterator[tuple[SQLiteValue, ...]]:
            for number, (row, target, error_class, message) in enumerate(rows, last + 1):
                if width:
                    padded = (row.columns + ("",) * width)[:width]
                    extra.append((number, *padded))
                    if len(extra) >= ADD_BATCH:
                        flush()
                state = State.PLANNED if error_class is None else State.REFUSED
                yield (
                    number, row.source, row.item, target, state, row.size, row.tag, row.checksum,
                    error_class, message,
                )  # fmt: skip

        extra: list[tuple[SQLiteValue, ...]] = []

        def flush() -> None:
            marks = ", ".join("?" * (width + 1))
            self._db.executemany(f"INSERT INTO manifest VALUES ({marks})", extra)  # noqa: S608 - our own marks
            extra.clear()

        self._db.executemany(
            "INSERT INTO images (id, source, item, target, state, source_size, source_tag, expected_sha256,"
            " error_class, error_message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            images(),
        )
        if extra:
            flush()

    def finish_planning(self) -> None:
        """Builds the indexes and the items once all rows are there.

        Rows that would write the same target are refused, all of them: which one was meant is not ours to guess.
        """
        self._db.execute(
            "UPDATE images SET state = 'refused', error_class = 'NameCollision', error_message ="
            " 'another row has the same target ' || target || '; make the names differ with --name' "
            "WHERE state <> 'refused' AND target IN (SELECT target FROM images WHERE target IS NOT NULL"
            " AND state <> 'refused' GROUP BY target HAVING count(*) > 1)"
        )
        for statement in INDEXES:
            self._db.execute(statement.replace("INDEX", "INDEX IF NOT EXISTS", 1))
        self.count_items()
        self.set_fact("planned_at", time.time())

    def count_items(self) -> None:
        """Brings the table of items up to the rows that there are."""
        self._db.execute(
            "INSERT INTO items (item, images, done) SELECT item, count(*), sum(state = 'done') FROM images"
            " WHERE item IS NOT NULL AND state <> 'skipped' GROUP BY item"
            " ON CONFLICT (item) DO UPDATE SET images = excluded.images, done = excluded.done,"
            " completed_at = CASE WHEN excluded.images = excluded.done THEN items.completed_at END"
        )

    def known(self) -> set[tuple[str, str | None]]:
        """Source and target of every row, to tell new ones from those that are there."""
        return {(source, name) for source, name in self._all("SELECT source, target FROM images")}

    def free_of_collisions(self, rows: Iterable[PlannedRow]) -> Iterator[PlannedRow]:
        """Refuses rows whose target another row of the ledger, or an earlier one of these, has."""
        taken = {name for (name,) in self._all("SELECT target FROM images WHERE target IS NOT NULL")}
        for row, name, error_class, message in rows:
            if name is not None and name in taken:
                yield row, name, "NameCollision", f"another row has the target {name}; see --name"
                continue
            if name is not None:
                taken.add(name)
            yield row, name, error_class, message

    def withdraw(self, gone: Iterable[tuple[str, str | None]]) -> None:
        """Skips open rows that the manifest no longer has."""
        self._db.executemany(
            "UPDATE images SET state = 'skipped', error_class = 'Withdrawn',"
            " error_message = 'no longer in the manifest' WHERE source = ? AND target IS ? AND state <> 'done'",
            list(gone),
        )
