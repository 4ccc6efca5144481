"""Looking at a job through its ledger, also while it runs. Every aggregate is one statement; nothing is written."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import apsw

from ziggurat.convert.ledger.connection import open_reader
from ziggurat.convert.ledger.file import quoted
from ziggurat.convert.ledger.schema import CONVERSION, OPEN, UNSUCCESSFUL, Schema, State
from ziggurat.errors import JobError
from ziggurat.model import JSON

type Measure = Literal["psnr", "ssimulacra2"]
type Value = int | float | str | None

MAPPED = 4 << 30
"""Bytes of the file that SQLite may map: a scan then copies no pages."""

_DONE = f"state = '{State.DONE}'"
_BAD = "state IN ({})".format(", ".join(f"'{state}'" for state in UNSUCCESSFUL))
_OPEN = "state IN ({})".format(", ".join(f"'{state}'" for state in OPEN))


def is_worked_on(path: Path) -> bool:
    """Whether a process works on the job now.

    The lock is only tried, shared, and given back at once. Closing a descriptor drops the POSIX locks that *this*
    process has on the file, so that this must not be called while it has the ledger open.

    Raises:
        JobError: if the file cannot be opened.
    """
    try:
        probe = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise JobError(f"the job {path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(probe)
    return False


@dataclass(frozen=True, slots=True)
class Progressed:
    """Sums over all images but those that were left out on request.

    Attributes:
        known: images whose header is known.
        pixels: of the known ones.
        source_bytes: of the ones whose size is known.
        done: images in their place.
        open_known: images still to be done whose header is known.
        pixels_open: of those.
        latest: when an image was last finished, for good or bad; seconds since 1970.
    """

    images: int
    known: int
    pixels: int
    source_bytes: int
    done: int
    pixels_done: int
    source_bytes_done: int
    output_bytes: int
    open: int
    open_known: int
    pixels_open: int
    latest: float | None


@dataclass(frozen=True, slots=True)
class Recent:
    """What was done since a moment; ``began`` is when the first of it was started."""

    images: int
    pixels: int
    source_bytes: int
    began: float | None


@dataclass(frozen=True, slots=True)
class Items:
    """Items of the manifest, and those with all images in place."""

    total: int
    complete: int
    hooks_failed: int


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image as lists show it."""

    id: int
    source: str
    item: str | None
    target: str | None
    state: str
    height: int | None
    width: int | None
    source_size: int | None
    output_size: int | None
    psnr: float | None
    ssimulacra2: float | None
    error_class: str | None
    error_message: str | None
    finished_at: float | None


_ROW = (
    "id, source, item, target, state, height, width, source_size, output_size, psnr, ssimulacra2, error_class,"
    " error_message, finished_at"
)


class View:
    """An open ledger to read from: one moment of it, however long the reading takes. Use with ``with``.

    Args:
        path: of the ledger.
        schemas: the kinds that it may be of. The rows of every kind are seen as those of a conversion.

    Attributes:
        schema: its kind.

    Raises:
        JobError: if the file is no ledger, or damaged.
    """

    def __init__(self, path: Path, schemas: Sequence[Schema] = (CONVERSION,)) -> None:
        self.path = path
        with _reading(path):
            self._db, self.schema = open_reader(path, schemas)
            self._db.pragma("mmap_size", MAPPED)
            if self._db.pragma("journal_mode") == "wal":
                # Only there does a reader not keep the writer waiting.
                self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def query(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """All rows that a statement gives.

        Raises:
            JobError: if the ledger is damaged.
        """
        return list(self.stream(sql, values))

    def stream(self, sql: str, values: Sequence[Value] = ()) -> Iterator[tuple[Value, ...]]:
        """The rows that a statement gives, one by one.

        Raises:
            JobError: if the ledger is damaged.
        """
        with _reading(self.path):
            yield from self._db.execute(sql, values)

    # -- the job ----------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, JSON]:
        """What the job is."""
        found: dict[str, JSON] = {}
        for key, value in self.query("SELECT key, value FROM job ORDER BY key"):
            try:
                found[str(key)] = json.loads(str(value))
            except ValueError as error:
                raise JobError(f"{self.path} is damaged: its fact {key!r} is no JSON") from error
        return found

    def manifest_columns(self) -> tuple[str, ...]:
        """The manifest's own columns, in its order; none for a job over files that were listed."""
        columns = self.query("SELECT name FROM pragma_table_info('manifest') WHERE name <> 'images_id' ORDER BY cid")
        return tuple(str(name) for (name,) in columns)

    def group_column(self) -> str | None:
        """The manifest's column that is the group, if it has one."""
        options = self.facts().get("options")
        roles = options.get("columns") if isinstance(options, Mapping) else None
        named = roles.get("group") if isinstance(roles, Mapping) else None
        columns = self.manifest_columns()
        wanted = named if isinstance(named, str) else "group"
        return wanted if wanted in columns else None

    # -- how far ----------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Number of images by state, in the order of the states' life."""
        found = {str(s): int(n or 0) for s, n in self.query("SELECT state, count(*) FROM images GROUP BY state")}
        return {state: found[state] for state in State if state in found} | {
            state: count for state, count in found.items() if state not in set(State)
        }

    def progressed(self, since: float) -> tuple[Progressed, Recent]:
        """Sums over the images, and over those done since a moment, in one pass over the table.

        Headers may claim anything: sum() fails where integers overflow, total() does not.
        """
        recent = f"{_DONE} AND finished_at >= ?1"
        (row,) = self.query(
            "SELECT count(*), count(height), CAST(total(height * width) AS INTEGER),"  # noqa: S608 - our own words
            " CAST(total(source_size) AS INTEGER),"
            f" count(*) FILTER (WHERE {_DONE}), CAST(total(height * width) FILTER (WHERE {_DONE}) AS INTEGER),"
            f" coalesce(sum(source_size) FILTER (WHERE {_DONE}), 0),"
            f" coalesce(sum(output_size) FILTER (WHERE {_DONE}), 0),"
            f" count(*) FILTER (WHERE {_OPEN}), count(height) FILTER (WHERE {_OPEN}),"
            f" CAST(total(height * width) FILTER (WHERE {_OPEN}) AS INTEGER), max(finished_at),"
            f" count(*) FILTER (WHERE {recent}), CAST(total(height * width) FILTER (WHERE {recent}) AS INTEGER),"
            f" coalesce(sum(source_size) FILTER (WHERE {recent}), 0), min(started_at) FILTER (WHERE {recent})"
            f" FROM images WHERE state <> '{State.SKIPPED}'",
            (since,),
        )
        return Progressed(*row[:12]), Recent(*row[12:])  # type: ignore[arg-type]  # numbers, by the statement

    def items(self) -> Items:
        """How many items there are, and how many are complete."""
        (row,) = self.query("SELECT count(*), count(completed_at), count(*) FILTER (WHERE hook_exit <> 0) FROM items")
        return Items(*row)  # type: ignore[arg-type]  # three counts

    def incomplete_items(self, limit: int) -> list[tuple[str, int, int]]:
        """Items that lack images, the nearest to completion first: name, images, images done."""
        return self.query(
            "SELECT item, images, done FROM items WHERE completed_at IS NULL ORDER BY images - done, item LIMIT ?",
            (limit,),
        )  # type: ignore[return-value]  # by the table's types

    # -- lists of images --------------------------------------------------------------------------------------

    def rows(self, where: str, order: str, limit: int, values: Sequence[Value] = ()) -> list[ImageRow]:
        """Images by a condition and an order that this package wrote; never by foreign text."""
        sql = f"SELECT {_ROW} FROM images WHERE {where} ORDER BY {order} LIMIT {limit:d}"  # noqa: S608 - our own words
        return [ImageRow(*row) for row in self.query(sql, values)]  # type: ignore[arg-type]  # by the table's types

    def last_failures(self, limit: int) -> list[ImageRow]:
        """Images without an output, the latest first."""
        return self.rows(_BAD, "finished_at DESC, id DESC", limit)

    def failures(self, limit: int) -> list[ImageRow]:
        """Images without an output, by the kind of error."""
        return self.rows(_BAD, "error_class, id", limit)

    def lowest(self, measure: Measure, limit: int) -> list[ImageRow]:
        """Images with the lowest fidelity."""
        return self.rows(f"{_DONE} AND {measure} IS NOT NULL", f"{measure}, id", limit)

    def most_reduced(self, limit: int) -> list[ImageRow]:
        """Images whose output is the smallest part of the source; none that grew."""
        return self.rows(
            f"{_DONE} AND output_size > 0 AND output_size < source_size",
            "CAST(output_size AS REAL) / source_size, id",
            limit,
        )

    def spread(self, count: int) -> list[ImageRow]:
        """Done images at even distances in the order of the rows; the same ones every time."""
        (total,) = self.query(f"SELECT count(*) FROM images WHERE {_DONE}")[0]  # noqa: S608 - our own words
        at = sorted({int(total or 0) * (2 * k + 1) // (2 * count) for k in range(count)}) if total else []
        where = f"id = (SELECT id FROM images WHERE {_DONE} ORDER BY id LIMIT 1 OFFSET ?)"  # noqa: S608 - our own words
        return [row for offset in at for row in self.rows(where, "id", 1, (offset,))]

    def failed_records(self) -> Iterator[tuple[Value, ...]]:
        """Every image without an output: source, target, error class, message, state, then the manifest's columns."""
        own = "".join(f", m.{quoted(name)}" for name in self.manifest_columns())
        return self.stream(
            f"SELECT i.source, i.target, i.error_class, i.error_message, i.state{own} FROM images AS i"  # noqa: S608 - quoted identifiers
            f" LEFT JOIN manifest AS m ON m.images_id = i.id WHERE i.{_BAD} ORDER BY i.id"
        )

    def done_records(self) -> Iterator[tuple[Value, ...]]:
        """Every image in its place: target, item, then the manifest's columns."""
        own = "".join(f", m.{quoted(name)}" for name in self.manifest_columns())
        return self.stream(
            f"SELECT i.target, i.item{own} FROM images AS i"  # noqa: S608 - quoted identifiers
            f" LEFT JOIN manifest AS m ON m.images_id = i.id WHERE i.{_DONE} ORDER BY i.id"
        )

    def row_columns(self) -> tuple[str, ...]:
        """All columns of the rows, as this kind of ledger has them."""
        sql = "SELECT name FROM pragma_table_info(?, 'main') ORDER BY cid"
        return tuple(str(name) for (name,) in self.query(sql, (self.schema.rows,)))

    def row_records(self) -> Iterator[tuple[Value, ...]]:
        """Every row with all these columns, in order."""
        return self.stream(f"SELECT * FROM main.{self.schema.rows} ORDER BY id")  # noqa: S608 - our own words


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What SQLite complains of, as this package's error."""
    try:
        yield
    except apsw.BusyError as error:
        raise JobError(f"the job {path} is busy; try again in a moment") from error
    except apsw.Error as error:
        raise JobError(f"the job {path} cannot be read: {error}; its file is damaged or may not be read") from error
