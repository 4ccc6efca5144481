"""What the commands around packs share: whose table it is, how far they are, what was left out."""

import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from ziggurat.cli import EXIT_OK, EXIT_SOME_FAILED
from ziggurat.cli.parsing import Network
from ziggurat.cli.passing import line
from ziggurat.convert.progress import LINE_SECONDS, JsonLines, LogFormat
from ziggurat.convert.text import count, plural, size, visible
from ziggurat.errors import UsageError
from ziggurat.model import JSON
from ziggurat.pack.pack import Pack
from ziggurat.pack.packing import Outcome
from ziggurat.storage.pack_url import Table
from ziggurat.storage.stored import writing
from ziggurat.storage.urls import is_pack, local_path

Flag = Annotated[bool, Parameter(negative="")]

SHOWN: Final = 10
"""Images left out that are told of on the terminal."""


@Parameter(name="*")
@dataclass(frozen=True)
class Reading(Network):
    """How packs and databases are read.

    Attributes:
        table: of an SQLite database that is no pack, the table of the images.
        key: its column that names each.
        blob: its column of their bytes.
        endpoint_url: address of an S3-compatible server; AWS_ENDPOINT_URL says the same. Credentials come from
            the usual environment variables.
    """

    table: str | None = None
    key: str | None = None
    blob: str | None = None

    def place(self) -> Table | None:
        """The table, if one is named."""
        self.options()
        names = (self.table, self.key, self.blob)
        if self.table is None or self.key is None or self.blob is None:
            if any(name is not None for name in names):
                raise UsageError("a table of images is named by --table, --key and --blob, all three")
            return None
        return Table(self.table, self.key, self.blob)

    def open(self, place: str) -> Pack:
        """The pack, or somebody's database, to read from."""
        return Pack(place, table=self.place())


PACK: Final = Reading()
"""No table is named."""


@Parameter(name="*")
@dataclass(frozen=True)
class Telling:
    """How a command says what it does.

    Attributes:
        failed: write a CSV file of all that was left out, with the reasons.
        log_format: text, or json for one JSON object a line, on standard error.
    """

    failed: Path | None = None
    log_format: LogFormat = "text"

    @contextmanager
    def progress(self) -> Iterator[Callable[[Outcome], None]]:
        """A function to be called with what is done so far."""
        last = time.monotonic()
        events = JsonLines(sys.stderr)
        with line() as show:

            def tell(outcome: Outcome) -> None:
                nonlocal last
                if self.log_format == "text":
                    show(lambda seconds: _line(outcome, seconds))
                elif time.monotonic() - last > LINE_SECONDS:
                    last = time.monotonic()
                    events.event("progress", summary(outcome))

            yield tell

    def conclude(self, outcome: Outcome) -> int:
        """Says what was left out.

        Returns:
            The exit code.
        """
        if self.failed is not None:
            with writing(str(self.failed)), self.failed.open("w", encoding="utf-8", newline="") as file:
                table = csv.writer(file)
                table.writerow(("source", "error"))
                table.writerows((_text(source), _text(reason)) for source, reason in outcome.left)
        if self.log_format == "json":
            events = JsonLines(sys.stderr)
            for source, reason in outcome.left:
                events.event("left out", {"source": _text(source), "error": _text(reason)})
            events.event("end", summary(outcome))
        else:
            self._list(outcome.left)
        return EXIT_SOME_FAILED if outcome.left else EXIT_OK

    def _list(self, left: Sequence[tuple[str, str]]) -> None:
        if left:
            print(f"{plural(len(left), 'file was', 'files were')} left out:", file=sys.stderr)
        for source, reason in left[:SHOWN]:
            print(f"  {visible(source)}: {visible(reason)}", file=sys.stderr)
        if len(left) > SHOWN:
            where = f"all are in {self.failed}" if self.failed else "--failed FILE writes them all"
            print(f"  and {count(len(left) - SHOWN)} more; {where}", file=sys.stderr)


TOLD: Final = Telling()
"""A command that was told nothing."""


def _text(text: str) -> str:
    """Text that every reader can take: file names need not be Unicode."""
    return text.encode("utf-8", "backslashreplace").decode()


def _line(outcome: Outcome, seconds: float) -> str:
    more = f", {count(outcome.there)} there already" if outcome.there else ""
    more += f", {count(len(outcome.left))} left out" if outcome.left else ""
    images, rate = outcome.packed / seconds, outcome.bytes / seconds
    return f"{count(outcome.packed)} images, {size(outcome.bytes)}{more}; {count(images)} images/s, {size(rate)}/s"


def summary(outcome: Outcome) -> dict[str, JSON]:
    """What came of it, as plain values."""
    return {
        "images": outcome.packed,
        "bytes": outcome.bytes,
        "there_already": outcome.there,
        "left_out": len(outcome.left),
    }


def rated(outcome: Outcome, seconds: float) -> str:
    """How fast it went, for the last line."""
    there = f", {count(outcome.there)} were there already" if outcome.there else ""
    return (
        f"{plural(outcome.packed, 'image', 'images')}, {size(outcome.bytes)}, in {seconds:.1f} s: "
        f"{count(outcome.packed / max(seconds, 1e-3))} images/s, {size(outcome.bytes / max(seconds, 1e-3))}/s{there}"
    )


def split_places(places: Sequence[str], last: str) -> tuple[Sequence[str], str]:
    """What a command line names first, and what it names last.

    Args:
        places: all of them.
        last: what the last is called.

    Raises:
        UsageError: if there are fewer than two.
    """
    if len(places) < 2:  # noqa: PLR2004 - one and the other
        raise UsageError(f"give at least one source, and {last} behind it")
    return places[:-1], places[-1]


def pack_path(place: str) -> Path:
    """The path of a pack that is to be written.

    Raises:
        UsageError: if no pack can be written there.
    """
    path = local_path(place)
    if path is None or not is_pack(place):
        raise UsageError(f"{place} cannot be written as a pack: give a path that ends in .zpk, on a disk, as the last")
    return path
