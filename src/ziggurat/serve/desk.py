"""A job as it is watched and reviewed: its ledger is read so rarely that it costs little, however long it is."""

import fcntl
import math
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ziggurat.convert.ledger.reviews import Review, Verdict, record, review_counts, reviews
from ziggurat.convert.ledger.sample import Pair, pairs
from ziggurat.convert.ledger.schema import OPEN
from ziggurat.convert.ledger.view import ImageRow, View
from ziggurat.convert.report.summary import Status, status
from ziggurat.errors import JobError, SourceNotFound, UsageError
from ziggurat.model import JSON
from ziggurat.serve.catalogue import Catalogue
from ziggurat.serve.found import is_text
from ziggurat.serve.table import SHOWN, Table, read_twice, shown_source

FAILURES: Final = 100
"""The last ones, which are told."""

FRESH: Final = 0.5
"""Seconds for which all who ask are told the same."""

RESTING: Final = 10.0
"""Seconds after which sums are taken again of a job in which nothing ends, because its rate falls."""

SHARE: Final = 20
"""Counting may take one part in so many of the time, and so may sums: half a second in ten, of half a million rows."""

LONGEST_NOTE: Final = 10_000
"""Characters of what somebody says of a pair."""

MOST_PAIRS: Final = 1000


@dataclass(slots=True)
class _Measured:
    status: Status
    at: float
    cost: float


@dataclass(slots=True)
class _Sampled:
    count: int
    pairs: list[Pair]
    until: float


class Desk:
    """One job. Its methods take a moment and are called in threads; they are safe there."""

    def __init__(self, path: Path, table: Table) -> None:
        self.path = path
        self._table = table
        self._lock = threading.Lock()
        self._probe: int | None = None
        self._told: tuple[float, dict[str, JSON]] | None = None
        self._measured: _Measured | None = None
        self._sampled: _Sampled | None = None

    @classmethod
    def of(cls, catalogue: Catalogue) -> Self | None:
        """The desk of the job that is served, if one is.

        Raises:
            UsageError: if several are.
            JobError: if it is no job's ledger.
        """
        jobs = [root for root in catalogue.roots if root.kind == "job"]
        if len(jobs) > 1:
            raise UsageError("two jobs are to be served; a server shows one, start another one for the other")
        if not jobs:
            return None
        with View(Path(jobs[0].place)):
            return cls(Path(jobs[0].place), catalogue.tables[jobs[0].name])

    # -- watching ---------------------------------------------------------------------------------------------

    @read_twice
    def progress(self) -> dict[str, JSON]:
        """How far the job is. Counts are of this moment; sums of bytes, rate and failures of the last few seconds.

        Raises:
            JobError: if the ledger cannot be read.
        """
        with self._lock:
            now = time.monotonic()
            if self._told is None or now > self._told[0]:
                self._told = self._look(now)
            return self._told[1]

    def _look(self, now: float) -> tuple[float, dict[str, JSON]]:
        """Until when it is told, and what."""
        working = self._is_worked_on()
        with View(self.path) as view:
            counts = view.counts()
            judged = review_counts(view)
            counting = time.monotonic() - now
            found = self._measured
            if found is None or self._is_stale(found, counts, now, working=working):
                began = time.monotonic()
                measured = status(view, working=working, failures=FAILURES)
                self._measured = found = _Measured(measured, began, time.monotonic() - began)
        is_open = sum(counts.get(state, 0) for state in OPEN)
        told, progressed = found.status, found.status.progressed
        shown: dict[str, JSON] = {name: sum(counts.get(state, 0) for state in states) for name, states in SHOWN.items()}
        rate = told.recent.images / told.recent_seconds if told.recent_seconds else 0.0
        return time.monotonic() + max(FRESH, counting * SHARE), {
            "name": self.path.stem,
            "state": "running" if working else "stopped" if is_open else "done",
            "counts": shown,
            "states": counts,
            "total": sum(counts.values()),
            "bytes_in": progressed.source_bytes_done,
            "bytes_out": progressed.output_bytes,
            "rate_per_second": round(rate, 4) if working else 0.0,
            "eta_seconds": None if told.seconds_left is None or not working else round(told.seconds_left, 1),
            "failures": [self._failure(row) for row in told.failures],
            "reviews": judged,
            "updated_at": round(told.now, 3),
        }

    def _is_stale(self, found: _Measured, counts: dict[str, int], now: float, *, working: bool) -> bool:
        age = now - found.at
        if found.status.working != working:
            return True
        if dict(found.status.counts) == counts:
            return working and age > RESTING
        return age > found.cost * SHARE

    def _failure(self, row: ImageRow) -> JSON:
        return {
            "item": row.target or row.item or shown_source(row.source),
            "source": shown_source(row.source),
            "reason": row.error_message or "",
            "error": row.error_class or "",
            "state": row.state,
            "source_id": self._table.source_id(row.id, row.source),
        }

    def _is_worked_on(self) -> bool:
        """Whether a process works on the job: by a descriptor that is never closed.

        Closing one would drop the locks that SQLite holds on the same file for this process.

        Raises:
            JobError: if the file is gone.
        """
        try:
            status_now = os.stat(self.path)  # noqa: PTH116 - compared with a descriptor's
            if self._probe is not None and not os.path.samestat(status_now, os.fstat(self._probe)):
                self._probe = None
            if self._probe is None:
                self._probe = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            raise JobError(f"the job {self.path} cannot be opened: {error.strerror}") from error
        fcntl.flock(self._probe, fcntl.LOCK_UN)
        return False

    # -- reviewing --------------------------------------------------------------------------------------------

    @read_twice
    def sample(self, count: int) -> dict[str, JSON]:
        """Pairs to compare, lowest fidelity first, each with what was said of it before.

        Raises:
            UsageError: if so many are not told.
            JobError: if the ledger cannot be read.
        """
        if not 1 <= count <= MOST_PAIRS:
            raise UsageError(f"count={count}: 1 to {MOST_PAIRS} pairs are told")
        with self._lock, View(self.path) as view:
            began = time.monotonic()
            if self._sampled is None or self._sampled.count != count or began > self._sampled.until:
                chosen = pairs(view, count)
                ended = time.monotonic()
                self._sampled = _Sampled(count, chosen, ended + max(FRESH, SHARE * (ended - began)))
            chosen = self._sampled.pairs
            said = reviews(view, [pair.row.id for pair in chosen])
        return {"pairs": [self._pair(pair, said.get(pair.row.id)) for pair in chosen]}

    def _pair(self, pair: Pair, said: Review | None) -> JSON:
        row = pair.row
        identical = row.psnr is not None and math.isinf(row.psnr)
        return {
            "item": row.target,
            "source_id": self._table.source_id(row.id, row.source),
            "output_id": self._table.output_id(row.target or ""),
            "fidelity": {
                "psnr": None if identical else row.psnr,
                "ssimulacra2": row.ssimulacra2,
            },
            "identical": identical,
            "verdict": None if said is None else said.verdict,
            "note": "" if said is None else said.note,
            "reviewer": "" if said is None else said.reviewer,
            "reviewed_at": None if said is None else said.at,
            "group": pair.group,
            "reason": pair.reason,
            "source": shown_source(row.source),
            "source_bytes": row.source_size,
            "output_bytes": row.output_size,
            "width": row.width,
            "height": row.height,
        }

    def judge(self, item: str, verdict: Verdict | None, note: str, reviewer: str) -> None:
        """Writes down what somebody says of a pair.

        Args:
            item: the output's name below the destination.
            verdict: None takes an earlier one back.
            note: in their own words.
            reviewer: who says so, "" where that is not known.

        Raises:
            SourceNotFound: if there is no output of this name.
            Overloaded: if the ledger is in use for seconds.
            WriteError: if it cannot be written.
        """
        # One at a time: a reader beside a writer of the same process could take the file for one that nobody writes.
        with self._lock:
            image = self._image(item)
            record(self.path, Review(image=image, verdict=verdict, note=note, reviewer=reviewer))
            self._told = None

    @read_twice
    def _image(self, item: str) -> int:
        with View(self.path) as view:
            rows = is_text(item) and view.query(
                "SELECT id FROM images WHERE target = ? AND target IS NOT NULL AND state <> 'refused'", (item,)
            )
        if not rows:
            raise SourceNotFound(f"the job {self.path.name} has no output {item[:200]!a}")
        return int(rows[0][0] or 0)
