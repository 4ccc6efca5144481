"""How far a job is: counted in images, pixels and bytes, shown on a terminal, by lines, or as JSON lines."""

import json
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TextIO

from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.ledger.schema import UNSUCCESSFUL, State
from ziggurat.convert.records import Failure, Probe, Published, Task
from ziggurat.convert.text import duration, visible
from ziggurat.model import JSON

LINE_SECONDS = 60.0
"""Between two lines where there is no terminal."""

FRAME_SECONDS = 0.25
"""Between two pictures of the progress on a terminal."""

RATE_SECONDS = 120.0
"""Over which the rate is measured: long enough for large images, short enough to follow."""

LONGEST_REASON = 1000
"""Characters of a reason that are shown; the ledger has all of them."""

type LogFormat = Literal["text", "json"]


class Display(Protocol):
    """What shows the progress."""

    def show(self, progress: "Progress") -> None:
        """Shows the present state."""
        ...

    def event(self, kind: str, facts: Mapping[str, JSON]) -> None:
        """Tells one thing that happened."""
        ...

    def close(self) -> None:
        """Leaves the terminal as it was."""
        ...


@dataclass(slots=True)
class Progress:
    """Counters of one run, and the display that shows them."""

    display: Display
    every: float
    images: int = 0
    finished: int = 0
    unsuccessful: int = 0
    pixels: int = 0
    pixels_done: int = 0
    bytes_done: int = 0
    last_finished: float = field(default_factory=time.monotonic)
    _samples: deque[tuple[float, int, int]] = field(default_factory=deque)
    _shown: float = 0.0

    def begin(self, ledger: Ledger) -> None:
        """Takes the counts of the ledger."""
        counts = ledger.counts()
        self.images = sum(counts.values()) - counts.get(State.SKIPPED, 0)
        self.finished = counts.get(State.DONE, 0)
        self.unsuccessful = sum(counts.get(state, 0) for state in UNSUCCESSFUL)
        self.pixels, _, self.pixels_done, self.bytes_done = ledger.totals()
        self.last_finished = time.monotonic()
        self._samples.append((self.last_finished, self.pixels_done, self.bytes_done))

    def probed(self, probes: Iterable[Probe]) -> None:
        """Counts headers that were read, and tells of images that cannot be done."""
        for probe in probes:
            if probe.verdict in UNSUCCESSFUL:
                self.unsuccessful += 1
                facts: dict[str, JSON] = {"id": probe.image, "state": probe.verdict}
                error: dict[str, JSON] = {"error_class": probe.error_class, "error": probe.error_message}
                self.display.event("image", facts | error)
            elif probe.height is not None and probe.width is not None:
                self.pixels += probe.height * probe.width

    def done(self, task: Task, result: Published) -> None:
        """Counts an image that is in its place."""
        self.finished += 1
        self.pixels_done += task.pixels
        self.bytes_done += task.source_size
        self.last_finished = time.monotonic()
        facts: dict[str, JSON] = {
            "id": task.image,
            "state": State.DONE,
            "source": task.source,
            "target": task.target,
        }
        self.display.event("image", {**facts, "cpu_seconds": round(result.cpu_seconds, 3)})

    def failed(self, failure: Failure, state: State) -> None:
        """Counts an image that is given up."""
        self.unsuccessful += 1
        self.last_finished = time.monotonic()
        facts: dict[str, JSON] = {"error_class": failure.error_class, "error": failure.error_message}
        self.display.event("image", {"id": failure.image, "state": state, **facts})

    def tick(self) -> None:
        """Shows the state when it is time to."""
        now = time.monotonic()
        if now - self._shown < self.every:
            return
        self._shown = now
        if not self.images:
            return
        self._samples.append((now, self.pixels_done, self.bytes_done))
        while len(self._samples) > 2 and now - self._samples[1][0] > RATE_SECONDS:  # noqa: PLR2004 - a span has two ends
            self._samples.popleft()
        self.display.show(self)

    def rates(self) -> tuple[float, float]:
        """Pixels and source bytes a second, over the last minutes."""
        if not self._samples:
            return 0.0, 0.0
        then, pixels, size = self._samples[0]
        span = max(time.monotonic() - then, 1e-3)
        return (self.pixels_done - pixels) / span, (self.bytes_done - size) / span

    def seconds_left(self) -> float | None:
        """By the pixels that are known to be left; headers not read yet are taken to be like the others."""
        rate, _ = self.rates()
        known = self.finished + self.unsuccessful
        left = self.images - known
        if rate <= 0 or left <= 0 or not self.finished:
            return None
        return left * (self.pixels_done / self.finished) / rate

    def summary(self) -> dict[str, JSON]:
        """The counters as plain values."""
        pixels, size = self.rates()
        left = self.seconds_left()
        return {
            "images": self.images,
            "done": self.finished,
            "unsuccessful": self.unsuccessful,
            "megapixels_per_second": round(pixels / 1e6, 3),
            "source_bytes_per_second": round(size),
            "seconds_left": None if left is None else round(left),
        }


def line(progress: Progress) -> str:
    """One line for people."""
    pixels, size = progress.rates()
    left = progress.seconds_left()
    failed = f", {progress.unsuccessful} not" if progress.unsuccessful else ""
    return (
        f"{progress.finished}/{progress.images} images{failed}; {pixels / 1e6:.1f} MP/s, {size / 1e6:.1f} MB/s; "
        f"{'time left unknown' if left is None else duration(left) + ' left'}"
    )


def failure_line(facts: Mapping[str, JSON]) -> str:
    """One line for an image that cannot be done; what files and manifests say in it is made harmless."""
    return f"image {facts['id']} {facts['state']}: {visible(str(facts['error']), LONGEST_REASON)}"


@dataclass(slots=True)
class Lines:
    """A line a minute, and a line for every image that cannot be done."""

    out: TextIO

    def show(self, progress: Progress) -> None:
        """Writes the line."""
        print(line(progress), file=self.out, flush=True)

    def event(self, kind: str, facts: Mapping[str, JSON]) -> None:
        """Writes failures; what went well is in the counts."""
        if kind == "image" and facts["state"] != State.DONE:
            print(failure_line(facts), file=self.out, flush=True)

    def close(self) -> None:
        """Nothing to leave."""


@dataclass(slots=True)
class JsonLines:
    """Every event and the progress as one JSON object a line."""

    out: TextIO

    def show(self, progress: Progress) -> None:
        """Writes the counters."""
        self.event("progress", progress.summary())

    def event(self, kind: str, facts: Mapping[str, JSON]) -> None:
        """Writes one event."""
        record = {"time": round(time.time(), 3), "event": kind} | dict(facts)
        print(json.dumps(record), file=self.out, flush=True)

    def close(self) -> None:
        """Nothing to leave."""


class Terminal:
    """A bar that moves, with failures above it."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
        from rich.progress import BarColumn, TextColumn  # noqa: PLC0415 - as above
        from rich.progress import Progress as Bar  # noqa: PLC0415 - as above

        self._bar = Bar(BarColumn(), TextColumn("{task.description}"), console=Console(file=out))
        self._task = self._bar.add_task("reading headers", total=None)
        self._bar.start()

    def show(self, progress: Progress) -> None:
        """Moves the bar."""
        done = progress.finished + progress.unsuccessful
        total = progress.images or None
        self._bar.update(self._task, total=total, completed=done, description=line(progress))

    def event(self, kind: str, facts: Mapping[str, JSON]) -> None:
        """Writes failures above the bar."""
        if kind == "image" and facts["state"] != State.DONE:
            self._bar.console.print(failure_line(facts), markup=False)

    def close(self) -> None:
        """Leaves the bar as it is now."""
        self._bar.stop()


def display_for(out: TextIO, log_format: LogFormat) -> Progress:
    """The display that fits where the output goes."""
    if log_format == "json":
        return Progress(JsonLines(out), LINE_SECONDS)
    if out.isatty():
        return Progress(Terminal(out), FRAME_SECONDS)
    return Progress(Lines(out), LINE_SECONDS)


def default_display(log_format: LogFormat) -> Progress:
    """The display on standard error."""
    return display_for(sys.stderr, log_format)
