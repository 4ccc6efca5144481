"""When a job worked, and how fast: its periods of work, with the time in between cut out of the axis."""

from dataclasses import dataclass
from itertools import pairwise

from ziggurat.convert.ledger.schema import State
from ziggurat.convert.ledger.view import Value, View

PAUSE_SECONDS = 120.0
"""Without an image in hand for this long, the job was stopped."""

CUTS = 24
"""Pauses that are marked, the longest ones; SQL has limits, and so has the eye."""

POINTS = 240
"""Steps of the curve at most."""

IMAGES_A_POINT = 4
"""Images that one step should hold at least, lest a small job be a comb."""

FEWEST_POINTS = 8
"""Steps of a job with few images."""


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of work: seconds since 1970, and where it begins on the axis of working time."""

    began: float
    ended: float
    offset: float


@dataclass(frozen=True, slots=True)
class Step:
    """What was finished between two moments of the working time, in seconds from its beginning."""

    began: float
    ended: float
    images: int
    pixels: int

    @property
    def megapixels_a_minute(self) -> float:
        """Throughput."""
        return self.pixels / 1e6 * 60 / (self.ended - self.began)

    @property
    def rows_a_minute(self) -> float:
        """Throughput of what has no pixels."""
        return self.images * 60 / (self.ended - self.began)


@dataclass(frozen=True, slots=True)
class Timeline:
    """How a job went on.

    Attributes:
        periods: of work, in order.
        steps: equally long, but for the last.
        worked: seconds of all periods.
    """

    periods: tuple[Period, ...]
    steps: tuple[Step, ...]
    worked: float

    @property
    def began(self) -> float | None:
        """When the first image was taken in hand."""
        return self.periods[0].began if self.periods else None

    @property
    def ended(self) -> float | None:
        """When the last image was finished."""
        return self.periods[-1].ended if self.periods else None

    @property
    def pauses(self) -> tuple[tuple[float, float], ...]:
        """Where on the axis the job was stopped, and for how many seconds."""
        return tuple((after.offset, after.began - before.ended) for before, after in pairwise(self.periods))


_TIMED = "started_at IS NOT NULL AND finished_at >= started_at"


def timeline(view: View) -> Timeline:
    """Measures the course of a job in three passes over its table."""
    (bounds,) = view.query(
        f"SELECT min(started_at), max(finished_at), count(*) FROM images WHERE {_TIMED}"  # noqa: S608 - our own text
    )
    first, last, images = _number(bounds[0]), _number(bounds[1]), int(_number(bounds[2]))
    if not images:
        return Timeline((), (), 0.0)
    periods = _periods(first, last, _pauses(view))
    worked = periods[-1].offset + periods[-1].ended - periods[-1].began
    points = max(FEWEST_POINTS, min(POINTS, images // IMAGES_A_POINT))
    width = max(worked / points, 1.0)
    return Timeline(periods, tuple(_steps(view, periods, width, worked)), worked)


def _pauses(view: View) -> list[tuple[float, float]]:
    """From the end of the last image in hand to the start of the next, in order."""
    found = view.query(
        "SELECT before, started_at FROM (SELECT started_at, max(finished_at) OVER (ORDER BY started_at ROWS"  # noqa: S608 - our own text
        f" BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM images WHERE {_TIMED})"
        " WHERE started_at - before > ? ORDER BY started_at - before DESC LIMIT ?",
        (PAUSE_SECONDS, CUTS),
    )
    return sorted((_number(before), _number(after)) for before, after in found)


def _periods(first: float, last: float, pauses: list[tuple[float, float]]) -> tuple[Period, ...]:
    begins = [first, *(after for _, after in pauses)]
    ends = [*(before for before, _ in pauses), last]
    periods: list[Period] = []
    offset = 0.0
    for began, ended in zip(begins, ends, strict=True):
        periods.append(Period(began, ended, offset))
        offset += ended - began
    return tuple(periods)


def _steps(view: View, periods: tuple[Period, ...], width: float, worked: float) -> list[Step]:
    cases = " ".join(["WHEN finished_at <= ? THEN finished_at - ?"] * len(periods))
    values: list[Value] = [value for p in periods for value in (p.ended, p.began - p.offset)]
    rows = view.query(
        f"SELECT CAST((CASE {cases} END) / ? AS INTEGER) AS step, count(*), sum(height * width) FROM images"  # noqa: S608 - our own text
        f" WHERE state = '{State.DONE}' AND {_TIMED} GROUP BY step",
        [*values, width],
    )
    count = max(1, -int(-worked // width))
    images, pixels = [0] * count, [0] * count
    for step, number, area in rows:
        # What ends exactly with the axis belongs to its last step.
        at = min(int(_number(step)), count - 1)
        images[at] += int(_number(number))
        pixels[at] += int(_number(area))
    return [
        Step(at * width, max(min((at + 1) * width, worked), at * width + 1.0), images[at], pixels[at])
        for at in range(count)
    ]


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
