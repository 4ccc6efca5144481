"""The coordinator's hand on the ledger: every change of a row's state is one method here."""

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import apsw

from ziggurat.convert.ledger.connection import open_writer
from ziggurat.convert.ledger.schema import APPLICATION_ID, INDEXES, TABLES, UNSUCCESSFUL, VERSION, State
from ziggurat.convert.manifest import Row
from ziggurat.convert.records import Failure, Probe, Published, Task, Verified
from ziggurat.errors import WriteError
from ziggurat.model import JSON

type SQLiteValue = int | float | str | bytes | None

type PlannedRow = tuple[Row, str | None, str | None, str | None]
"""A row, its target's key, and the class and message of what is wrong with it."""


class Ledger:
    """An open ledger with the job's lock. One process, one thread."""

    def __init__(self, path: Path, connection: apsw.Connection, lock: int) -> None:
        self.path = path
        self._db = connection
        self._lock = lock

    @classmethod
    def create(cls, path: Path, facts: dict[str, JSON], columns: Sequence[str] = ()) -> Self:
        """Makes a new ledger.

        Args:
            path: the file; an existing one must be empty.
            facts: what the job is, each value stored as JSON in the table ``job``.
            columns: the manifest's own columns, which become the table ``manifest``.
        """
        connection, lock = open_writer(path, create=True)
        ledger = cls(path, connection, lock)
        with ledger.transaction():
            for statement in TABLES:
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
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", VERSION)
        return ledger

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens an existing ledger to go on with its job.

        Raises:
            JobError: if it is no ledger.
            JobLocked: if another process works on it.
        """
        return cls(path, *open_writer(path, create=False))

    def close(self) -> None:
        """Folds the write-ahead log into the file and releases the lock."""
        self._db.close()
        os.close(self._lock)

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

    # -- planning ---------------------------------------------------------------------------------------------

    def add_rows(self, rows: Iterable[PlannedRow]) -> None:
        """Appends rows in order; those with something wrong are refused. Call inside a transaction."""
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
        """Builds the indexes and the items once all rows are there. Call inside a transaction.

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
        """Brings the table of items up to the rows that there are. Call inside a transaction."""
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
        """Skips open rows that the manifest no longer has. Call inside a transaction."""
        self._db.executemany(
            "UPDATE images SET state = 'skipped', error_class = 'Withdrawn',"
            " error_message = 'no longer in the manifest' WHERE source = ? AND target IS ? AND state <> 'done'",
            list(gone),
        )

    # -- resuming ---------------------------------------------------------------------------------------------

    def interrupted(self) -> list[tuple[int, str, str, str | None]]:
        """Rows that a killed run left in hand: id, target, state, SHA-256 recorded for the output."""
        return self._all("SELECT id, target, state, output_sha256 FROM images WHERE state IN ('running', 'committing')")

    def finished_sources(self) -> Iterator[tuple[int, str, int, str]]:
        """Id, source, size and tag of every row that is done, to notice sources that changed since."""
        rows = self._db.execute("SELECT id, source, source_size, source_tag FROM images WHERE state = 'done'")
        yield from cast("Iterator[tuple[int, str, int, str]]", rows)

    def reopen(self, images: Iterable[int]) -> None:
        """Puts rows back to planned, to be probed and done again; their earlier outputs may be replaced."""
        self._db.executemany(
            "UPDATE images SET state = 'planned', predicted_memory = NULL, attempts = 0, retry_at = NULL,"
            " error_class = NULL, error_message = NULL WHERE id = ?",
            [(image,) for image in images],
        )

    def release(self, images: Iterable[int]) -> None:
        """Puts rows that were in a worker's hands back to planned without counting an attempt."""
        self._db.executemany(
            "UPDATE images SET state = 'planned', started_at = NULL, attempts = max(attempts - 1, 0) WHERE id = ?",
            [(image,) for image in images],
        )

    def retry(self, states: Iterable[State]) -> int:
        """Plans rows in these states again, but for what the names alone refuse; returns how many."""
        marks = ", ".join(f"'{state}'" for state in states)
        self._db.execute(
            "UPDATE images SET state = 'planned', predicted_memory = NULL, attempts = 0, retry_at = NULL,"  # noqa: S608 - our own words
            f" error_class = NULL, error_message = NULL WHERE state IN ({marks}) AND target IS NOT NULL"
            " AND error_class NOT IN ('NameCollision', 'TargetRefused')"
        )
        return self._db.changes()

    # -- running ----------------------------------------------------------------------------------------------

    def set_probes(self, probes: Iterable[Probe]) -> None:
        """Records what the headers say, and the verdicts."""
        self._db.executemany(
            "UPDATE images SET state = ?, source_size = coalesce(?, source_size), source_tag = ?, format = ?,"
            " height = ?, width = ?, bands = ?, bit_depth = ?, writer = ?, strategy = ?, predicted_memory = ?,"
            " error_class = ?, error_message = ?, finished_at = ? WHERE id = ? AND state = 'planned'",
            [
                (
                    p.verdict, p.source_size, p.source_tag, p.format, p.height, p.width, p.bands, p.bit_depth,
                    p.writer, p.strategy, p.predicted_memory, p.error_class, p.error_message,
                    None if p.verdict == State.PLANNED else time.time(), p.image,
                )
                for p in probes
            ],
        )  # fmt: skip

    def retarget(self, image: int, suffix: str) -> bool:
        """Gives an oversized row's target another suffix; False if another row has that name."""
        [(name,)] = self._all("SELECT target FROM images WHERE id = ?", (image,))
        try:
            renamed = f"{name.rpartition('.')[0]}{suffix}"
            self._db.execute("UPDATE images SET target = ? WHERE id = ?", (renamed, image))
        except apsw.ConstraintError:
            return False
        return True

    def start(self, images: Sequence[int]) -> None:
        """Marks rows as in a worker's hands."""
        now = time.time()
        self._db.executemany(
            "UPDATE images SET state = 'running', started_at = ?, attempts = attempts + 1 WHERE id = ?",
            [(now, image) for image in images],
        )

    def verified(self, results: Iterable[Verified]) -> None:
        """Records digests and fidelity before an output is put in its place."""
        self._db.executemany(
            "UPDATE images SET state = 'committing', source_sha256 = ?, output_size = ?, output_sha256 = ?,"
            " read_seconds = ?, write_seconds = ?, verify_seconds = ?, psnr = ?, ssimulacra2 = ?, warnings = ?"
            " WHERE id = ?",
            [
                (
                    r.source_sha256, r.output_size, r.output_sha256, r.read_seconds, r.write_seconds,
                    r.verify_seconds, r.psnr, r.ssimulacra2, "\n".join(r.warnings) or None, r.image,
                )
                for r in results
            ],
        )  # fmt: skip

    def published(self, results: Sequence[Published]) -> list[str]:
        """Marks rows as done; returns the items that this completed."""
        now = time.time()
        self._db.executemany(
            "UPDATE images SET state = 'done', output_tag = ?, publish_seconds = ?, cpu_seconds = ?,"
            " peak_memory = ?, finished_at = ?, error_class = NULL, error_message = NULL WHERE id = ?",
            [
                (r.output_tag, r.publish_seconds, r.cpu_seconds, r.peak_memory, now, r.image)
                for r in results
            ],
        )  # fmt: skip
        return self._items_done([r.image for r in results], now)

    def _items_done(self, images: Iterable[int], now: float) -> list[str]:
        completed: list[str] = []
        for image in images:
            for item, done_at in self._all(
                "UPDATE items SET done = done + 1, completed_at = CASE WHEN done + 1 = images THEN ? END"
                " WHERE item = (SELECT item FROM images WHERE id = ?) RETURNING item, completed_at",
                (now, image),
            ):
                if done_at is not None:
                    completed.append(item)
        return completed

    def failed(self, failure: Failure, state: State, retry_at: float | None = None) -> None:
        """Records an attempt that ended badly, and where the row goes from there."""
        now = time.time()
        error = (failure.error_class, failure.error_message)
        self._db.execute(
            "INSERT OR REPLACE INTO attempts SELECT id, attempts, ?, ?, ?, ? FROM images WHERE id = ?",
            (now, *error, failure.peak_memory, failure.image),
        )
        self._db.execute(
            "UPDATE images SET state = ?, retry_at = ?, error_class = ?, error_message = ?, peak_memory = ?,"
            " finished_at = ? WHERE id = ?",
            (state, retry_at, *error, failure.peak_memory, now, failure.image),
        )

    def hooks_due(self) -> list[str]:
        """Completed items whose command has not succeeded yet."""
        return [
            item
            for (item,) in self._all(
                "SELECT item FROM items WHERE completed_at IS NOT NULL AND coalesce(hook_exit, 1) <> 0"
            )
        ]

    def hook_ended(self, item: str, exit_code: int) -> None:
        """Records how an item's command ended."""
        self._db.execute("UPDATE items SET hook_exit = ? WHERE item = ?", (exit_code, item))

    # -- looking ----------------------------------------------------------------------------------------------

    def counts(self) -> dict[State, int]:
        """Number of rows in every state that has any."""
        return {State(state): count for state, count in self._all("SELECT state, count(*) FROM images GROUP BY state")}

    def unprobed(self, after: int, limit: int) -> list[tuple[int, str, str, str | None]]:
        """Planned rows whose header is not known, in order: id, source, target, SHA-256 of an earlier output."""
        return self._all(
            "SELECT id, source, target, output_sha256 FROM images"
            " WHERE state = 'planned' AND predicted_memory IS NULL AND id > ? ORDER BY id LIMIT ?",
            (after, limit),
        )

    def ready(self, after: int, upto: int, limit: int) -> list[Task]:
        """Planned rows of a range of ids whose header is known, in order, as the tasks that they are."""
        token = str(self.fact("id"))
        return [
            Task(
                image=image,
                source=source,
                target=name,
                token=f"{token}-{image}",
                source_size=size,
                source_tag=tag,
                expected_sha256=expected,
                replaces=output,
                writer=writer,
                strategy=strategy,
                memory=memory,
                cap=memory + memory // 2 + CAP_SLACK,
                pixels=height * width,
                samples=height * width * bands,
                attempt=attempts + 1,
            )
            for image, source, name, size, tag, expected, output, writer, strategy, memory, height, width, bands,
            attempts in self._all(
                "SELECT id, source, target, source_size, source_tag, expected_sha256, output_sha256, writer,"
                " strategy, predicted_memory, height, width, bands, attempts FROM images WHERE state = 'planned'"
                " AND predicted_memory IS NOT NULL AND id > ? AND id <= ? ORDER BY id LIMIT ?",
                (after, upto, limit),
            )
        ]  # fmt: skip

    def totals(self) -> tuple[int, int, int, int]:
        """Pixels and source bytes of all rows with a known header, and of those that are done."""
        [(pixels, size, pixels_done, size_done)] = self._all(
            "SELECT coalesce(sum(height * width), 0), coalesce(sum(source_size), 0),"
            " coalesce(sum(height * width) FILTER (WHERE state = 'done'), 0),"
            " coalesce(sum(source_size) FILTER (WHERE state = 'done'), 0) FROM images"
        )
        return pixels, size, pixels_done, size_done

    def plan(self) -> "Plan":
        """What is left to do, as far as headers are known."""
        pixels: dict[str, int] = {}
        size = known = largest = in_bands = 0
        for name, count, area, bulk, memory, bands in self._all(
            "SELECT format, count(*), sum(height * width), sum(source_size), max(predicted_memory),"
            " sum(strategy = 'bands') FROM images WHERE state = 'planned' AND predicted_memory IS NOT NULL"
            " GROUP BY format"
        ):
            pixels[name] = area
            size, known, largest, in_bands = (
                size + bulk,
                known + count,
                max(largest, memory),
                in_bands + bands,
            )
        [(unknown,)] = self._all("SELECT count(*) FROM images WHERE state = 'planned' AND predicted_memory IS NULL")
        return Plan(pixels, size, known, unknown, largest, in_bands)

    def problems(self, limit: int) -> list[tuple[int, str, str]]:
        """The first images that will not or could not be done: id, state, reason."""
        marks = ", ".join(f"'{state}'" for state in (*UNSUCCESSFUL, State.SKIPPED))
        return self._all(
            f"SELECT id, state, error_message FROM images WHERE state IN ({marks}) ORDER BY id LIMIT ?",  # noqa: S608 - our own words
            (limit,),
        )

    def sizes(self) -> "Sizes":
        """Bytes, pixels and time of the images that are done."""
        [row] = self._all(
            "SELECT coalesce(sum(source_size), 0), coalesce(sum(output_size), 0),"
            " coalesce(sum(height * width), 0) / 1e6, coalesce(max(finished_at) - min(started_at), 0.0)"
            " FROM images WHERE state = 'done'"
        )
        return Sizes(*row)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left to do: pixels by format, and over all formats bytes, images, memory of the largest."""

    pixels: Mapping[str, int]
    source_bytes: int
    known: int
    unknown: int
    largest: int
    in_bands: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is done: bytes before and after, megapixels, and seconds from the first start to the last end."""

    source: int
    output: int
    megapixels: float
    seconds: float


CAP_SLACK = 256 << 20
"""Bytes above its prediction, and half of it again, at which a task is stopped."""

ADD_BATCH = 10_000
"""Rows of the manifest's own columns that are inserted together."""


def quoted(name: str) -> str:
    """An SQL identifier for a foreign column name."""
    return '"' + name.replace('"', '""') + '"'
