"""Measures how many images a second the coordinator and its ledger carry: everything of a job but the images.

The coordinator, the ledger and its durable transactions are those of any job; only the engine is made of nothing: it
answers at once. Writes the section "The ledger" of ``docs/benchmarks.md``; needs no peers.
"""

import argparse
import cProfile
import io
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tables import machine, table, write_section
from ziggurat.convert.coordinator import Coordinator
from ziggurat.convert.engine.protocol import Event, Work
from ziggurat.convert.hooks import ItemHooks, Notifier
from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.ledger.planning import PlannedRow
from ziggurat.convert.ledger.schema import State
from ziggurat.convert.manifest import Row
from ziggurat.convert.options import OutputOptions, RunOptions
from ziggurat.convert.progress import Lines, Progress
from ziggurat.convert.records import Budget, Probe, Published, Task, Verified
from ziggurat.convert.worker import Probed
from ziggurat.storage.destination import open_destination

ROWS = 1_000_000
SLOTS = (2, 16, 128, 1024)
ITEM = 20
"""Images of an item."""


class Instantly:
    """An engine that has done everything at once."""

    def __init__(self, slots: int) -> None:
        self.size = slots
        self.budget = Budget(total=1 << 62, bands=1 << 30)
        self._held: dict[int, Task] = {}
        self._said: deque[Event] = deque()

    def idle(self) -> int:
        """How much more work could be handed out now."""
        return self.size - len(self._held)

    def held(self) -> list[Work]:
        """All work that is in hand; headers are answered before anybody asks."""
        return list(self._held.values()) or [[] for event in self._said if isinstance(event, Probed)]

    def submit(self, work: Work, *, seconds: float, cap: int) -> None:  # noqa: ARG002 - as the protocol has it
        """Does it."""
        if isinstance(work, Task):
            self._held[work.image] = work
            self._said.append(
                Verified(
                    image=work.image, source_sha256="0" * 64, output_size=100_000, output_sha256="1" * 64,
                    read_seconds=0.1, write_seconds=0.1, verify_seconds=0.1, psnr=45.0, ssimulacra2=90.0, warnings=(),
                )
            )  # fmt: skip
            return
        self._said.append(
            Probed(
                [
                    Probe(
                        image=question.image, verdict=State.PLANNED, source_size=1 << 20, source_tag="mtime:1",
                        format="jp2", height=1000, width=1000, bands=3, bit_depth=8, writer="jpeg", strategy="whole",
                        predicted_memory=64 << 20,
                    )
                    for question in work
                ]
            )
        )  # fmt: skip

    def events(self, seconds: float) -> Iterator[Event]:  # noqa: ARG002 - as the protocol has it
        """What was done since."""
        while self._said:
            event = self._said.popleft()
            if isinstance(event, Published):
                del self._held[event.image]
            yield event

    def committed(self, image: int) -> None:
        """Publishes it."""
        self._said.append(
            Published(image=image, output_tag="mtime:2", publish_seconds=0.01, cpu_seconds=0.3, peak_memory=1 << 27)
        )

    def close(self) -> None:
        """Nothing to end."""


def rows(count: int) -> Iterator[PlannedRow]:
    """Planned rows of items, as a manifest gives them."""
    for number in range(count):
        row = Row(source=f"/scans/{number // ITEM:06}/{number:07}.jp2", item=f"item-{number // ITEM}")
        yield row, f"{number // ITEM:06}/{number:07}.jpg", None, None


@dataclass(frozen=True, slots=True)
class Carried:
    """Images that went through a ledger; seconds of the plan, the job and its processor; MiB of the file."""

    images: int
    planned: float
    seconds: float
    cpu: float
    size: int

    def line(self, slots: int) -> list[str]:
        """For a table."""
        rates = (self.images / self.seconds, self.images / self.cpu)
        times = (f"{self.planned:.0f}", f"{self.seconds:.0f}")
        return [str(slots), f"{self.images:,}", *times, *(f"{rate:,.0f}" for rate in rates), str(self.size)]


def measure(work: Path, count: int, slots: int, profile: cProfile.Profile | None = None) -> Carried:
    """Carries so many images through a new ledger."""
    path = work / f"{slots}.zgj"
    ledger = Ledger.create(path, {"options": {}})
    began = time.perf_counter()
    with ledger.transaction():
        ledger.add_rows(rows(count))
        ledger.finish_planning()
    planned = time.perf_counter() - began
    coordinator = Coordinator(
        ledger=ledger,
        engine=Instantly(slots),
        destination=open_destination(os.fspath(work / "out")),
        options=OutputOptions(target="jpeg"),
        run_options=RunOptions(workers=slots, memory=1 << 40),
        progress=Progress(Lines(io.StringIO()), 60.0),
        hooks=ItemHooks(None, os.fspath(path)),
        notifier=Notifier(None, os.fspath(path), 600.0, 0.05),
    )
    clock, cpu = time.perf_counter(), time.process_time()
    if profile is not None:
        profile.enable()
    coordinator.read_headers(20_000)
    coordinator.run()
    if profile is not None:
        profile.disable()
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    assert ledger.counts() == {State.DONE: count}  # noqa: S101 - a bench that did nothing would be fast
    ledger.close()
    size = path.stat().st_size
    path.unlink()
    return Carried(count, planned, seconds, cpu, size >> 20)


def main(words: Sequence[str] | None = None) -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="of the ledger with most images in hand")
    parser.add_argument("--slots", type=int, nargs="+", default=SLOTS, help="images in hand at once")
    parser.add_argument("--folder", type=Path, help="where the ledgers lie; a temporary one unless given")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    parser.add_argument("--output", type=Path, help="document to write the section into, such as docs/benchmarks.md")
    given = parser.parse_args(words)
    work = Path(tempfile.mkdtemp(prefix="ziggurat-ledger-", dir=given.folder))
    profile = cProfile.Profile() if given.profile else None
    try:
        # A turn is a durable transaction: with few images in hand it is the disk that is measured, and fewer will do.
        lines = [measure(work, min(given.rows, 1000 * slots), slots, profile).line(slots) for slots in given.slots]
    finally:
        shutil.rmtree(work)
    header = ("in hand", "images", "planned in s", "done in s", "done/s", "done/CPU s", "MiB")
    where = f"`.venv/bin/python bench/ledger_speed.py` on {datetime.now(UTC):%Y-%m-%d}: {machine()}."
    text = (
        "The coordinator and its ledger alone, by the images that are in hand at once; the workers of this bench take "
        "no time. Every turn is a transaction that the disk has confirmed."
    )
    section = "\n\n".join(("## The ledger", where, text, table(header, lines)))
    print(section)
    if profile is not None:
        profile.print_stats("tottime")
    if given.output is not None:
        write_section(given.output, "ledger", section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
