"""What people say of outputs that they have compared with their sources: written beside a running job, never changed.

A judgement is a row of its own, and a later one stands instead of an earlier one. It holds for the output that was
looked at, by its digest: one that is made anew has not been looked at.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import apsw

from ziggurat.convert.ledger.connection import check_format, check_sqlite
from ziggurat.convert.ledger.schema import ADDED, State
from ziggurat.convert.ledger.view import View
from ziggurat.errors import JobError, Overloaded, SourceNotFound, WriteError

type Verdict = Literal["accept", "reject"]

PATIENCE: Final = 5_000
"""Milliseconds that a judgement waits for the job's own short transactions."""

_CURRENT: Final = (
    " FROM reviews AS r JOIN images AS i ON i.id = r.image"
    " WHERE r.id = (SELECT max(id) FROM reviews WHERE image = r.image)"
    " AND r.output_sha256 IS i.output_sha256 AND i.state = 'done' AND (r.verdict IS NOT NULL OR r.note <> '')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A judgement of one output.

    Attributes:
        image: row of the ledger.
        verdict: None takes an earlier one back.
        note: in the words of who judged.
        reviewer: who, as far as that is known; "" where it is not.
        at: when, in seconds since 1970.
    """

    image: int
    verdict: Verdict | None
    note: str = ""
    reviewer: str = ""
    at: float = 0.0


def record(path: Path, review: Review) -> None:
    """Writes a judgement durably, also while the job runs: one short transaction, without the job's lock.

    Raises:
        SourceNotFound: if the image has no output to judge.
        Overloaded: if the job did not let go of its ledger for seconds.
        WriteError: if the ledger cannot be written.
        JobError: if it is none.
    """
    with _writing(path) as connection:
        for statement in ADDED:
            connection.execute(statement)
        connection.execute(
            "INSERT INTO reviews (image, reviewed_at, reviewer, verdict, note, output_sha256)"
            " SELECT id, ?, ?, ?, ?, output_sha256 FROM images WHERE id = ? AND state = ?",
            (review.at or time.time(), review.reviewer, review.verdict, review.note, review.image, State.DONE),
        )
        if not connection.changes():
            raise SourceNotFound(f"image {review.image} of {path.name} has no output to judge")


@contextmanager
def _writing(path: Path) -> Iterator[apsw.Connection]:
    """A transaction of a connection of its own."""
    check_sqlite()
    if not path.is_file():
        raise JobError(f"there is no job {path}; it was moved or removed")
    try:
        connection = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(PATIENCE)
            connection.pragma("trusted_schema", "OFF")
            check_format(connection, path)
            connection.pragma("synchronous", "FULL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        finally:
            connection.close()
    except (apsw.BusyError, apsw.LockedError) as error:
        raise Overloaded(f"the job {path.name} is busy; try again in a moment") from error
    except apsw.Error as error:
        raise WriteError(
            f"the ledger {path} cannot be written: {error}; check its permissions and the room on its disk"
        ) from error


def reviews(view: View, images: Iterable[int] | None = None) -> dict[int, Review]:
    """The judgements that hold, by image.

    Args:
        view: the open ledger.
        images: those asked about; None for all.
    """
    if not _has_reviews(view):
        return {}
    columns = "SELECT r.image, r.verdict, r.note, r.reviewer, r.reviewed_at"
    if images is None:
        rows = view.query(columns + _CURRENT + " ORDER BY r.image")
    else:
        marks = ", ".join(str(int(image)) for image in images)
        rows = view.query(f"{columns}{_CURRENT} AND r.image IN ({marks})")
    found = (
        Review(image=int(image or 0), verdict=_verdict(verdict), note=str(note), reviewer=str(who), at=float(at or 0))
        for image, verdict, note, who, at in rows
    )
    return {review.image: review for review in found}


def review_counts(view: View) -> dict[str, int]:
    """How many outputs are accepted and rejected."""
    counted = {"accept": 0, "reject": 0}
    if _has_reviews(view):
        rows = view.query(f"SELECT r.verdict, count(*){_CURRENT} AND r.verdict IS NOT NULL GROUP BY 1")
        counted |= {str(verdict): int(number or 0) for verdict, number in rows}
    return counted


def _has_reviews(view: View) -> bool:
    """Whether the ledger has the table: those of earlier releases get it with the first judgement."""
    return bool(view.query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'reviews'"))


def _verdict(value: object) -> Verdict | None:
    return "accept" if value == "accept" else "reject" if value == "reject" else None
