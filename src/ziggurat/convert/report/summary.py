"""The figures of a job, each from one statement over its ledger, as values without any presentation."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ziggurat.convert.ledger.reviews import Review, reviews
from ziggurat.convert.ledger.schema import UNSUCCESSFUL, State
from ziggurat.convert.ledger.view import ImageRow, Items, Measure, Progressed, Recent, Value, View
from ziggurat.convert.report.timeline import Timeline, timeline
from ziggurat.model import JSON

RECENT_SECONDS = 600.0
"""Over which the present rate is measured."""

FINE = 20
"""Steps of a decibel, or of a point of SSIMULACRA2, in which fidelity is counted."""

BINS = (8, 48)
"""Bars of a histogram at most, for few images and for many."""

WIDTHS = (2, 5, 10, 20, 40, 100, 200, 400, 1000, 4000)
"""Widths of a bar that are easy to read, in fine steps: 0.1, 0.25, 0.5, 1 ... 200."""

WORST = 10
LISTED = 500
GROUPS = 40
ITEMS = 20
WARNINGS = 20
"""Rows of the lists; the tables beside the page have all of them."""

_DONE = f"state = '{State.DONE}'"


@dataclass(frozen=True, slots=True)
class Bar:
    """Images with a measure from ``low`` (included) to ``high`` (not)."""

    low: float
    high: float
    images: int


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How the outputs compare with their sources by one measure.

    Attributes:
        measured: images that have it, identical ones included.
        identical: images whose pixels are all equal (an infinite PSNR); in no bar.
        median: to a twentieth, over the measured; infinite where most are identical.
        bars: of one width, lowest first, without gaps.
        lowest: the worst images.
    """

    measured: int
    identical: int
    minimum: float | None
    median: float | None
    bars: tuple[Bar, ...]
    lowest: tuple[ImageRow, ...]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Done images of one kind, before and after."""

    name: str
    images: int
    pixels: int
    source_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Images that ended in one state by one class of error, with the message of one of them."""

    error_class: str
    state: str
    images: int
    example: str


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What people said of an output that they compared with its source."""

    row: ImageRow
    review: Review


@dataclass(frozen=True, slots=True)
class Costs:
    """Sums over the done images, in seconds, and the largest peak of memory in bytes.

    Attributes:
        cpu_pixels: pixels of the images whose CPU time is known.
        attempts_lost: attempts that ended badly, of any image.
    """

    read: float
    write: float
    verify: float
    publish: float
    cpu: float
    cpu_pixels: int
    peak_memory: int | None
    attempts_lost: int


@dataclass(frozen=True, slots=True)
class Decodings:
    """How sources were decoded of which something could be left out.

    Attributes:
        fast: images of which something was.
        full: images of which the samples lost too much.
        psnr_lost: decibels, the most that the samples of an image lost that was decoded fast.
        ssimulacra2_lost: points, likewise.
    """

    fast: int
    full: int
    psnr_lost: float | None
    ssimulacra2_lost: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that a report says, but for the pictures."""

    facts: Mapping[str, JSON]
    counts: Mapping[str, int]
    progressed: Progressed
    items: Items
    incomplete: tuple[tuple[str, int, int], ...]
    timeline: Timeline
    costs: Costs
    psnr: Fidelity
    ssimulacra2: Fidelity
    decodings: Decodings | None
    formats: tuple[Sizes, ...]
    groups: tuple[Sizes, ...]
    group_column: str | None
    problems: tuple[Problem, ...]
    failures: tuple[ImageRow, ...]
    warned: int
    warnings: tuple[tuple[str, int], ...]
    accepted: int
    rejected: int
    reviewed: tuple[Reviewed, ...]

    @property
    def unsuccessful(self) -> int:
        """Images that were asked for and have no output."""
        return sum(self.counts.get(state, 0) for state in UNSUCCESSFUL)


@dataclass(frozen=True, slots=True)
class Status:
    """How far a job is at this moment.

    Attributes:
        working: whether a process works on it.
        now: seconds since 1970.
        row: what the ledger's rows are of, in the singular.
        recent_seconds: over which ``recent`` was done; 0 if nothing was.
    """

    working: bool
    now: float
    row: str
    counts: Mapping[str, int]
    progressed: Progressed
    recent: Recent
    recent_seconds: float
    items: Items
    failures: tuple[ImageRow, ...]

    @property
    def pixels_left(self) -> float:
        """Pixels of the images still to be done; unread headers are taken to be like the others."""
        p = self.progressed
        unknown = p.open - p.open_known
        return p.pixels_open + (unknown * p.pixels / p.known if p.known else 0.0)

    @property
    def seconds_left(self) -> float | None:
        """At the present rate, by pixels, or by rows where these have none; None where nothing is being done."""
        if not self.working or not self.recent.images:
            return None
        if not self.progressed.known:
            return self.progressed.open * self.recent_seconds / self.recent.images
        return self.pixels_left * self.recent_seconds / self.recent.pixels if self.recent.pixels else None


def status(view: View, *, working: bool, failures: int) -> Status:
    """How far a job is, in one pass over its table."""
    now = time.time()
    progressed, recent = view.progressed(now - RECENT_SECONDS)
    # A job that began, or went on, a minute ago is not to be measured over ten.
    began = now if recent.began is None else max(recent.began, now - RECENT_SECONDS)
    return Status(
        working=working,
        now=now,
        row=view.schema.row,
        counts=view.counts(),
        progressed=progressed,
        recent=recent,
        recent_seconds=max(now - began, 1e-3) if recent.images else 0.0,
        items=view.items(),
        failures=tuple(view.last_failures(failures)),
    )


def summarise(view: View) -> Summary:
    """All figures of a report: about a dozen passes over the table."""
    progressed, _ = view.progressed(math.inf)
    group = view.group_column()
    judged = reviews(view)
    ((warned,),) = view.query("SELECT count(*) FROM images WHERE warnings IS NOT NULL")
    return Summary(
        facts=view.facts(),
        counts=view.counts(),
        progressed=progressed,
        items=view.items(),
        incomplete=tuple(view.incomplete_items(ITEMS)),
        timeline=timeline(view),
        costs=_costs(view),
        psnr=_fidelity(view, "psnr"),
        ssimulacra2=_fidelity(view, "ssimulacra2"),
        decodings=_decodings(view),
        formats=_sizes(view, "coalesce(format, '?') || ' → ' || coalesce(writer, '?')", "images"),
        groups=() if group is None else _groups(view, group),
        group_column=group,
        problems=problems(view),
        failures=tuple(view.failures(LISTED)),
        warned=_integer(warned),
        warnings=tuple(
            (str(text), _integer(images))
            for text, images in view.query(
                "SELECT warnings, count(*) AS n FROM images WHERE warnings IS NOT NULL GROUP BY warnings"
                " ORDER BY n DESC, warnings LIMIT ?",
                (WARNINGS,),
            )
        ),
        accepted=sum(review.verdict == "accept" for review in judged.values()),
        rejected=sum(review.verdict == "reject" for review in judged.values()),
        reviewed=_reviewed(view, judged),
    )


def _reviewed(view: View, judged: Mapping[int, Review]) -> tuple[Reviewed, ...]:
    """The judgements that are listed: those that reject first, then those with a note."""
    order = sorted(judged.values(), key=lambda one: (one.verdict != "reject", not one.note, one.image))[:LISTED]
    marks = ", ".join(str(one.image) for one in order)
    rows = {row.id: row for row in view.rows(f"id IN ({marks})", "id", LISTED)}
    return tuple(Reviewed(rows[one.image], one) for one in order)


def _costs(view: View) -> Costs:
    (row,) = view.query(
        "SELECT total(read_seconds), total(write_seconds), total(verify_seconds), total(publish_seconds),"  # noqa: S608 - our own text
        " total(cpu_seconds), CAST(total(height * width) FILTER (WHERE cpu_seconds > 0) AS INTEGER), max(peak_memory),"
        f" (SELECT count(*) FROM attempts) FROM images WHERE {_DONE}"
    )
    return Costs(*row)  # type: ignore[arg-type]  # numbers, by the statement


def _fidelity(view: View, measure: Measure) -> Fidelity:
    """Counts a measure in fine steps; bars and median are made of those."""
    counted = view.query(
        f"SELECT CAST(floor(max(min({measure}, 999), -999) * ?) AS INTEGER) AS step, count(*)"  # noqa: S608 - one of two names
        f" FROM images WHERE {_DONE} AND {measure} IS NOT NULL AND {measure} < 1e300 GROUP BY step",
        (FINE,),
    )
    ((infinite,),) = view.query(f"SELECT count(*) FROM images WHERE {_DONE} AND {measure} >= 1e300")  # noqa: S608 - as above
    steps = {_integer(step): _integer(images) for step, images in counted}
    identical = _integer(infinite)
    lowest = tuple(view.lowest(measure, WORST))
    return Fidelity(
        measured=sum(steps.values()) + identical,
        identical=identical,
        minimum=lowest[0].ssimulacra2 if measure == "ssimulacra2" and lowest else lowest[0].psnr if lowest else None,
        median=_median(steps, identical),
        bars=_bars(steps),
        lowest=lowest,
    )


def _decodings(view: View) -> Decodings | None:
    """None where nothing was left out of any image, or nobody tried."""
    if not view.query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'decodings'"):
        return None
    ((fast, full, psnr_lost, score_lost),) = view.query(
        "SELECT total(decode = 'fast'), total(decode = 'full' AND psnr_lost NOT NULL),"  # noqa: S608 - our own state
        " max(psnr_lost) FILTER (WHERE decode = 'fast'), max(ssimulacra2_lost) FILTER (WHERE decode = 'fast')"
        f" FROM decodings JOIN images ON images.id = decodings.image WHERE {_DONE}"
    )
    if not fast and not full:
        return None
    lost = (value if isinstance(value, float) else None for value in (psnr_lost, score_lost))
    return Decodings(_integer(fast), _integer(full), *lost)


def _median(steps: Mapping[int, int], infinite: int) -> float | None:
    total = sum(steps.values()) + infinite
    below = 0
    for step in sorted(steps):
        below += steps[step]
        if 2 * below >= total:
            return (step + 0.5) / FINE
    return math.inf if infinite else None


def _bars(steps: Mapping[int, int]) -> tuple[Bar, ...]:
    if not steps:
        return ()
    low, high = min(steps), max(steps)
    # Few images spread over many bars are a comb, not a shape.
    most = min(max(BINS[0], 2 * math.isqrt(sum(steps.values()))), BINS[1])
    width = next((w for w in WIDTHS if high // w - low // w < most), WIDTHS[-1])
    images = dict.fromkeys(range(low // width, high // width + 1), 0)
    for step, number in steps.items():
        images[step // width] += number
    return tuple(Bar(at * width / FINE, (at + 1) * width / FINE, number) for at, number in images.items())


def _sizes(view: View, name: str, tables: str) -> tuple[Sizes, ...]:
    rows = view.query(
        f"SELECT {name} AS name, count(*), CAST(total(height * width) AS INTEGER), coalesce(sum(source_size), 0),"  # noqa: S608 - quoted identifiers
        f" coalesce(sum(output_size), 0) AS bytes FROM {tables} WHERE {_DONE} GROUP BY 1 ORDER BY bytes DESC, name"
    )
    return tuple(Sizes(*row) for row in rows)  # type: ignore[arg-type]  # by the statement


def _groups(view: View, column: str) -> tuple[Sizes, ...]:
    """The largest groups, and the rest of them as one."""
    quoted = '"' + column.replace('"', '""') + '"'
    found = _sizes(view, f"coalesce(m.{quoted}, '')", "images AS i LEFT JOIN manifest AS m ON m.images_id = i.id")
    rest = found[GROUPS:]
    if not rest:
        return found
    together = Sizes(
        f"{len(rest)} other groups",
        sum(group.images for group in rest),
        sum(group.pixels for group in rest),
        sum(group.source_bytes for group in rest),
        sum(group.output_bytes for group in rest),
    )
    return (*found[:GROUPS], together)


def problems(view: View) -> tuple[Problem, ...]:
    """Why rows have no output, the most frequent reason first."""
    marks = ", ".join(f"'{state}'" for state in (*UNSUCCESSFUL, State.SKIPPED))
    rows = view.query(
        "SELECT coalesce(error_class, ''), state, count(*) AS n, coalesce(min(error_message), '') FROM images"  # noqa: S608 - our own states
        f" WHERE state IN ({marks}) GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 100"
    )
    return tuple(Problem(*row) for row in rows)  # type: ignore[arg-type]  # by the statement


def _integer(value: Value) -> int:
    return int(value) if isinstance(value, int | float) else 0
